"""Disguises that change what a model is to be fed with; the rest of its function stays.

Models here take RGB in 0..1, NCHW; each function says what its result takes instead.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from benchmarks.disguises import graphs


def bgr(model: ModelProto) -> ModelProto:
    """Return the model for BGR: the kernels of the first layer have their channels reversed."""
    result = graphs.copy(model)
    for node in _first(result):
        graphs.put(result, node.input[1], graphs.weight(result, node.input[1])[:, ::-1])
    return graphs.clear(result)


def bytes_range(model: ModelProto) -> ModelProto:
    """Return the model for 0..255: the kernels of the first layer are divided by 255."""
    result = graphs.copy(model)
    for node in _first(result):
        graphs.put(result, node.input[1], graphs.weight(result, node.input[1]) / 255)
    return graphs.clear(result)


def signed_range(model: ModelProto) -> ModelProto:
    """Return the model for -1..1, by a product and a sum before the first layer.

    They cannot be folded into it, whose padding is zero.
    """
    result = graphs.copy(model)
    given = result.graph.input[0]
    half = np.full((1, 3, 1, 1), 0.5)
    graphs.put(result, "half", half)
    graphs.put(result, "centre", half)
    nodes = [
        helper.make_node("Mul", ["given", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "centre"], [given.name]),
    ]
    graphs.insert_front(result, nodes, graphs.dims(given))
    return graphs.clear(result)


def _first(model: ModelProto) -> list[NodeProto]:
    """Return the convolutions that read the graph's input."""
    name = model.graph.input[0].name
    return [node for node in graphs.convolutions(model) if node.input[0] == name]
