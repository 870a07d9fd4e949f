"""Relevance is conserved on whole networks of any topology, and goes where it is said to go."""

import functools

import numpy as np
import pytest
import torch
from euler import drawn
from ledger import ledger
from onnx import numpy_helper, parser

from onnxattr.convert.torch import to_network
from onnxattr.errors import SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY

SIZE = (6, 8)

NETS = {
    "residual": "a = MatMul(x, w1) b = Add(a, b1) c = Relu(b) d = Add(c, x) e = MatMul(d, w2) "
    "y = Add(e, d)",
    "gated": "a = MatMul(x, w1) b = Add(a, b1) g = Sigmoid(b) c = MatMul(x, w2) d = Mul(c, g) "
    "y = Add(d, b1)",
    "swish and tanh": "a = MatMul(x, w1) g = Sigmoid(a) b = Mul(a, g) c = Add(b, b1) d = Tanh(c) "
    "y = MatMul(d, w2)",
    "raised": "a = MatMul(x, w1) b = Sigmoid(a) c = Exp(b) d = Softplus(c) e = Cos(d) "
    "f = HardSigmoid(e) g = MatMul(f, w2) y = Clip(g, half, six)",
    "squared": "a = MatMul(x, w1) b = Add(a, b1) c = Mul(b, b) d = Pow(b, three) e = Add(c, d) "
    "f = Sqrt(c) y = Add(e, f)",
    "two signals": "a = MatMul(x, w1) b = MatMul(x, w2) c = Add(a, b1) y = Mul(c, b)",
    "concatenated": "a = MatMul(x, w1) b = Concat<axis = 1>(a, token) c = Slice(b, one_, seven) "
    "d = Relu(c) y = MatMul(d, w2)",
    "normalised": "a = LayerNormalization(x, b1, b2) b = MatMul(a, w1) m = ReduceMean<axes = "
    "[1]>(b) c = Sub(b, m) d = Mul(c, c) e = ReduceMean<axes = [1]>(d) f = Add(e, half) "
    "g = Sqrt(f) h = Div(c, g) i = LpNormalization(h) y = Add(i, b1)",
    "attention": "q = MatMul(x, w1) k = MatMul(x, w2) v0 = MatMul(x, w1) v = Add(v0, b1) "
    "t = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, t) p = Softmax(s) a = MatMul(p, v) "
    "y = Add(a, x)",
    "chosen": "a = MatMul(x, w1) b = Max(a, x) c = Min(b, six) z = Greater(a, x) "
    "d = Where(z, c, b1) y = LeakyRelu(d)",
    "divided": "a = MatMul(x, w1) b = Abs(a) c = Add(b, half) d = Div(x, c) e = Reciprocal(c) "
    "f = Mul(a, e) y = Add(d, f)",
}


def stored():
    draw = np.random.default_rng(2).normal
    return {
        "w1": draw(0, 0.5, (8, 8)), "w2": draw(0, 0.5, (8, 8)), "b1": draw(0, 0.5, 8),
        "b2": draw(0, 0.5, 8), "half": 0.5, "three": 3.0, "six": 6.0,
        "token": draw(0, 1, (1, 1, 8)), "one_": np.array([1]), "seven": np.array([7]),
    }  # fmt: skip


def matrices():
    """What the nets store, as they do."""
    return {k: torch.from_numpy(np.asarray(v, np.float32)).double() for k, v in stored().items()}


@functools.cache
def network(name, fuse=True, biased=True):
    header = '<ir_version: 8, opset_import: ["" : 17]> g'
    body = NETS[name]
    proto = parser.parse_model(f"{header} (float[N,6,8] x) => (float[N,a,b] y) {{ {body} }}")
    for key, value in stored().items():
        if any(key in node.input for node in proto.graph.node):
            value = np.asarray(value)
            if not biased and key in ("b1", "b2", "token"):
                value = np.zeros_like(value)
            kind = value.dtype if value.dtype.kind == "i" else np.float32
            proto.graph.initializer.append(numpy_helper.from_array(value.astype(kind), key))
    if name == "concatenated":
        # The token of each member of the batch.
        expand = parser.parse_graph(
            "g (float[N,6,8] x) => (float[N,1,8] many) "
            "{ s = Shape(x) i = Constant<value = int64[1] {0}>() n = Gather(s, i) "
            "r = Constant<value = int64[2] {1, 1}>() k = Concat<axis = 0>(n, r) "
            "many = Expand(token, k) }"
        ).node
        nodes = [*expand, *proto.graph.node]
        for node in nodes[len(expand) :]:
            node.input[:] = ["many" if value == "token" else value for value in node.input]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
        (cut,) = (node for node in proto.graph.node if node.op_type == "Slice")
        cut.input.append("axes")
    model = load(proto.SerializeToString())
    spec = probe_input(model, InputOptions(), ARRAY, SIZE)
    return to_network(model, at="output", spec=spec, fuse=FUSIONS if fuse else (), wide=True)


