"""Joins what exporters write for attention."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from onnxattr.graph.passes import products
from onnxattr.graph.passes.chains import (
    Chain,
    Fusion,
    made_by,
    number,
    other,
    own,
    rank_of,
    reader,
    stored,
)
from onnxattr.graph.passes.products import Taken, mixture

#: A score that stands for −∞ where it replaces another: exp of it is 0 beside any real score.
_FORBIDDEN = -1e4

#: Added to any real score, this leaves nothing of it: where all are forbidden, all are alike.
_ABSORBING = {ir.DataType.DOUBLE: -1e18, ir.DataType.FLOAT: -1e9}

#: The largest number of a row of a mask may be this far from 0. The kernels keep the logarithm of
#: the sum of exp(score), whose rounding is the relative error of the gradient.
_LEVEL = 64

#: These may regroup the axes of the batch between the products, as TensorFlow's einsum does.
_REGROUPS = ("Reshape", "Squeeze", "Unsqueeze")

#: How many masks and scales lie between the two products at most.
_DEPTH = 6


class FuseAttention(Fusion):
    """Replaces softmax(q·kᵀ·scale + bias)·v by one node that takes q, kᵀ, v, and masks.

    kᵀ is taken as the first product takes it: it costs nothing to turn it back. A scale may be
    applied to the scores, by Mul or Div, or to q and kᵀ, and may differ by head and query. Masks
    are added, or chosen by Where.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Softmax"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around the softmax `node`, if it is attention."""
        if not _is_last_axis(node, opset):
            return None
        scores = _scores(node.inputs[0], _DEPTH)
        if scores is None:
            return None
        nodes = [node, *scores.nodes]
        weights, cleaned = _cleaned(node.outputs[0], nodes)
        weights = _without_dropout(weights, nodes, opset)
        if scores.regrouped:
            weights = _grouped_back(scores, node, weights, nodes)
        product = reader(weights, "Einsum", "MatMul")
        mixed = mixture(product, weights) if product is not None else None
        empty = _empty_rows(scores, cleaned)
        if product is None or mixed is None or empty is None or stored(mixed[0].value) is not None:
            return None
        return Chain(product, nodes, functools.partial(_make, scores, *mixed, empty))


@dataclass(frozen=True)
class _Scores:
    """What a softmax takes: q·kᵀ·scale + the sum of the terms, and `fill` where it may not look.

    Attributes:
        q: As the product takes it, before a scale.
        k: Likewise, transposed.
        nodes: All nodes that make the scores.
        scale: A number.
        factors: Mul or Div, and what else the scores are scaled by, one number a query.
        terms: What is added, first first.
        keep: Where the scores hold; elsewhere they are `fill`.
        inverted: Whether `keep` says the opposite.
        fill: −∞ or a number that stands for it.
        regrouped: Whether they were reshaped since the product.
    """

    q: Taken
    k: Taken
    nodes: tuple[ir.Node, ...]
    scale: float = 1.0
    factors: tuple[tuple[str, ir.Value], ...] = ()
    terms: tuple[ir.Value, ...] = ()
    keep: ir.Value | None = None
    inverted: bool = False
    fill: float = -math.inf
    regrouped: bool = False


def _scores(value: ir.Value | None, depth: int) -> _Scores | None:
    """Returns `value` as scores, if they come from a product."""
    node = made_by(value, "Add", "Div", "Einsum", "MatMul", "Mul", "Where", *_REGROUPS)
    if node is None or not depth:
        return None
    if node.op_type in _REGROUPS:
        inner = _scores(node.inputs[0], depth - 1)
        plain = inner is not None and not inner.factors and not inner.terms and inner.keep is None
        if inner is None or not plain:
            return None
        return dataclasses.replace(inner, nodes=(*inner.nodes, node), regrouped=True)
    if node.op_type in ("Einsum", "MatMul"):
        return _product(node)
    if node.op_type == "Where":
        return _chosen(node, depth)
    for operand in node.inputs[: 1 if node.op_type == "Div" else 2]:
        rest = other(node, operand) if operand is not None else None
        inner = _scores(operand, depth - 1) if rest is not None else None
        if inner is None or rest is None:
            continue
        if node.op_type == "Add":
            # A number that replaces a score holds only as long as nothing is added to it.
            if not inner.regrouped and (inner.keep is None or inner.fill == -math.inf):
                return _added(inner, rest, node)
            continue
        nodes = (*inner.nodes, node)
        if inner.terms or inner.keep is not None:
            continue
        factor = number(rest, rank_of(operand) or 2)
        if factor:
            scale = inner.scale * factor if node.op_type == "Mul" else inner.scale / factor
            return dataclasses.replace(inner, nodes=nodes, scale=scale)
        if not inner.regrouped and _is_one_a_query(rest, operand):
            factors = (*inner.factors, (node.op_type, rest))
            return dataclasses.replace(inner, nodes=nodes, factors=factors)
    return None


