"""Versions of operators that the suite has no case of: values and slopes are ONNX Runtime's."""

import numpy as np
import onnx
import pytest
import torch
from cases import operators, suite
from compare import difference, to_torch
from gradients import runtime
from own_cases import ALL, RANDOM, labels
from versions import earlier

import onnxattr
from onnxattr.convert.ops import OPERATORS

#: What has no case because its function is a body that is tried in other versions of it.
BODIES = ("Loop", "Scan")

#: Of central differences in float32; inputs are spread wider, so that no kink is crossed.
STEP = 1e-2


def ids(cases):
    return [f"{i}-{case.label}" for i, case in enumerate(cases)]


def total(outputs):
    """The sum of all outputs of floating point, each number with a weight of its own."""
    draw = np.random.default_rng(3)
    wide = [y.double() for y in outputs if y.is_floating_point()]
    return sum((torch.from_numpy(draw.uniform(0.5, 1.5, tuple(y.shape))) * y).sum() for y in wide)


def ours(module, feeds):
    outputs = module(*feeds)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


@pytest.mark.parametrize("case", ALL, ids=ids(ALL))
def test_values(case):
    expected = runtime(case.judged)(list(case.given.values()))
    with torch.no_grad():
        got = ours(onnxattr.to_torch(case.model), map(to_torch, case.given.values()))
    assert not difference(list(expected), got, 1e-4, 1e-5)


SLOPED = [case for case in ALL if OPERATORS[case.label].gradient]


@pytest.mark.parametrize("case", SLOPED, ids=ids(SLOPED))
def test_slopes(case):
    run, feeds = runtime(case.judged), list(case.given.values())
    tensors = [to_torch(v).requires_grad_(v.dtype.kind == "f") for v in feeds]
    value = total(ours(onnxattr.to_torch(case.model), tensors))
    moved = [i for i, v in enumerate(feeds) if v.dtype.kind == "f"]
    gradients = torch.autograd.grad(value, [tensors[i] for i in moved])
    for i, gradient in zip(moved, gradients, strict=True):
        assert gradient.abs().sum() > 0
        for seed in range(3):
            way = np.random.default_rng(seed).uniform(-1, 1, feeds[i].shape).astype(np.float32)
            ends = []
            for sign in (1, -1):
                there = list(feeds)
                there[i] = np.asarray(feeds[i] + np.float32(sign * STEP) * way, np.float32)
                ends.append(float(total(map(to_torch, run(there)))))
            slope = (ends[0] - ends[1]) / (2 * STEP)
            expected = float((gradient * torch.from_numpy(way)).sum())
            assert slope == pytest.approx(expected, abs=5e-3 * float(gradient.norm()))


@pytest.mark.parametrize("case", RANDOM, ids=ids(RANDOM))
def test_drawn_numbers_are_distributed_alike(case):
    """To five standard errors: both draw twenty thousand numbers, and not the same ones."""
    feeds = list(case.given.values())
    (theirs,) = runtime(case.judged)(feeds)
    torch.manual_seed(0)
    with torch.no_grad():
        (got,) = ours(onnxattr.to_torch(case.model), map(to_torch, feeds))
    assert not difference([theirs], [got], np.inf, np.inf)
    a, b = theirs.astype(np.float64).ravel(), got.double().numpy().ravel()
    assert len(set(b)) > 1
    for power in (1, 2):
        error = np.sqrt((np.var(a**power) + np.var(b**power)) / len(a))
        assert abs(np.mean(a**power) - np.mean(b**power)) < 5 * error


def test_every_version_has_a_case():
    known = {label.split("/")[0] for label in earlier()} | labels()
    for case in suite().values():
        known |= operators(case)
    standard = {f"{s.name}_{s.since_version}" for s in onnx.defs.get_all_schemas_with_history()
                if s.domain == ""}  # fmt: skip
    missing = {label for label in standard & set(OPERATORS) if label not in known}
    assert {label for label in missing if not label.startswith(BODIES)} == set()
