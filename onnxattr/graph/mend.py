"""Mends what ONNX Runtime forgives and the ONNX checker does not, so that such files are read."""

import heapq
from collections.abc import Iterator

import onnx
from onnx import GraphProto, NodeProto, TypeProto, helper

from onnxattr.graph.walk import STANDARD, graphs, nodes, taken

#: From this version on an initializer need not be an input too.
FREE_INITIALIZERS = 4

#: What is imported for the Identity that stands for a ZipMap, where ONNX's own set is missing.
PLAIN_OPSET = 13


def mend(proto: onnx.ModelProto) -> None:
    """Mends a model in place; what it computes stays.

    - Nodes are put in order, where there is one: who writes files by hand does not always.
    - Initializers that are no inputs are allowed, as they are from version 4 of the format on.
    - A ZipMap among the outputs becomes the tensor that it makes a list of dictionaries of:
      scikit-learn's exporters append one to every classifier.
    """
    if proto.ir_version == FREE_INITIALIZERS - 1:
        inputs = {value.name for value in proto.graph.input}
        if any(tensor.name not in inputs for tensor in proto.graph.initializer):
            proto.ir_version = FREE_INITIALIZERS
    _unzip(proto)
    for body in _bodies(proto):
        _sort(body)


def _unzip(proto: onnx.ModelProto) -> None:
    maps = {v.name: v for v in proto.graph.output if v.type.HasField("sequence_type")}
    for node in proto.graph.node:
        if node.op_type != "ZipMap" or len(node.input) != 1 or len(node.output) != 1:
            continue
        output = maps.get(node.output[0])
        if output is None or not output.type.sequence_type.elem_type.HasField("map_type"):
            continue
        node.CopyFrom(NodeProto(op_type="Identity", input=node.input, output=node.output))
        kind = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [None, None])
        output.type.CopyFrom(TypeProto(tensor_type=kind.tensor_type))
        if not any(o.domain in STANDARD for o in proto.opset_import):
            proto.opset_import.append(helper.make_opsetid("", PLAIN_OPSET))


def _bodies(proto: onnx.ModelProto) -> Iterator[GraphProto | onnx.FunctionProto]:
    yield proto.graph
    yield from proto.functions
    for body in (proto.graph, *proto.functions):
        for node in nodes(body):
            yield from graphs(node)


def _sort(body: GraphProto | onnx.FunctionProto) -> None:
    """Puts every node behind those that make what it takes, and otherwise keeps the order."""
    makers: dict[str, int] = {}
    for i, node in enumerate(body.node):
        for value in node.output:
            if value and makers.setdefault(value, i) != i:
                return  # made twice: the checker says so
    before = [{makers[v] for v in taken(node) if v in makers} for node in body.node]
    if all(max(needed, default=-1) < i for i, needed in enumerate(before)):
        return
    after: list[list[int]] = [[] for _ in before]
    for i, needed in enumerate(before):
        for maker in needed:
            after[maker].append(i)
    missing = [len(needed) for needed in before]
    ready = [i for i, count in enumerate(missing) if not count]
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for i in after[order[-1]]:
            missing[i] -= 1
            if not missing[i]:
                heapq.heappush(ready, i)
    if len(order) == len(before):  # otherwise there is a circle: the checker says so
        places = iter(sorted(range(len(order)), key=order.__getitem__))
        body.node.sort(key=lambda _: next(places))
