"""ReLU and ReLU6 as exporters write them become one node; what only looks like them stays."""

import numpy as np
import pytest
import torch
from fusions import assert_same, inferred, operators

import onnxattr
from onnxattr.graph import passes

NUMBERS = {"zero": 0.0, "one": 1.0, "six": 6.0, "under": -2.0, "row": [[0.0, 0.0, 0.0, 1.0]]}


@pytest.fixture
def bounded(build):
    """`bounded("y = Max(x, zero)")` → a model whose body is that."""

    def make(body, kind="float", opset=17, outputs="float[N,4] y"):
        dtype = {"float": np.float32, "int32": np.int32}[kind]
        numbers = {k: np.asarray(v, dtype) for k, v in NUMBERS.items() if k in body}
        text = f"(float[N,4] x) => ({outputs}) {{ {body} }}".replace("float[", f"{kind}[")
        return inferred(build(text, opset=opset, **numbers))

    return make


@pytest.mark.parametrize(
    "body",
    [
        "y = Max(x, zero)",
        "y = Max(zero, x)",
        "y = Clip(x, zero)",
        "a = Relu(x) y = Relu(a)",
        "a = Relu(x) y = Max(a, under)",
    ],
)
def test_a_bound_of_zero_is_a_relu(bounded, rewrite, body):
    assert operators(rewrite(passes.FuseBounds(), bounded(body))) == ["Relu_14"]


@pytest.mark.parametrize(
    "body",
    [
        "a = Relu(x) y = Min(a, six)",
        "a = Max(x, zero) y = Min(six, a)",
        "a = Min(x, six) y = Max(a, zero)",
        "a = Relu(x) y = Clip(a, zero, six)",
        "a = Clip(x, under, six) y = Relu(a)",
        "a = Min(x, six) y = Relu(a)",
    ],
)
def test_two_bounds_are_one_clip(bounded, rewrite, noise, body):
    proto = bounded(body)
    fused = rewrite(passes.FuseBounds(), proto)
    assert operators(fused) == ["Clip_6"]
    assert {a.name: a.f for a in fused.graph.node[0].attribute} == {"min": 0.0, "max": 6.0}
    assert_same(proto, 6 * noise(5, 4))


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        ("y = Max(x, one)", 1, np.inf),
        ("y = Min(x, one)", -np.inf, 1),
        # The outer bound lies beyond the inner ones.
        ("a = Clip(x, under, zero) y = Max(a, one)", 1, 1),
    ],
)
def test_other_bounds_are_kept(bounded, rewrite, noise, body, low, high):
    proto, x = bounded(body), 3 * noise(5, 4)
    assert operators(rewrite(passes.FuseBounds(), proto)) == ["Clip_6"]
    y = onnxattr.to_torch(proto)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(y, np.clip(x, low, high))


@pytest.mark.parametrize(
    "body",
    [
        "y = Relu(x)",
        "y = Clip(x, zero, six)",
        "y = Max(x, row)",
        "a = Neg(x) y = Max(x, a)",
        "y = Max(x)",
    ],
)
def test_what_is_one_node_already_or_none_of_them_stays(bounded, rewrite, body):
    proto = bounded(body)
    assert operators(rewrite(passes.FuseBounds(), proto)) == operators(proto)


def test_integers_stay(bounded, rewrite):
    proto = bounded("y = Max(x, zero)", kind="int32")
    assert operators(rewrite(passes.FuseBounds(), proto)) == ["Max"]


def test_what_others_read_stays(bounded, rewrite):
    outputs = "float[N,4] y, float[N,4] a"
    proto = bounded("a = Relu(x) y = Min(a, six)", outputs=outputs)
    # The Min alone is one; the Relu is read.
    assert "Relu" in operators(rewrite(passes.FuseBounds(), proto))


def test_a_relu_is_differentiated_as_one_at_zero(bounded):
    x = torch.zeros(1, 4, requires_grad=True)
    y = onnxattr.to_torch(bounded("y = Max(x, zero)"))(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.abs().max() == 0
