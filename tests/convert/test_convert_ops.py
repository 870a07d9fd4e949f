"""Our own converters against ONNX's own node tests, forward and backward.

The forward pass must give the expected outputs that ship with onnx; the gradient with respect to
every float input must be that of finite differences, in float64.
"""

import copy
import functools
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import onnxattr
from onnxattr.convert.ops import OPERATORS
from onnxattr.errors import SupportError

with warnings.catch_warnings():
    # onnx computes its expected outputs on import, and overflows in some.
    warnings.simplefilter("ignore")
    from onnx.backend.test.loader import load_model_tests

    TESTS = load_model_tests(kind="node")

#: Ours, less the node that ends every graph and is in no standard.
OURS = {label.rpartition("_")[0] for label in OPERATORS - {"Outputs"}}


def alone(case):
    """Returns the only node of a case's graph if it is of one of our operators."""
    nodes = [n for n in case.model.graph.node if n.op_type != "Constant"]
    return nodes[0] if len(nodes) == 1 and nodes[0].op_type in OURS else None


#: Cases of our operators that are refused, and what the refusal says.
REFUSED = {
    "test_maxpool_with_argmax_2d_precomputed_pads": "MaxPool with indices",
    "test_maxpool_with_argmax_2d_precomputed_strides": "MaxPool with indices",
    "test_batchnorm_epsilon_training_mode": "BatchNormalization in training mode",
    "test_batchnorm_example_training_mode": "BatchNormalization in training mode",
}

#: Cases whose expected outputs onnx ships with few digits only: what that rounding amounts to.
ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 6e-5}

#: Operators whose further inputs say where values go: these may be computed by the graph.
COMPUTED = {"Reshape", "Resize", "ScatterND", "Slice", "Upsample"}

#: What onnx's reference adds to the definition of Resize; `ops.resize` says more.
FRACTIONAL = "align_corners with a length_resized that is no whole number"

#: Cases whose expected outputs ONNX Runtime and torch contradict, as we do, and why.
CONTRADICTED = {
    "test_resize_downsample_scales_linear_align_corners": FRACTIONAL,
    "test_resize_downsample_scales_cubic_align_corners": FRACTIONAL,
}

CASES = {c.name: c for c in TESTS if alone(c) is not None}
RUN = sorted(CASES.keys() - REFUSED.keys())
AGREED = [name for name in RUN if name not in CONTRADICTED]


def values_of(case):
    """Returns a case's inputs by the names that its node gives them."""
    names = [i.name for i in case.model.graph.input]
    return {n: np.asarray(v) for n, v in zip(names, case.data_sets[0][0], strict=True)}


def signals(case):
    """Returns the inputs that are signals: weights, bounds and places are stored as a rule."""
    values, node = values_of(case), alone(case)
    count = 3 if node.op_type == "ScatterND" else 1
    first, *more = node.input[:count]
    return [first, *(name for name in more if values[name].dtype.kind == "f")]


def converted(case, fed):
    """Returns a case as a torch module of the inputs `fed`, the others stored, and their values."""
    proto, values = onnx.ModelProto(), values_of(case)
    proto.CopyFrom(case.model)
    for value in case.model.graph.input:
        if value.name not in fed:
            proto.graph.initializer.append(numpy_helper.from_array(values[value.name], value.name))
            proto.graph.input.remove(value)
    return onnxattr.to_torch(proto), [values[i.name] for i in proto.graph.input]


@functools.cache
def module_of(name):
    return converted(CASES[name], signals(CASES[name]))


def check_forward(module, feeds, case):
    ours = module(*(torch.from_numpy(f.copy()) for f in feeds))
    ours = ours if isinstance(ours, tuple) else (ours,)
    for a, b in zip(ours, case.data_sets[0][1], strict=True):
        assert a.numpy().dtype == b.dtype
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=ROUNDED.get(case.name, 1e-6))


@pytest.mark.parametrize("name", AGREED)
def test_forward(name):
    check_forward(*module_of(name), CASES[name])


@pytest.mark.parametrize("name", [n for n in AGREED if alone(CASES[n]).op_type in COMPUTED])
def test_forward_with_everything_computed(name):
    """Shapes, bounds and places may be inputs, of which nothing is known when converting."""
    case = CASES[name]
    check_forward(*converted(case, values_of(case)), case)


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in RUN
        if CASES[n].data_sets[0][0][0].dtype.kind == "f" and CASES[n].data_sets[0][0][0].size
    ],
)
def test_gradient(name):
    module, feeds = module_of(name)
    module = copy.deepcopy(module).double()
    draw = np.random.default_rng(0)
    # Kinks and ties are where inputs are integers or equal: a shift of each sets them apart.
    inputs = [
        torch.from_numpy(f + draw.uniform(0.1, 0.4, f.shape)).double().requires_grad_()
        if f.dtype.kind == "f"
        else torch.from_numpy(f)
        for f in feeds
    ]
    assert torch.autograd.gradcheck(module, inputs, eps=1e-6, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=REFUSED)
def test_refusals(name, reason):
    with pytest.raises(SupportError, match=reason):
        module_of(name)


def test_every_operator_of_ours_is_tried():
    assert {alone(CASES[name]).op_type for name in RUN} == OURS
    assert REFUSED.keys() | ROUNDED.keys() | CONTRADICTED.keys() <= CASES.keys()
