"""The two products of attention, as MatMul or as Einsum writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxattr.graph.passes.chains import made_by


@dataclass(frozen=True)
class Taken:
    """A value and the order in which its axes are taken; none where they are taken as they are."""

    value: ir.Value
    order: tuple[int, ...] = ()

    def make(self, made: list[ir.Node]) -> ir.Value:
        """Returns the value with its axes in order; a node that orders them is appended."""
        if not self.order:
            return self.value
        value, order = self.value, self.order
        turned = made_by(value, "Transpose")
        # Exporters turn the axes for Einsum, which would have taken them as they were.
        if turned is not None and turned.inputs[0] is not None and "perm" in turned.attributes:
            perm = turned.attributes["perm"].as_ints()
            value, order = turned.inputs[0], tuple(perm[axis] for axis in order)
            if order == tuple(range(len(order))):
                return value
        made.append(ir.node("Transpose", [value], {"perm": list(order)}))
        return made[-1].outputs[0]


def scores(node: ir.Node) -> tuple[Taken, Taken] | None:
    """Returns q as […, query, unit] and k as […, unit, key] of a product [..., query, key]."""
    first, second = node.inputs if len(node.inputs) == 2 else (None, None)
    if first is None or second is None:
        return None
    if node.op_type == "MatMul":
        return Taken(first), Taken(second)
    terms = _terms(node)
    if terms is None:
        return None
    left, right, result = terms
    *batch, query, key = list(result)
    if key in left:
        first, second, left, right = second, first, right, left
    (unit,) = units if len(units := set(left) - set(result)) == 1 else ("",)
    if set(left) != {*batch, query, unit} or set(right) != {*batch, unit, key}:
        return None
    return (
        Taken(first, _order(left, [*batch, query, unit])),
        Taken(second, _order(right, [*batch, unit, key])),
    )


def mixture(node: ir.Node, weights: ir.Value) -> tuple[Taken, tuple[int, ...]] | None:
    """Returns v as [..., key, unit] and the order of the axes of [..., query, unit] in the result.

    None if `node` does not mix values by `weights`, [..., query, key].
    """
    first, second = node.inputs if len(node.inputs) == 2 else (None, None)
    if first is None or second is None or first is second:
        return None
    if node.op_type == "MatMul":
        return (Taken(second), ()) if first is weights else None
    terms = _terms(node)
    if terms is None:
        return None
    left, right, result = terms
    if second is weights:
        second, left, right = first, right, left
    *batch, query, key = list(left)
    (unit,) = units if len(units := set(right) - set(left)) == 1 else ("",)
    if set(right) != {*batch, key, unit} or set(result) != {*batch, query, unit}:
        return None
    plain = [*batch, query, unit]
    return Taken(second, _order(right, [*batch, key, unit])), _order(plain, result)


def _terms(node: ir.Node) -> tuple[str, str, str] | None:
    """Returns the letters of the operands and the result, if none is there twice."""
    equation = node.attributes["equation"].as_string() if "equation" in node.attributes else ""
    given, arrow, result = equation.replace(" ", "").partition("->")
    left, _, right = given.partition(",")
    terms = left, right, result
    if not arrow or not all(t.isalpha() and len(set(t)) == len(t) >= 2 for t in terms):
        return None
    return terms


def _order(given: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    order = tuple(given.index(letter) for letter in wanted)
    return order if order != tuple(range(len(order))) else ()