def _is_one_a_query(factor: ir.Value, scores: ir.Value | None) -> bool:
    """Returns whether a factor of the scores is the same for all keys, so that q may have it."""
    rank = rank_of(scores)
    return bool(factor.shape and rank and len(factor.shape) <= rank and factor.shape[-1] == 1)


def _added(inner: _Scores, mask: ir.Value, node: ir.Node) -> _Scores:
    """Returns the scores with a mask added, which may be a choice between 0 and as good as −∞."""
    nodes = (*inner.nodes, node)
    choice = made_by(mask, "Where") if inner.keep is None else None
    if choice is not None and choice.inputs[0] is not None:
        yes, no = (number(v, 2) for v in choice.inputs[1:])
        inverted = no == 0
        fill = yes if inverted else no
        most = _ABSORBING.get(mask.dtype, -math.inf) if mask.dtype else -math.inf
        if {yes, no} == {0.0, fill} and fill is not None and fill <= most:
            keep = choice.inputs[0]
            return dataclasses.replace(inner, nodes=nodes, keep=keep, inverted=inverted, fill=fill)
    return dataclasses.replace(inner, nodes=nodes, terms=(*inner.terms, mask))


def _chosen(node: ir.Node, depth: int) -> _Scores | None:
    """Returns the scores that a `Where` lets through."""
    condition, yes, no = node.inputs
    for operand, filler, inverted in ((yes, no, False), (no, yes, True)):
        fill = number(filler, rank_of(operand) or 2)
        if fill is None or fill > _FORBIDDEN:
            continue
        inner = _scores(operand, depth - 1)
        if inner is None or inner.regrouped:
            continue
        if inner.keep is None and condition is not None:
            nodes = (*inner.nodes, node)
            return dataclasses.replace(
                inner, nodes=nodes, keep=condition, inverted=inverted, fill=fill
            )
    return None


def _product(node: ir.Node) -> _Scores | None:
    found = products.scores(node)
    if found is None:
        return None
    nodes, scale, operands = [node], 1.0, []
    for taken in found:
        value, factor, step = _unscaled(taken.value, node)
        if stored(value) is not None:
            return None
        operands.append(dataclasses.replace(taken, value=value))
        scale *= factor
        nodes += [step] if step is not None else []
    return _Scores(operands[0], operands[1], tuple(nodes), scale)


def _unscaled(value: ir.Value, product: ir.Node) -> tuple[ir.Value, float, ir.Node | None]:
    """Returns an operand of the product before a number scales it, the number and the node."""
    node = made_by(value, "Div", "Mul")
    if node is not None and reader(value) is product:
        for operand in node.inputs[: 1 if node.op_type == "Div" else 2]:
            rest = other(node, operand) if operand is not None else None
            factor = number(rest, rank_of(operand) or 1)
            if factor and operand is not None:
                return operand, factor if node.op_type == "Mul" else 1 / factor, node
    return value, 1.0, None


