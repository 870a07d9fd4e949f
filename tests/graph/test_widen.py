"""A graph in float64: nothing is rounded to less on the way, whatever asks for it."""

import numpy as np
import onnx
import pytest
import torch
from fusions import inferred

from onnxattr.convert.torch import convert
from onnxattr.graph import passes
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS, normalise
from onnxattr.limits import Limits

#: Bodies of x, float [N,4], that ask for float32 or less, or make it.
BODIES = {
    "stored": "y = Add(x, row)",
    "cast down and up": "a = Cast<to = 10>(x) y = Cast<to = 1>(a)",
    "cast to bfloat16": "a = Cast<to = 16>(x) y = Cast<to = 1>(a)",
    "cast like": "a = Cast<to = 7>(x) y = CastLike(a, x)",
    "a number made": "s = Shape(x) a = ConstantOfShape(s) b = Exp(a) y = Add(x, b)",
    "a number made of a value": (
        "s = Shape(x) a = ConstantOfShape<value = float[1] {0.1}>(s) y = Add(x, a)"
    ),
    "a constant": "a = Constant<value_float = 0.1>() y = Add(x, a)",
    "a norm": "y = LayerNormalization(x, row, row)",
    "a norm that says how": "y = LayerNormalization<stash_type = 1>(x, row, row)",
    "random": "a = RandomNormal<shape = [1, 4], seed = 1.0>() b = Mul(a, zero) y = Add(x, b)",
    "a branch": (
        "s = ReduceSum<keepdims = 0>(x) c = Greater(s, zero) "
        "y = If(c)<then_branch = one () => (float[N,4] p) "
        "{ q = Constant<value_float = 0.1>() p = Add(x, q) }, "
        "else_branch = other () => (float[N,4] r) { r = Cast<to = 1>(x) }>"
    ),
    "quantised": (
        "q, scale, point = DynamicQuantizeLinear(x) d = DequantizeLinear(q, scale, point) "
        "e = Mul(d, zero) y = Add(x, e)"
    ),
    "GELU": "a = Div(x, root) f = Erf(a) p = Add(f, one) m = Mul(x, p) y = Mul(m, half)",
}
NUMBERS = {
    "row": [[0.1, 0.2, 0.3, 0.4]],
    "zero": 0.0,
    "one": 1.0,
    "half": 0.5,
    "root": np.sqrt(2),
}


@pytest.fixture
def graph(build):
    """`graph("…")` → a model of that body."""

    def make(body, **weights):
        stored = {k: np.asarray(v, np.float32) for k, v in NUMBERS.items() if k in body}
        if "LayerNormalization" in body:
            stored["row"] = stored["row"].reshape(-1)
        stored |= weights
        return inferred(build(f"(float[N,4] x) => (float[N,4] y) {{ {body} }}", **stored))

    return make


def module(proto, *, wide):
    found, refused = convert(normalise(load(proto), fuse=FUSIONS, wide=wide), Limits(), hold=True)
    assert not refused
    return found.eval()


@pytest.mark.parametrize("name", BODIES)
def test_the_pass_is_honest(graph, rewrite, name):
    proto = graph(BODIES[name])
    wide = rewrite(passes.Widen(), proto)
    # What it is fed stays as it was.
    assert wide.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert wide.graph.node[0].op_type == "Cast"


@pytest.mark.parametrize("name", BODIES)
def test_nothing_is_rounded_on_the_way(graph, noise, name):
    proto = graph(BODIES[name])
    x = torch.from_numpy(noise(3, 4))
    narrow, wide = module(proto, wide=False)(x), module(proto, wide=True)(x)
    assert wide.dtype == torch.float64
    tolerance = 2e-2 if "cast" in name else 1e-5
    torch.testing.assert_close(wide.float(), narrow, rtol=tolerance, atol=tolerance)
    # Float64 of a float32 result would be one that float32 holds.
    if name not in ("cast down and up", "cast to bfloat16", "cast like", "quantised", "random"):
        assert (wide.float().double() != wide).any()
    elif "down" in name or "bfloat16" in name:
        assert (wide == x.double()).all()


def test_values_are_those_of_numpy_in_float64(graph, noise):
    w = noise(4, 4, seed=1)
    proto = graph("m = MatMul(x, w) a = Add(m, row) t = Tanh(a) y = Softmax(t)", w=w)
    x = noise(3, 4)
    t = np.tanh(x.astype(np.float64) @ w + np.float32(NUMBERS["row"]).astype(np.float64))
    expected = np.exp(t) / np.exp(t).sum(1, keepdims=True)
    y = module(proto, wide=True)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-14)


def test_batch_normalisation_is_folded_in_float64(build, noise):
    stored = {
        "w": noise(4, 3, 3, 3), "s": noise(4, seed=1), "o": noise(4, seed=2),
        "m": noise(4, seed=3), "v": noise(4, seed=4) ** 2 + np.float32(0.1),
    }  # fmt: skip
    body = "c = Conv(x, w) y = BatchNormalization(c, s, o, m, v)"
    proto = inferred(build(f"(float[N,3,5,5] x) => (float[N,4,3,3] y) {{ {body} }}", **stored))
    wide = module(proto, wide=True)
    assert len([m for m in wide.children() if "batch" in str(m)]) == 0
    x = noise(2, 3, 5, 5, seed=5)
    w, s, o, m, v = (torch.from_numpy(a).double() for a in stored.values())
    # ONNX's ε is a float32.
    plain = torch.nn.functional.conv2d(torch.from_numpy(x).double(), w)
    expected = torch.nn.functional.batch_norm(plain, m, v, s, o, eps=float(np.float32(1e-5)))
    torch.testing.assert_close(wide(torch.from_numpy(x)), expected, rtol=1e-10, atol=1e-10)


def test_half_precision_is_recognised_before_it_is_widened(build):
    """√2 in float16 is not the √2 of GELU to six digits."""
    numbers = {k: np.asarray(NUMBERS[k], np.float16) for k in ("root", "one", "half")}
    text = f"(float16[N,4] x) => (float16[N,4] y) {{ {BODIES['GELU']} }}"
    dialect = normalise(load(inferred(build(text, **numbers))), fuse=FUSIONS, wide=True)
    assert "FusedGelu" in [node.op_type for node in dialect.proto.graph.node]
