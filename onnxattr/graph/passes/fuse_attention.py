"""Joins what exporters write for attention."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from onnxattr.graph.passes import attention_scores, attention_weights, choices, products
from onnxattr.graph.passes.attention_scores import Scores
from onnxattr.graph.passes.attention_weights import Weights
from onnxattr.graph.passes.chains import Chain, Fusion, own, rank_of, reader, stored
from onnxattr.graph.passes.products import Operand

#: The largest number of a row of a mask may be this far from 0. The kernels keep the logarithm of
#: the sum of exp(score), whose rounding is the relative error of the gradient.
_LEVEL = 64


class FuseAttention(Fusion):
    """Replaces softmax(q·kᵀ·scale + bias)·v by one node that takes q, kᵀ, v, and masks.

    kᵀ is taken as the first product takes it: it costs nothing to turn it back. A scale may be
    applied to the scores, by Mul or Div, or to q and kᵀ, and may differ by head and query. Masks
    are added, or chosen by Where or by arithmetic, or they choose among the weights, which are
    then shared out anew. Between the products the first axis may be seen as several, as that of
    Swin's windows is.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Softmax"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around the softmax `node`, if it is attention."""
        if not _is_last_axis(node, opset):
            return None
        scores = attention_scores.find(node.inputs[0])
        if scores is None:
            return None
        weights = attention_weights.follow(scores, node, opset)
        product = reader(weights.value, "Einsum", "MatMul")
        mixed = products.mixture(product, weights.value) if product is not None else None
        empty = _empty_rows(weights)
        if product is None or mixed is None or empty is None or stored(mixed[0].value) is not None:
            return None
        v = _beside(weights.scores, mixed[0])
        if v is None:
            return None
        nodes = [node, *weights.scores.nodes, *weights.nodes]
        return Chain(product, nodes, functools.partial(_make, weights.scores, v, mixed[1], empty))


def _beside(scores: Scores, v: Operand) -> Operand | None:
    """Returns the values split as the scores are that they are mixed by."""
    if not scores.joined:
        return v
    rank = rank_of(scores.product)
    return products.split(v, rank, scores.sizes) if rank is not None else None


def _is_last_axis(node: ir.Node, opset: int) -> bool:
    rank = rank_of(node.inputs[0])
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else None
    if axis is None:
        axis = -1 if opset >= 13 else 1
    # Before opset 13 all axes from this one on are one: the same where it is the last.
    return axis == -1 or (rank is not None and axis == rank - 1)


def _empty_rows(weights: Weights) -> str | None:
    """Returns what the weights are where every score of a query is forbidden.

    `none`: that does not happen; `zero`; `nan`; `mean`: all alike. None where they may be something
    else yet.
    """
    scores = weights.scores
    masks = [mask.value for mask in scores.masks]
    level = all(_is_level(mask) for mask in masks)
    if level and (scores.condition is None or _is_never_empty(scores.condition)):
        return "none"
    if weights.zeroed:
        return "zero" if level else None
    if scores.keep is not None and scores.fill != -math.inf:
        # Beside a −∞ that was added, the number would no longer stand for one.
        return "mean" if level else None
    if any(stored(mask) is not None and not _is_level(mask) for mask in masks):
        return None
    return "zero" if weights.cleaned else "nan"


def _is_level(mask: ir.Value) -> bool:
    """Returns whether a mask that is added is stored and leaves something of each row."""
    array = stored(mask)
    if array is None or not array.ndim or not array.size:
        return False
    return bool((np.abs(array.max(axis=-1).astype(np.float64)) <= _LEVEL).all())


def _is_never_empty(condition: choices.Condition) -> bool:
    allowed = choices.constant(condition)
    return allowed is not None and bool(allowed.ndim) and bool(allowed.any(axis=-1).all())


def _make(scores: Scores, v: Operand, order: tuple[int, ...], empty: str) -> list[ir.Node]:
    """Returns the node, after what prepares its inputs and before what orders its output."""
    made: list[ir.Node] = []
    operands = [operand.make(made) for operand in (scores.q, scores.k, v)]
    masks = [mask.make(made) for mask in scores.masks]
    bias = masks[0] if masks else None
    for mask in masks[1:]:
        made.append(ir.node("Add", [bias, mask]))
        bias = made[-1].outputs[0]
    keep = scores.keep.make(made) if scores.keep is not None else None
    attributes = {"scale": scores.scale, "empty": empty}
    made += own("FusedAttention", [*operands, bias, keep], attributes)
    if scores.joined:
        made += own("JoinFirst", made[-1].outputs, {"axes": len(scores.sizes)})
    if order:
        made.append(ir.node("Transpose", [made[-1].outputs[0]], {"perm": list(order)}))
    return made
