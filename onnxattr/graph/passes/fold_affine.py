"""Folds arithmetic with one number a channel into the layer before it."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxattr.graph.passes.chains import Chain, Fusion, made_by, stored
from onnxattr.graph.passes.fold_batch_norm import output_axis, store

_Array = np.ndarray[Any, Any]


class FoldAffine(Fusion):
    """Replaces a layer with stored weights, and what its channels are moved or scaled by, by one.

    So exporters write biases that they keep apart, and batch normalisation that they take apart;
    where channels come last a Transpose lies in between. A single number stays where it is: it may
    be part of an activation.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Add", "Sub", "Mul", "Div"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the layer, a Transpose behind it, and the arithmetic `node`, if all is stored."""
        # Before opset 7 an attribute says whether operands broadcast.
        if opset < 7 or len(node.inputs) != 2:
            return None
        place = 0 if stored(node.inputs[0]) is None else 1
        operand = stored(node.inputs[1 - place])
        turn = made_by(node.inputs[place], "Transpose")
        value = turn.inputs[0] if turn is not None else node.inputs[place]
        layer = made_by(value, "Conv", "ConvTranspose", "Gemm")
        axis = output_axis(layer) if layer is not None else None
        if layer is None or axis is None or operand is None or len(layer.inputs) < 2:
            return None
        held = [stored(v) for v in layer.inputs[1:] if v is not None]
        parts = [part for part in (*held, operand) if part is not None]
        if len(parts) <= len(held) or not all(np.issubdtype(p.dtype, np.floating) for p in parts):
            return None
        weight, *bias = parts[:-1]
        numbers = _by_channel(operand, turn, weight.ndim, weight.shape[axis])
        if numbers is None or any(b.shape != numbers.shape for b in bias):
            return None
        affine = _affine(node.op_type, numbers, second=place == 0)
        if affine is None:
            return None
        factor, shift = affine
        by_output = factor.reshape([-1 if a == axis else 1 for a in range(weight.ndim)])
        base = bias[0].astype(np.float64) if bias else 0.0
        with np.errstate(all="ignore"):
            folded = (weight * by_output).astype(weight.dtype)
            moved = (base * factor + shift).astype(weight.dtype)
        if not (np.isfinite(folded).all() and np.isfinite(moved).all()):
            return None
        make = functools.partial(_make, layer, turn, folded, moved)
        return Chain(node, [layer, *([turn] if turn is not None else [])], make)


def _by_channel(operand: _Array, turn: ir.Node | None, rank: int, channels: int) -> _Array | None:
    """Returns the number of each channel, if an operand holds one for each and nothing else."""
    axis = 1
    if turn is not None:
        if "perm" not in turn.attributes:
            return None
        axis = list(turn.attributes["perm"].as_ints()).index(axis)
    sizes = [1] * (rank - operand.ndim) + list(operand.shape)
    if channels == 1 or sizes != [channels if a == axis else 1 for a in range(rank)]:
        return None
    return operand.reshape(-1).astype(np.float64)


def _affine(operator: str, numbers: _Array, *, second: bool) -> tuple[_Array, _Array] | None:
    """Returns the factor and the summand of each channel.

    Args:
        operator: The arithmetic.
        numbers: One a channel.
        second: Whether they are its second operand.
    """
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    if operator == "Add":
        return one, numbers
    if operator == "Mul":
        return numbers, zero
    if operator == "Sub":
        return (one, -numbers) if second else (-one, numbers)
    if not second or not numbers.all():
        return None
    return 1 / numbers, zero


def _make(layer: ir.Node, turn: ir.Node | None, weight: _Array, bias: _Array) -> list[ir.Node]:
    graph = layer.graph
    assert isinstance(graph, ir.Graph)
    inputs = [layer.inputs[0], store(graph, weight), store(graph, bias)]
    made = [ir.node(layer.op_type, inputs, layer.attributes, version=layer.version)]
    if turn is not None:
        made.append(ir.node("Transpose", made[0].outputs, turn.attributes, version=turn.version))
    return made
