"""What the fusions of gated activations, x·gate(x), share: numbers around x, bounds, products."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from onnxattr.graph.passes.chains import close, made_by, number, other, rank_of, reader

#: How many numbers are followed before a gate, and behind it.
_STEPS = 4

#: The bounds of Clip before opset 11 where a node names none, and what is no bound at all.
_MOST = 3.4e38

FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
)


@dataclass(frozen=True)
class Affine:
    """A value as slope·x + constant, with the nodes that make it of x."""

    x: ir.Value
    slope: float
    constant: float
    nodes: tuple[ir.Node, ...]


@dataclass(frozen=True)
class Bounded:
    """A value as min(max(x, low), high), with the nodes that make it of x."""

    x: ir.Value
    low: float
    high: float
    nodes: tuple[ir.Node, ...]


@dataclass(frozen=True)
class Product:
    """A product of a gate with x and numbers: the node that ends it, and all behind the gate."""

    last: ir.Node
    nodes: tuple[ir.Node, ...]


def scaled(value: ir.Value) -> Iterator[tuple[ir.Value, float, list[ir.Node]]]:
    """Yields what x may be where `value` is x times a number, with the number and its node."""
    yield value, 1.0, []
    node = made_by(value, "Mul", "Div", "Neg")
    if node is None:
        return
    if node.op_type == "Neg" and node.inputs[0] is not None:
        yield node.inputs[0], -1.0, [node]
        return
    for x in dict.fromkeys(node.inputs[: 1 if node.op_type == "Div" else 2]):
        operand = other(node, x) if x is not None else None
        c = number(operand, rank_of(x))
        if x is not None and c:
            yield x, c if node.op_type == "Mul" else 1 / c, [node]


def affine(value: ir.Value | None) -> Iterator[Affine]:
    """Yields what x may be where `value` is slope·x + constant, the nearest first."""
    if value is None:
        return
    slope, constant, nodes = 1.0, 0.0, []
    yield Affine(value, slope, constant, ())
    for _ in range(_STEPS):
        node = made_by(value, "Add", "Sub", "Mul", "Div", "Neg")
        if node is None:
            return
        nodes.append(node)
        first = node.inputs[0]
        if node.op_type == "Neg":
            x, slope = first, -slope
        else:
            found = _operand(node)
            if found is None:
                return
            x, c = found
            if node.op_type == "Add":
                constant += slope * c
            elif node.op_type == "Mul":
                slope *= c
            elif node.op_type == "Sub":
                constant += slope * c * (-1 if x is first else 1)
                slope *= 1 if x is first else -1
            elif x is first and c:
                slope /= c
            else:
                return
        if x is None:
            return
        value = x
        yield Affine(value, slope, constant, tuple(nodes))


def _operand(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Returns the operand of a node of two that is no number, and the number."""
    for x in node.inputs:
        c = number(other(node, x), rank_of(x))
        if x is not None and c is not None:
            return x, c
    return None


def bounded(value: ir.Value | None, opset: int) -> Bounded | None:
    """Returns `value` as x between bounds, if Clip, Relu, Max and Min with numbers make it so."""
    low, high, nodes = -math.inf, math.inf, []
    x = value
    for _ in range(_STEPS):
        found = _bounds(x, opset)
        if found is None:
            break
        node, inner, least, most = found
        # What is further out bounds the bounds that are further in.
        least, most = (min(max(b, low), high) for b in (least, most))
        low, high, x = least, most, inner
        nodes.append(node)
    return Bounded(x, low, high, tuple(nodes)) if nodes and x is not None else None


def _bounds(
    value: ir.Value | None, opset: int
) -> tuple[ir.Node, ir.Value | None, float, float] | None:
    """Returns the node that bounds what it makes `value` of, its operand, and the bounds."""
    node = made_by(value, "Clip", "Relu", "Max", "Min")
    if node is None or (value is not None and value.dtype not in FLOATS):
        return None
    if node.op_type == "Relu":
        return node, node.inputs[0], 0.0, math.inf
    if node.op_type in ("Max", "Min"):
        found = _operand(node) if (node.version or opset) >= 8 and len(node.inputs) == 2 else None
        if found is None or math.isnan(found[1]):
            return None
        x, c = found
        return (node, x, c, math.inf) if node.op_type == "Max" else (node, x, -math.inf, c)
    limits = _clip_bounds(node, node.version or opset)
    if limits is None or not limits[0] <= limits[1]:
        return None
    return node, node.inputs[0], *limits


def _clip_bounds(node: ir.Node, opset: int) -> tuple[float, float] | None:
    found = []
    for position, (name, absent) in enumerate((("min", -math.inf), ("max", math.inf)), 1):
        if opset < 11:
            given = node.attributes[name].as_float() if name in node.attributes else absent
        else:
            value = node.inputs[position] if len(node.inputs) > position else None
            bound = absent if value is None else number(value)
            if bound is None:
                return None
            given = bound
        found.append(math.copysign(math.inf, given) if abs(given) >= _MOST else given)
    return found[0], found[1]


def product(gate: ir.Value, x: ir.Value, wanted: float) -> Product | None:
    """Returns what computes gate·x·wanted of `gate`, if that is what becomes of it.

    Numbers whose product is `wanted` may be applied to the gate, to x and to their product.
    """
    factor, nodes, value, met = 1.0, [], gate, False
    for _ in range(2 * _STEPS):
        step = reader(value, "Mul", "Div")
        if step is None:
            return None
        operand = other(step, value)
        c = number(operand, rank_of(value))
        if c is not None:
            if not c or (step.op_type == "Div" and step.inputs[0] is not value):
                return None
            factor = factor * c if step.op_type == "Mul" else factor / c
        elif step.op_type == "Mul" and operand is not None and not met:
            found = next((s for s in scaled(operand) if s[0] is x), None)
            if found is None:
                return None
            factor, met = factor * found[1], True
            nodes += found[2]
        else:
            return None
        nodes.append(step)
        value = step.outputs[0]
        if met and close(factor, wanted, x):
            return Product(step, tuple(nodes))
    return None