def fed(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(2, *SIZE)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_relevance_is_conserved(name, fuse, seed):
    found = ledger(network(name, fuse), fed(seed))
    assert found.error <= 1e-9, found


@pytest.mark.parametrize("name", sorted(NETS.keys() - {"raised", "normalised"}))
def test_without_biases_all_of_it_is_the_input_s(name):
    found = ledger(network(name, biased=False), fed())
    assert found.input == pytest.approx(found.total, rel=1e-9)


@pytest.mark.parametrize("attention", ["cp", "attn-lrp"])
@pytest.mark.parametrize("name", NETS)
def test_fused_or_not_it_is_the_same(name, attention):
    first, second = (ledger(network(name, f), fed(), attention).relevance for f in (True, False))
    assert (first - second).abs().max() <= 1e-6 * first.abs().max()


def test_two_signals_have_half_each():
    """x ⊙ c is half the sum of the relevance that each factor would have, the other held."""
    weights = matrices()
    x = fed()[:1]
    a, b = x @ weights["w1"] + weights["b1"], x @ weights["w2"]
    found = ledger(network("two signals"), x)
    (w,) = drawn([a])
    expected = x * ((w * b / 2) @ weights["w1"].T + (w * a / 2) @ weights["w2"].T)
    assert torch.allclose(found.relevance, expected, rtol=1e-9)


def test_a_gate_and_a_divisor_have_nothing():
    weights = matrices()
    x = fed()[:1]
    gate = torch.sigmoid(x @ weights["w1"] + weights["b1"])
    (w,) = drawn([gate])
    found = ledger(network("gated"), x)
    assert torch.allclose(found.relevance, x * ((w * gate) @ weights["w2"].T), rtol=1e-9)
    by = (x @ weights["w1"]).abs() + 0.5
    found = ledger(network("divided"), x)
    assert torch.allclose(found.relevance, x * (w / by + (w / by) @ weights["w1"].T), rtol=1e-9)


def test_attention_by_both_rules():
    """In closed form: values with weights held; or half to them, and half by the true gradient."""
    weights = matrices()
    x = fed()[:1]
    q, k, v = x @ weights["w1"], x @ weights["w2"], x @ weights["w1"] + weights["b1"]
    p = torch.softmax(q @ k.transpose(1, 2), -1)
    (w,) = drawn([x])
    to_v = p.transpose(1, 2) @ w
    found = ledger(network("attention"), x)
    assert torch.allclose(found.relevance, x * (to_v @ weights["w1"].T + w), rtol=1e-9)
    to_p = w @ v.transpose(1, 2) / 2
    to_s = p * (to_p - (to_p * p).sum(-1, keepdim=True))
    c = to_v / 2 @ weights["w1"].T + w
    c = c + to_s @ k / 2 @ weights["w1"].T + to_s.transpose(1, 2) @ q / 2 @ weights["w2"].T
    found = ledger(network("attention"), x, "attn-lrp")
    assert torch.allclose(found.relevance, x * c, rtol=1e-9)


def test_what_has_no_rule_is_refused_where_relevance_reaches_it():
    NETS["logarithm"] = "a = Abs(x) b = Log(a) y = MatMul(b, w1)"
    NETS["logarithm of a gate"] = "a = Abs(x) b = Log(a) g = Sigmoid(b) y = Mul(x, g)"
    try:
        with pytest.raises(SupportError, match="infinite at zero"):
            ledger(network("logarithm"), fed())
        assert ledger(network("logarithm of a gate"), fed()).error <= 1e-9
    finally:
        del NETS["logarithm"], NETS["logarithm of a gate"]
