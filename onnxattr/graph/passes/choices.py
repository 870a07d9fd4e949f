"""Choices between two values, as `Where` or as arithmetic writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import onnx_ir as ir

from onnxattr.graph.passes.chains import made_by, other, stored

#: Numbers of a stored mask of 0 and 1: what is larger are weights.
_LARGEST = 1 << 22


@dataclass(frozen=True)
class Condition:
    """Where something holds.

    Attributes:
        value: Booleans, or stored numbers that are 0 or 1.
        inverted: Whether it says where it does not hold.
        nodes: Those that made what it was found from; they say nothing of it.
    """

    value: ir.Value
    inverted: bool = False
    nodes: tuple[ir.Node, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Choice:
    """What is `yes` where the condition holds, and `no` elsewhere.

    Attributes:
        node: Makes it.
        factors: Those that multiply `yes` and `no` by 1 or 0 before; none where it is a `Where`.
    """

    condition: Condition
    yes: ir.Value
    no: ir.Value
    node: ir.Node
    factors: tuple[ir.Node, ...] = ()

    def nodes(self, *values: ir.Value) -> list[ir.Node]:
        """Returns the nodes that pass `yes` or `no` on, in order."""
        return [*(n for n in self.factors if any(v in values for v in n.inputs)), self.node]


def choice(value: ir.Value | None) -> Choice | None:
    """Returns the choice that `value` is, if it is one.

    Some exporters write c·yes + (1 - c)·no, with c of 0 and 1: the same of finite numbers.
    """
    node = made_by(value, "Add", "Where")
    if node is None or any(v is None for v in node.inputs):
        return None
    if node.op_type == "Where":
        where, yes, no = node.inputs
        return Choice(_negated(where), yes, no, node) if where and yes and no else None
    first, second = (made_by(v, "Mul") for v in node.inputs)
    if first is None or second is None:
        return None
    for (c, yes), (d, no) in product(_gated(first), _gated(second)):
        if _are_opposite(c, d):
            condition = Condition(c.value, c.inverted, (*c.nodes, *d.nodes))
            return Choice(condition, yes, no, node, (first, second))
    return None


def gate(value: ir.Value | None) -> Condition | None:
    """Returns the condition of which `value` is 1 where it holds and 0 elsewhere."""
    node = made_by(value, "Cast")
    if node is not None and node.inputs[0] is not None:
        if node.inputs[0].dtype != ir.DataType.BOOL:
            return None
        found = _negated(node.inputs[0])
        return Condition(found.value, found.inverted, (node, *found.nodes))
    array = stored(value)
    if value is None or array is None or array.dtype.kind != "f" or array.size > _LARGEST:
        return None
    return Condition(value) if bool(np.isin(array, (0, 1)).all()) else None


def constant(condition: Condition) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None:
    """Returns what the graph stores of a condition, if it does."""
    array = stored(condition.value)
    return None if array is None else (array != 0) != condition.inverted


def _negated(value: ir.Value) -> Condition:
    node = made_by(value, "Not")
    inner = node.inputs[0] if node is not None else None
    return Condition(inner, True, (node,)) if node is not None and inner else Condition(value)


def _gated(node: ir.Node) -> list[tuple[Condition, ir.Value]]:
    """Returns the conditions by which a `Mul` lets something through, and what."""
    found = [(gate(value), other(node, value)) for value in node.inputs]
    return [(c, passed) for c, passed in found if c is not None and passed is not None]


def _are_opposite(a: Condition, b: Condition) -> bool:
    if a.value is b.value:
        return a.inverted != b.inverted
    first, second = constant(a), constant(b)
    if first is None or second is None:
        return False
    return first.shape == second.shape and bool((first != second).all())
