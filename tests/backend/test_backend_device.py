"""The ONNX backend suite on another device: `pytest tests/backend/… --device cuda`.

Without that it is the meta device, which has no values, but refuses to meet a tensor of the CPU as
a GPU would. The gradients on the CPU are those of finite differences (`test_backend.py`), and here
the others must be the same.
"""

from typing import Any

import numpy as np
import pytest
import torch
from cases import arranged, is_core, is_random, suite
from compare import ATOL, RTOL, difference, to_torch
from exclusions import REFUSED, VALUES
from gradients import Total, flat, wide, widened
from outcomes import has_gradients, matching

import onnxattr
from onnxattr.convert.ops.tensors import moved

#: The parameters are stored, as they are in a model: they must be where the module is.
STORED = "const"

CASES = [id for id, case in suite().items() if is_core(case) and not matching(id, VALUES | REFUSED)]


@pytest.fixture(scope="session")
def device(request):
    """The device that was asked for."""
    return torch.device(request.config.getoption("--device"))


def run(module: Any, feeds: Any, device: torch.device) -> Any:
    """Returns the outputs on a device; inputs of floating point want a gradient."""
    tensors = [moved(to_torch(v), device) for v in feeds]
    inputs = [
        t.requires_grad_() if isinstance(t, torch.Tensor) and t.is_floating_point() else t
        for t in tensors
    ]
    return inputs, module(*inputs)


@pytest.mark.parametrize("id", CASES)
def test_values_on_the_device(id, device):
    case = suite()[id]
    model, _, feeds = arranged(case, STORED)
    module = onnxattr.to_torch(model, device=device)
    with torch.no_grad():
        _, got = stopped(run, module, feeds, device)
    outputs = flat(got)
    # Sizes are on the host, whatever the device.
    assert {y.device.type for y in outputs if y.is_floating_point()} <= {device.type}
    if device.type == "meta" or is_random(case):
        return
    expected = case.sets[0][1]
    rtol, atol = max(case.rtol, RTOL), max(case.atol, ATOL)
    assert not difference(list(expected), listed(got), rtol, atol)


@pytest.mark.parametrize("id", [id for id in CASES if has_gradients(suite()[id])])
def test_gradients_on_the_device(id, device):
    model, _, feeds = arranged(suite()[id], STORED, rough=True)
    doubled = widened(model)
    found = {}
    for where in (device, torch.device("cpu")):
        inputs, got = stopped(
            run, onnxattr.to_torch(doubled, device=where), [wide(v) for v in feeds], where
        )
        if where.type == "meta":
            total = sum(y.sum() for y in flat(got) if y.is_floating_point())
        else:
            outputs = [moved(y, torch.device("cpu")) for y in flat(got)]
            total = Total(outputs)(outputs)
        wanted = [t for t in inputs if isinstance(t, torch.Tensor) and t.requires_grad]
        if not wanted or not getattr(total, "requires_grad", False):
            pytest.skip("no floating point goes in that comes out")
        grads = torch.autograd.grad(total, wanted, allow_unused=True)
        assert {g.device.type for g in grads if g is not None} <= {where.type}
        if where.type == "meta":
            return
        found[where.type] = [None if g is None else g.cpu().numpy() for g in grads]
    theirs = found.pop("cpu")
    (ours,) = found.values()
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            scale = np.abs(b[np.isfinite(b)]).max(initial=0)
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * scale + 1e-12)


def listed(got: Any) -> list[Any]:
    """Returns outputs as a list."""
    return list(got) if isinstance(got, tuple) else [got]


def stopped(function: Any, *arguments: Any) -> Any:
    """Returns what a function does; a run that needs values is skipped on the meta device."""
    try:
        return function(*arguments)
    except (RuntimeError, NotImplementedError) as error:
        device = arguments[-1]
        said = " ".join(str(error).split()).lower()
        # What is said of devices is what is looked for here.
        if device.type == "meta" and "device" not in said and "meta" in said:
            pytest.skip(f"the shape is in the values: {said[:60]}")
        raise
