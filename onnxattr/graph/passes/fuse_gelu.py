"""Joins what exporters write for GELU."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import onnx_ir as ir

from onnxattr.graph.passes.chains import (
    Chain,
    Fusion,
    close,
    made_by,
    number,
    other,
    own,
    rank_of,
    reader,
)
from onnxattr.graph.passes.gated import scaled

#: tanh(√(2/π)·(x + 0.044715·x³)) is the approximation of erf(x/√2) (Hendrycks and Gimpel 2016).
_LINEAR, _CUBIC = math.sqrt(2 / math.pi), 0.044715 * math.sqrt(2 / math.pi)

#: How deep the argument of the function is looked into, and how far its result is followed.
_DEPTH, _STEPS = 7, 6


class FuseGelu(Fusion):
    """Replaces x·(a + b·erf(x/√2)) with a = b = ½, and its approximation with tanh, by one node.

    The factors may be applied in any order and on any side.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Erf", "Tanh"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around `node`, if it computes GELU."""
        argument = node.inputs[0]
        # The result is x·factor·(constant + slope·function).
        constant, slope = 0.0, 1.0
        nodes, value = [node], node.outputs[0]
        for _ in range(_STEPS):
            step = reader(value, "Add", "Sub", "Mul", "Div", "Neg")
            if step is None:
                return None
            nodes.append(step)
            rank = rank_of(value)
            if step.op_type == "Neg":
                constant, slope = -constant, -slope
            elif (operand := other(step, value)) is None:
                return None
            elif (c := number(operand, rank)) is None:
                if step.op_type != "Mul" or argument is None:
                    return None
                return _finish(node, argument, operand, step, nodes, (constant, slope))
            elif step.op_type == "Add":
                constant += c
            elif step.op_type == "Sub":
                first = step.inputs[0] is value
                constant, slope = (constant - c, slope) if first else (c - constant, -slope)
            elif step.op_type == "Mul":
                constant, slope = constant * c, slope * c
            elif step.inputs[0] is value and c:
                constant, slope = constant / c, slope / c
            else:
                return None
            value = step.outputs[0]
        return None


def _finish(
    function: ir.Node,
    argument: ir.Value,
    operand: ir.Value,
    product: ir.Node,
    nodes: list[ir.Node],
    affine: tuple[float, float],
) -> Chain | None:
    """Returns the chain whose gate is multiplied by `operand`, which is x or x times a number."""
    for x, factor, extra in scaled(operand):
        kind = _kind(function, argument, x)
        if kind is None:
            continue
        approximate, sign, inside = kind
        last, chain = product, [*nodes, *extra, *inside]
        half = factor * affine[0]
        # A factor ½ that is applied to the product.
        step = reader(last.outputs[0], "Mul", "Div")
        if step is not None and not close(half, 0.5, x):
            operand_ = other(step, last.outputs[0])
            c = number(operand_, rank_of(last.outputs[0]))
            if c and step.op_type == "Mul":
                factor *= c
            elif c and step.inputs[0] is last.outputs[0]:
                factor /= c
            else:
                continue
            last = step
            chain.append(step)
        if close(factor * affine[0], 0.5, x) and close(factor * affine[1] * sign, 0.5, x):
            make = functools.partial(own, "FusedGelu", [x], {"approximate": approximate})
            return Chain(last, chain, make)
    return None


def _kind(
    function: ir.Node, argument: ir.Value, x: ir.Value
) -> tuple[str, float, list[ir.Node]] | None:
    """Returns the approximation whose argument this is, its sign, and the nodes that make it."""
    nodes: list[ir.Node] = []
    found = _polynomial(argument, x, nodes, _DEPTH)
    if found is None or 1 not in found:
        return None
    sign = math.copysign(1.0, found[1])
    if function.op_type == "Tanh":
        fits = set(found) == {1, 3} and close(abs(found[1]), _LINEAR, x)
        return ("tanh", sign, nodes) if fits and close(found[3] * sign, _CUBIC, x) else None
    fits = set(found) == {1} and close(abs(found[1]), math.sqrt(0.5), x)
    return ("none", sign, nodes) if fits else None


def _polynomial(
    value: ir.Value | None, x: ir.Value, nodes: list[ir.Node], depth: int
) -> dict[int, float] | None:
    """Returns `value` as a polynomial in x, by power, if it is one of degree 3 at most."""
    if value is x:
        return {1: 1.0}
    node = made_by(value, "Mul", "Div", "Add", "Neg", "Pow")
    if node is None or not depth:
        return None
    nodes.append(node)
    terms: list[dict[int, float]] = []
    for operand in node.inputs:
        c = number(operand, rank_of(x))
        term = {0: c} if c is not None else _polynomial(operand, x, nodes, depth - 1)
        if term is None:
            return None
        terms.append(term)
    if node.op_type == "Neg":
        return _times(terms[0], {0: -1.0})
    first, second = terms
    if node.op_type == "Add":
        return {i: first.get(i, 0.0) + second.get(i, 0.0) for i in {*first, *second}}
    if node.op_type == "Mul":
        return _times(first, second)
    if set(second) != {0}:
        return None
    if node.op_type == "Div":
        return _times(first, {0: 1 / second[0]}) if second[0] else None
    square = _times(first, first)
    if second[0] == 2 or square is None:
        return square
    return _times(first, square) if second[0] == 3 else None


def _times(p: dict[int, float], q: dict[int, float]) -> dict[int, float] | None:
    product: dict[int, float] = {}
    for i, a in p.items():
        for j, b in q.items():
            product[i + j] = product.get(i + j, 0.0) + a * b
    return product if max(product) <= 3 else None
