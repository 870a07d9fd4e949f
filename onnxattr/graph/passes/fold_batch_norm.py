"""Folds batch normalisation into the layer before it."""

from __future__ import annotations

import functools
from itertools import count
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxattr.graph.passes.chains import Chain, Fusion, made_by, stored

_Array = np.ndarray[Any, Any]


class FoldBatchNorm(Fusion):
    """Replaces a layer with stored weights and its batch normalisation by one layer.

    Exporters of PyTorch and TensorFlow do so; those of Paddle and JAX leave it to the reader.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"BatchNormalization"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the layer and its normalisation `node`, if what they hold is stored."""
        if not _is_inference(node, opset):
            return None
        layer = made_by(node.inputs[0], "Conv", "ConvTranspose", "Gemm")
        axis = output_axis(layer) if layer is not None else None
        if layer is None or axis is None:
            return None
        held = [stored(v) for v in (layer.inputs[1], *layer.inputs[2:], *node.inputs[1:])]
        if any(array is None or not np.issubdtype(array.dtype, np.floating) for array in held):
            return None
        weight, *bias, scale, shift, mean, variance = (a for a in held if a is not None)
        epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
        if {a.shape for a in (*bias, scale, shift, mean, variance)} != {
            weight.shape[axis : axis + 1]
        }:
            return None
        with np.errstate(all="ignore"):
            factor = scale / np.sqrt(variance.astype(np.float64) + epsilon)
            by_output = factor.reshape([-1 if a == axis else 1 for a in range(weight.ndim)])
            folded = (weight * by_output).astype(weight.dtype)
            base = bias[0].astype(np.float64) if bias else 0.0
            moved = np.broadcast_to((base - mean) * factor + shift, scale.shape).astype(
                weight.dtype
            )
        if not (np.isfinite(folded).all() and np.isfinite(moved).all()):
            return None
        return Chain(node, [layer], functools.partial(_make, layer, folded, moved))


def _is_inference(node: ir.Node, opset: int) -> bool:
    numbers = {name: node.attributes[name].value for name in node.attributes}
    # Before opset 7 an attribute says which of both it is, and until 9 one whether pixels share.
    known = opset >= 7 and numbers.get("spatial", 1) and not numbers.get("training_mode", 0)
    return bool(known) and len(node.inputs) == 5 and len(node.outputs) == 1


def output_axis(layer: ir.Node) -> int | None:
    """Returns the axis of a layer's weights along which its output's channels lie."""
    numbers = {name: layer.attributes[name].value for name in layer.attributes}
    if layer.op_type == "Conv":
        return 0
    if layer.op_type == "ConvTranspose":
        return 1 if numbers.get("group", 1) == 1 else None
    plain = numbers.get("beta", 1) == 1 and numbers.get("alpha", 1) == 1
    return (0 if numbers.get("transB", 0) else 1) if plain else None


def _make(layer: ir.Node, weight: _Array, bias: _Array) -> list[ir.Node]:
    graph = layer.graph
    assert isinstance(graph, ir.Graph)
    inputs = [layer.inputs[0], store(graph, weight), store(graph, bias)]
    return [ir.node(layer.op_type, inputs, layer.attributes, version=layer.version)]


def store(graph: ir.Graph, array: _Array) -> ir.Value:
    """Returns the value of an array that a graph is made to store."""
    numbers = count(len(graph.initializers))
    name = next(n for i in numbers if (n := f"onnxattr.{i}") not in graph.initializers)
    value = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value
