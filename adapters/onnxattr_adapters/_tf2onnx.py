"""What tf2onnx writes that is no ONNX, put right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from typing import Any, cast

import onnx
from onnx import helper

#: How tf2onnx names what it has folded.
_FOLDED = "const_fold_opt__"


def mend(model: onnx.ModelProto) -> None:
    """Replace, in place, `Erfc` and `TFL_GELU` by operators of ONNX.

    tf2onnx 1.17 passes both through: the first stands in an exact GELU of TensorFlow, the second
    in one of tflite.
    """
    _mend_graph(model.graph)
    for function in model.functions:
        _mend_nodes(cast("MutableSequence[onnx.NodeProto]", function.node))


def settle(model: onnx.ModelProto) -> None:
    """Number folded constants, in place, by their first use.

    tf2onnx folds in the order of a set of objects, which is another in every process; the same
    model must give the same bytes, by which finished maps are found again.
    """
    folded = {t.name: t for t in model.graph.initializer if t.name.startswith(_FOLDED)}
    used = dict.fromkeys(name for name in _uses(model.graph) if name in folded)
    names = {old: f"{_FOLDED}{number}" for number, old in enumerate(used)}
    kept = [t for t in model.graph.initializer if t.name not in names]
    moved = [folded[name] for name in used]
    _rename(model.graph, names)
    for tensor in moved:
        tensor.name = names[tensor.name]
    ordered = [onnx.TensorProto.FromString(t.SerializeToString()) for t in (*kept, *moved)]
    del model.graph.initializer[:]
    model.graph.initializer.extend(ordered)


def _uses(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for inner in _inner(node):
            yield from _uses(inner)
    yield from (value.name for value in graph.output)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
        for inner in _inner(node):
            _rename(inner, names)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


def _mend_graph(graph: onnx.GraphProto) -> None:
    _mend_nodes(cast("MutableSequence[onnx.NodeProto]", graph.node))


def _mend_nodes(nodes: MutableSequence[onnx.NodeProto]) -> None:
    new: list[onnx.NodeProto] = []
    for node in nodes:
        for graph in _inner(node):
            _mend_graph(graph)
        replace = _REPLACED.get(node.op_type)
        new += replace(node) if replace else [node]
    if len(new) != len(nodes):
        del nodes[:]
        nodes.extend(new)


class _Chain:
    """Nodes in front of a result, each with one output."""

    def __init__(self, result: str) -> None:
        self._result, self.nodes = result, list[onnx.NodeProto]()

    def constant(self, value: float) -> str:
        tensor = helper.make_tensor("", onnx.TensorProto.FLOAT, [], [value])
        return self("Constant", value=tensor)

    def __call__(self, operator: str, *inputs: str, last: bool = False, **attributes: Any) -> str:
        name = self._result if last else f"{self._result}/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


def _erfc(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """1 − erf x."""
    chain = _Chain(node.output[0])
    chain("Sub", chain.constant(1.0), chain("Erf", node.input[0]), last=True)
    return chain.nodes


def _gelu(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """½ x (1 + erf(x / √2)), or the approximation by tanh where the node asks for it."""
    x, chain = node.input[0], _Chain(node.output[0])
    if any(a.name == "approximate" and a.i for a in node.attribute):
        cube = chain("Mul", chain("Mul", x, x), x)
        inner = chain("Add", x, chain("Mul", cube, chain.constant(0.044715)))
        bend = chain("Tanh", chain("Mul", inner, chain.constant(math.sqrt(2 / math.pi))))
    else:
        bend = chain("Erf", chain("Mul", x, chain.constant(math.sqrt(0.5))))
    half = chain("Mul", x, chain.constant(0.5))
    chain("Mul", half, chain("Add", bend, chain.constant(1.0)), last=True)
    return chain.nodes


_REPLACED: dict[str, Callable[[onnx.NodeProto], list[onnx.NodeProto]]] = {
    "Erfc": _erfc,
    "TFL_GELU": _gelu,
}
