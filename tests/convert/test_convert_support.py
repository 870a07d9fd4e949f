"""What stops a conversion or a gradient is named, with what can be done instead."""

import numpy as np
import pytest

import onnxattr
from onnxattr.convert.support import gradientless, remedy, unsupported
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise

ACME = ', "com.acme" : 1'

#: A graph's text, what has no converter, where gradients end, and the tensor to attribute instead.
CASES = {
    "nothing": ("(float[2,4] x) => (float[2,4] y) { y = Relu(x) }", {}, {}, None),
    "labels": (
        "(float[2,4] x) => (int64[2] y) { h = Relu(x) y = ArgMax<axis=1, keepdims=0>(h) }",
        {}, {"ArgMax": 1}, "h",
    ),
    "a cast to integers": (
        "(float[2,4] x) => (float[2,4] y) { h = Exp(x) i = Cast<to=7>(h) y = Cast<to=1>(i) }",
        {}, {"Cast": 1}, "h",
    ),
    "rounding beside a path that has a gradient": (
        "(float[2,4] x) => (float[2,4] y) { h = Exp(x) r = Floor(h) y = Add(r, h) }",
        {}, {"Floor": 1}, None,
    ),
    "sizes are no values": (
        "(float[2,N] x) => (float[a,b] y) { h = Exp(x) s = Shape(h) y = Reshape(h, s) }",
        {}, {}, None,
    ),
    "an operator of a stranger": (
        "(float[2,4] x) => (float[2,4] y) { h = Exp(x) g = com.acme.Odd(h) y = Relu(g) }",
        {"com.acme.Odd": 1}, {}, "h",
    ),
    "nothing but a stranger's": (
        "(float[2,4] x) => (float[2,4] y) { g = com.acme.Odd(x) y = com.acme.Odd(g) }",
        {"com.acme.Odd": 2}, {}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "missing", "ends", "instead"), CASES.values(), ids=CASES)
def test_support(build, text, missing, ends, instead):
    dialect = normalise(load(build(text, imports=ACME)))
    assert {u.operator: len(u.nodes) for u in unsupported(dialect)} == missing
    assert {u.operator: len(u.nodes) for u in gradientless(dialect)} == ends
    says = remedy(dialect)
    if instead is None:
        assert says == ""
    elif instead == "":
        assert "no tensor" in says
    else:
        assert f"`{instead}`" in says


def test_what_lies_in_a_branch_is_named(build):
    text = """(float[2] x, bool c) => (float[2] y) { y = If (c) <
        then_branch = a () => (float[2] p) { p = com.acme.Odd(x) },
        else_branch = b () => (float[2] q) { q = Abs(x) }> }"""
    assert [u.operator for u in unsupported(normalise(load(build(text, imports=ACME))))] == [
        "com.acme.Odd"
    ]


def test_inspect_says_what_to_attribute_instead(build, tmp_path, noise):
    text = """(float[N,3,8,8] x) => (int64[N,1,8,8] y) {
        h = Conv(x, w) y = ArgMax<axis=1>(h) }"""
    proto = build(text, w=noise(4, 3, 1, 1))
    proto.graph.node[1].name = "label"
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (found,) = onnxattr.inspect([tmp_path / "net.onnx"], at="output").models
    assert [(u.operator, u.nodes) for u in found.gradientless] == [("ArgMax", ("label",))]
    assert "`h`" in found.remedy
    assert found.problems == ("`y` has no gradient",)
    (found,) = onnxattr.inspect([tmp_path / "net.onnx"], at="h").models
    assert not found.gradientless
    assert not found.problems


def test_quantised_numbers_carry_a_gradient(build):
    text = """(float[2,4] x) => (float[2,4] y) {
        q = QuantizeLinear(x, s, z) m = Identity(q) y = DequantizeLinear(m, s, z) }"""
    proto = build(text, s=np.float32(0.1), z=np.uint8(128))
    assert gradientless(normalise(load(proto))) == ()
    assert remedy(normalise(load(proto))) == ""
