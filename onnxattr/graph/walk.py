"""Everything that a model file holds, at any depth. Imports onnx alone; recursion is never used."""

from collections.abc import Iterator

import onnx
from google.protobuf.message import Message
from onnx import FunctionProto, GraphProto, NodeProto

#: Strings that are text, not names: they may be long.
_TEXT = {"doc_string", "value"}


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
        if field.type != field.TYPE_STRING or field.name in _TEXT:
            continue
        for name in [value] if isinstance(value, str | bytes) else value:
            yield field.name, name.decode() if isinstance(name, bytes) else name


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
