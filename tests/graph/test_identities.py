"""Values that are handed on as they are: dropped, but where a graph returns another's value.

So are casts to the type that a value has: of what a graph is given, or of another cast's result.
"""

import numpy as np
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
    "cast": (
        "(float[N] x) => (float[N] y) { a = Cast<to = 1>(x) b = Cast<to = 6>(a)"
        " c = Cast<to = 6>(b) y = Cast<to = 1>(c) }",
        2,
    ),
    "cast-of-a-sum": ("(float[N] x) => (float[N] y) { a = Add(x, x) y = Cast<to = 1>(a) }", 1),
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


@pytest.mark.parametrize("name", CASES)
def test_identities_are_dropped_where_they_can_be(build, runtime, name):
    text, left = CASES[name]
    proto = build(text)
    result = DropIdentities()(ir.from_proto(proto))
    after = ir.to_proto(result.model)
    kinds = [n.op_type for n in ir.traversal.RecursiveGraphIterator(result.model.graph)]
    assert kinds.count("Identity") + kinds.count("Cast") == left
    assert result.modified == (name not in ("given", "cast-of-a-sum"))
    assert not DropIdentities()(result.model).modified
    assert [value.name for value in after.graph.output] == ["y"]
    for x in (np.float32([1, -2, 3]), np.float32([1, -2, -3])):
        np.testing.assert_array_equal(runtime(after, x)[0], runtime(proto, x)[0])
