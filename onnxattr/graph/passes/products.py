"""The two products of attention, as MatMul or as Einsum writes them, and what they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.passes.chains import made_by, rank_of


@dataclass(frozen=True)
class Taken:
    """A value and the order in which its axes are taken; none where they are taken as they are."""

    value: ir.Value
    order: tuple[int, ...] = ()

    @property
    def rank(self) -> int | None:
        """The number of its axes, if it is known."""
        return rank_of(self.value)

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


@dataclass(frozen=True)
class Changed:
    """What a node will make of an operand, once the chain is replaced.

    Attributes:
        operand: Its first input.
        operator: Of ONNX, or of ours if its domain says so.
        rank: Dimensions of what it makes, if they are known.
        others: Its further inputs.
    """

    operand: Operand
    operator: str
    rank: int | None
    others: tuple[Operand, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    @property
    def value(self) -> ir.Value:
        """What there is of it before the chain is replaced."""
        return self.operand.value

    def make(self, made: list[ir.Node]) -> ir.Value:
        """Returns what the node makes; it is appended, behind those that it needs."""
        inputs = [operand.make(made) for operand in (self.operand, *self.others)]
        made.append(ir.node(self.operator, inputs, self.attributes, domain=self.domain))
        return made[-1].outputs[0]


Operand = Taken | Changed


def split(operand: Operand, rank: int, sizes: tuple[int, ...]) -> Operand | None:
    """Returns an operand of `rank` axes with its first axis split into several of these sizes.

    An operand of fewer axes stays as it is: it broadcasts. None where its rank is not known.
    """
    if operand.rank is None or operand.rank > rank:
        return None
    if operand.rank < rank:
        return operand
    more = rank + len(sizes) - 1
    return Changed(operand, "SplitFirst", more, (), {"sizes": list(sizes)}, OWN_DOMAIN)


def scores(node: ir.Node) -> tuple[Taken, Taken] | None:
    """Returns q as […, query, unit] and k as […, unit, key] of a product [..., query, key].

    The product may be a Transpose that turns one of k and q.
    """
    if node.op_type == "Transpose":
        return _turned(node)
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


def _turned(node: ir.Node) -> tuple[Taken, Taken] | None:
    """Returns the operands of (k·qᵀ)ᵀ, which is q·kᵀ."""
    product = made_by(node.inputs[0], "MatMul")
    rank = rank_of(node.inputs[0])
    if product is None or rank is None or rank < 2 or "perm" not in node.attributes:
        return None
    turn = (*range(rank - 2), rank - 1, rank - 2)
    if tuple(node.attributes["perm"].as_ints()) != turn:
        return None
    k, q = product.inputs
    # Of fewer axes, they would be turned otherwise.
    if k is None or q is None or not rank_of(k) == rank_of(q) == rank:
        return None
    return Taken(q, turn), Taken(k, turn)


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