def _grouped_back(
    scores: _Scores, softmax: ir.Node, weights: ir.Value, nodes: list[ir.Node]
) -> ir.Value:
    """Returns the weights grouped as the scores were by their product.

    Rows stay rows wherever the last two axes are of the same sizes again. With one axis before
    them, that one is the same, too.
    """
    while (step := reader(weights, *_REGROUPS)) is not None:
        nodes.append(step)
        weights = step.outputs[0]
    shapes = [v.shape for v in (scores.nodes[0].outputs[0], softmax.inputs[0], weights) if v]
    rows = {tuple(shape[-2:]) if shape is not None else None for shape in shapes}
    alike = len(rows) == 1 and all(isinstance(size, int) for size in rows.pop() or [None])
    fits = alike and rank_of(weights) == rank_of(scores.nodes[0].outputs[0]) == 3
    return weights if fits else softmax.outputs[0]


def _cleaned(weights: ir.Value, nodes: list[ir.Node]) -> tuple[ir.Value, bool]:
    """Returns the weights after a `Where` that makes NaN zero, and whether there is one."""
    users = {use.node.op_type: use.node for use in weights.uses()}
    test, where = users.get("IsNaN"), users.get("Where")
    if test is None or where is None or len(weights.uses()) != 2:
        return weights, False
    condition, yes, no = where.inputs
    if condition is not test.outputs[0] or no is not weights or number(yes, 2) != 0:
        return weights, False
    nodes += [test, where]
    return where.outputs[0], True


def _without_dropout(weights: ir.Value, nodes: list[ir.Node], opset: int) -> ir.Value:
    node = reader(weights, "Dropout")
    # Before opset 7 an attribute says whether it is active.
    if node is None or opset < 7 or (len(node.inputs) > 2 and node.inputs[2] is not None):
        return weights
    nodes.append(node)
    return node.outputs[0]


def _is_last_axis(node: ir.Node, opset: int) -> bool:
    rank = rank_of(node.inputs[0])
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else None
    if axis is None:
        axis = -1 if opset >= 13 else 1
    # Before opset 13 all axes from this one on are one: the same where it is the last.
    return axis == -1 or (rank is not None and axis == rank - 1)


def _empty_rows(scores: _Scores, cleaned: bool) -> str | None:
    """Returns what the weights are where every score of a query is forbidden.

    `none`: that does not happen; `zero`; `nan`; `mean`: all alike. None where they may be something
    else yet.
    """
    level = all(_is_level(term) for term in scores.terms)
    if scores.keep is not None and scores.fill != -math.inf:
        # Beside a −∞ that was added, the number would no longer stand for one.
        return "mean" if level else None
    if level and (scores.keep is None or _is_never_empty(scores)):
        return "none"
    if any(stored(term) is not None and not _is_level(term) for term in scores.terms):
        return None
    return "zero" if cleaned else "nan"


def _is_level(term: ir.Value) -> bool:
    """Returns whether a mask that is added is stored and leaves something of each row."""
    array = stored(term)
    if array is None or not array.ndim or not array.size:
        return False
    return bool((np.abs(array.max(axis=-1).astype(np.float64)) <= _LEVEL).all())


def _is_never_empty(scores: _Scores) -> bool:
    allowed = stored(scores.keep)
    if allowed is None or not allowed.ndim:
        return False
    return bool((allowed != scores.inverted).any(axis=-1).all())


def _make(scores: _Scores, v: Taken, order: tuple[int, ...], empty: str) -> list[ir.Node]:
    """Returns the node, after what prepares its inputs and before what orders its output."""
    made: list[ir.Node] = []
    operands = [taken.make(made) for taken in (scores.q, scores.k, v)]
    for operator, factor in scores.factors:
        made.append(ir.node(operator, [operands[0], factor]))
        operands[0] = made[-1].outputs[0]
    bias = scores.terms[0] if scores.terms else None
    for term in scores.terms[1:]:
        made.append(ir.node("Add", [bias, term]))
        bias = made[-1].outputs[0]
    keep = scores.keep
    if keep is not None and scores.inverted:
        made.append(ir.node("Not", [keep]))
        keep = made[-1].outputs[0]
    attributes = {"scale": scores.scale, "empty": empty}
    made += own("FusedAttention", [*operands, bias, keep], attributes)
    if order:
        made.append(ir.node("Transpose", [made[-1].outputs[0]], {"perm": list(order)}))
    return made
