"""Tensors at some depths of a graph: what its layers with weights make, before an activation."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from onnxattr.graph.walk import taken

#: Operators that multiply what they are given by weights, in any domain.
_LAYERS = {
    "Conv", "ConvInteger", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm",
    "MatMul", "MatMulInteger", "MatMulNBits", "NhwcConv", "QGemm", "QLinearConv", "QLinearMatMul",
}  # fmt: skip

#: Fewer layers than these have no early and late ones to be told apart.
_LEAST = 3


@dataclass(frozen=True)
class Depths:
    """Tensors of a graph near its input and near its representation.

    Attributes:
        early: What the second layer makes, and the third.
        late: What the last layer but one makes, the last one, and the one before them.
    """

    early: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


def depths(graph: onnx.GraphProto, start: str, end: str) -> Depths:
    """Returns tensors at two depths of the way from an input to the representation.

    The first layer is left out: it is alike in models that share nothing but an initial seed. The
    first of each group stands for the model; the others are there because a layer may have been
    put in or taken away.

    Args:
        graph: A model's main graph as it was given.
        start: Its input.
        end: Its representation.
    """
    layers = _layers(graph, start, end)
    if len(layers) < _LEAST:
        return Depths()
    early = tuple(dict.fromkeys(layers[1:3]))
    late = tuple(dict.fromkeys((layers[-2], layers[-1], layers[-3])))
    return Depths(early, late)


def _layers(graph: onnx.GraphProto, start: str, end: str) -> list[str]:
    """Returns what the layers on the way make, in the order of the graph."""
    reached = {start}
    for node in graph.node:
        if any(value in reached for value in taken(node)):
            reached.update(output for output in node.output if output)
    made = {output: node for node in graph.node for output in node.output if output}
    wanted, waiting = set[str](), [end]
    while waiting:
        value = waiting.pop()
        if value in wanted or value not in reached or value not in made:
            continue
        wanted.add(value)
        waiting.extend(made[value].input)
    return [
        node.output[0]
        for node in graph.node
        if node.op_type in _LAYERS and node.output and node.output[0] in wanted
    ]
