"""A stored matrix and a stored row become one layer; what only looks like it stays."""

import numpy as np
import pytest
import torch
from fusions import assert_same, inferred, operators

import onnxattr
from onnxattr.graph import passes


@pytest.fixture
def linear(build, noise):
    """`linear("…", w=…)` → a model whose body is that, with weights `w` and a row `b`."""

    def make(body, **others):
        chosen = {"w": noise(8, 3), "b": noise(3, seed=1)} | others
        stored = {k: v for k, v in chosen.items() if f"{k})" in body or f"({k}" in body}
        return inferred(build(f"(float[N,5,8] x) => (y) {{ {body} }}", opset=17, **stored))

    return make


@pytest.mark.parametrize(
    "body", ["m = MatMul(x, w) y = Add(m, b)", "m = MatMul(x, w) y = Add(b, m)"]
)
@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 3)])
def test_on_either_side(linear, rewrite, noise, body, shape):
    proto = linear(body, b=noise(*shape, seed=1))
    fused = rewrite(passes.FuseLinear(), proto)
    assert operators(fused) == ["FusedLinear"]
    assert list(fused.graph.node[0].input) == ["x", "w", "b"]
    assert_same(proto, noise(3, 5, 8))


def test_values_are_those_of_onnx_runtime(linear, runtime, noise):
    proto, x = linear("m = MatMul(x, w) y = Add(m, b)"), noise(3, 5, 8)
    (expected,) = runtime(proto, x)
    np.testing.assert_allclose(
        onnxattr.to_torch(proto)(torch.from_numpy(x)).numpy(), expected, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("body", "others"),
    [
        # A number for all, a row for each token, and one more dimension than the product has.
        ("m = MatMul(x, w) y = Add(m, b)", {"b": np.ones(1, np.float32)}),
        ("m = MatMul(x, w) y = Add(m, b)", {"b": np.ones((5, 1), np.float32)}),
        ("m = MatMul(x, w) y = Add(m, b)", {"b": np.ones((5, 3), np.float32)}),
        (
            "m = MatMul(x, w) s = Add(m, b) y = Unsqueeze(s, a)",
            {"b": np.ones((1, 1, 1, 3), np.float32), "a": np.array([0])},
        ),
        # A stack of matrices, a stored operand on the other side, a sum with itself.
        ("m = MatMul(x, w) y = Add(m, b)", {"w": np.ones((1, 8, 3), np.float32)}),
        (
            "m = MatMul(w, x) y = Add(m, b)",
            {"w": np.ones((5, 5), np.float32), "b": np.ones(8, np.float32)},
        ),
        ("m = MatMul(x, w) y = Add(m, m)", {}),
        # The product is read by another, too.
        ("m = MatMul(x, w) s = Add(m, b) y = Mul(s, m)", {}),
        ("m = MatMul(x, w) y = Sub(m, b)", {}),
    ],
)
def test_what_only_looks_like_it_stays(linear, rewrite, body, others):
    assert "FusedLinear" not in operators(rewrite(passes.FuseLinear(), linear(body, **others)))


def test_integers_stay(build, rewrite):
    proto = build(
        "(int64[N,5,8] x) => (int64[N,5,3] y) { m = MatMul(x, w) y = Add(m, b) }",
        opset=17,
        w=np.ones((8, 3), np.int64),
        b=np.ones(3, np.int64),
    )
    assert operators(rewrite(passes.FuseLinear(), proto)) == ["Add", "MatMul"]


def test_additions_that_do_not_broadcast_stay(build, rewrite):
    """Before opset 7 an attribute says where the row is added."""
    proto = build(
        "(float[N,8] x) => (float[N,3] y) { m = MatMul(x, w) y = Add<broadcast = 1>(m, b) }",
        opset=6,
        w=np.ones((8, 3), np.float32),
        b=np.ones(3, np.float32),
    )
    assert operators(rewrite(passes.FuseLinear(), proto)) == ["Add", "MatMul"]
