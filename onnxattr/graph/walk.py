"""Everything that a model file holds, at any depth. Imports onnx and `types` alone."""

from collections.abc import Iterator

import onnx
from google.protobuf.message import Message
from onnx import FunctionProto, GraphProto, NodeProto

from onnxattr.types import OnnxNode

#: Strings that are text, not names: they may be long.
_TEXT = {"doc_string", "value"}

#: Characters of a name that a message quotes.
_QUOTED = 80

#: How the operators of ONNX itself call their domain.
STANDARD = ("", "ai.onnx")


def messages(proto: onnx.ModelProto) -> Iterator[Message]:
    """Yields every message in `proto`, itself included, those of unknown use among them."""
    waiting: list[Message] = [proto]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            # `label` and `is_repeated` come and go with protobuf's versions; a message has fields.
            waiting.extend([value] if isinstance(value, Message) else value)


def names(message: Message) -> Iterator[tuple[str, str]]:
    """Yields the field and the value of every name that `message` itself holds.

    Raises:
        UnicodeDecodeError: One is not UTF-8, which protobuf lets through as bytes.
    """
    for field, value in message.ListFields():
        if field.type != field.TYPE_STRING:
            continue
        for name in [value] if isinstance(value, str | bytes) else value:
            text = name.decode() if isinstance(name, bytes) else name
            if field.name not in _TEXT:
                yield field.name, text


def short(name: str) -> str:
    """Returns a name as messages quote it: hundreds of characters tell no more than eighty."""
    return name if len(name) <= _QUOTED else f"{name[:_QUOTED]}…"


def label(node: NodeProto | OnnxNode) -> str:
    """Returns how messages call a node: its operator, and its name if it has one."""
    return f"{node.op_type} `{short(node.name)}`" if node.name else node.op_type


def graphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yields the subgraphs of `node`."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nodes(body: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """Yields the nodes of a graph or a function and of all subgraphs in them."""
    waiting: list[GraphProto | FunctionProto] = [body]
    while waiting:
        for node in waiting.pop().node:
            yield node
            waiting.extend(graphs(node))


def taken(node: NodeProto) -> Iterator[str]:
    """Yields the values that a node takes, those among them that its subgraphs take."""
    yield from node.input
    for graph in graphs(node):
        yield from (value.name for value in graph.output)
        for inner in nodes(graph):
            yield from inner.input
            yield from (value.name for deeper in graphs(inner) for value in deeper.output)


def captured(graph: GraphProto) -> list[str]:
    """Returns the names of the outer values that `graph`, or a graph inside of it, reads."""
    inside = {value.name for value in graph.input}
    outer: dict[str, None] = {}
    for node in graph.node:
        read = [*node.input, *(name for body in graphs(node) for name in captured(body))]
        outer.update(dict.fromkeys(name for name in read if name and name not in inside))
        inside.update(node.output)
    return list(outer)


def constants(graph: GraphProto) -> dict[str, onnx.TensorProto]:
    """Returns the tensors that a graph stores, by value: initializers and `Constant` nodes."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    makers = (node for node in graph.node if node.op_type == "Constant" and node.output)
    stored |= {n.output[0]: a.t for n in makers for a in n.attribute if a.name == "value"}
    return stored
