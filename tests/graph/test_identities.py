"""Values that are handed on as they are: dropped, but where a graph returns another's value."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxattr.graph.passes import DropIdentities

CASES = {
    "within": ("(float[N] x) => (float[N] y) { a = Neg(x) b = Identity(a) y = Abs(b) }", 0),
    "returned": ("(float[N] x) => (float[N] y) { a = Neg(x) y = Identity(a) }", 0),
    "given": ("(float[N] x) => (float[N] y) { y = Identity(x) }", 1),
    "chain": (
        "(float[N] x) => (float[N] y) { a = Identity(x) b = Identity(a) c = Neg(b)"
        " d = Identity(c) y = Identity(d) }",
        0,
    ),
    "of-an-outer-graph": (
        """(float[N] x) => (float[N] y) {
            a = Neg(x) total = ReduceSum<keepdims = 0>(x)
            zero = Constant<value = float {0.0}>() c = Greater(total, zero)
            y = If(c) <then_branch = one () => (float[N] u) {
                u = If(c) <then_branch = deep () => (float[N] v) { v = Identity(a) },
                           else_branch = other () => (float[N] w) { w = Abs(a) }> },
                else_branch = two () => (float[N] z) { n = Identity(a) z = Identity(n) }>
        }""",
        2,
    ),
}

#: 1 is float32, 11 is double.
CASTS = {
    "to its own type": ("a = Neg(x) b = Cast<to = 1>(a) y = Abs(b)", 0),
    "returned": ("a = Neg(x) y = Cast<to = 1>(a)", 0),
    "given": ("a = Cast<to = 1>(x) y = Neg(a)", 0),
    "to another type": ("a = Cast<to = 11>(x) b = Cast<to = 1>(a) y = Abs(b)", 2),
    "of what is not known": ("a = Vendor.Neg(x) y = Cast<to = 1>(a)", 1),
}


@pytest.mark.parametrize("name", CASTS)
def test_casts_are_dropped_where_they_change_nothing(build, runtime, name):
    text, left = CASTS[name]
    proto = build(f"(float[N] x) => (float[N] y) {{ {text} }}", imports=', "Vendor" : 1')
    inferred = onnx.shape_inference.infer_shapes(proto)
    result = DropIdentities()(ir.from_proto(inferred))
    after = ir.to_proto(result.model)
    assert [n.op_type for n in after.graph.node].count("Cast") == left
    assert result.modified == (left == 0)
    if "Vendor" not in text:
        x = np.float32([1, -2, 3])
        np.testing.assert_array_equal(runtime(after, x)[0], runtime(proto, x)[0])


@pytest.mark.parametrize("name", CASES)
def test_identities_are_dropped_where_they_can_be(build, runtime, name):
    text, left = CASES[name]
    proto = build(text)
    result = DropIdentities()(ir.from_proto(proto))
    after = ir.to_proto(result.model)
    kinds = [n.op_type for n in ir.traversal.RecursiveGraphIterator(result.model.graph)]
    assert kinds.count("Identity") == left
    assert result.modified == (name != "given")
    assert not DropIdentities()(result.model).modified
    assert [value.name for value in after.graph.output] == ["y"]
    for x in (np.float32([1, -2, 3]), np.float32([1, -2, -3])):
        np.testing.assert_array_equal(runtime(after, x)[0], runtime(proto, x)[0])
