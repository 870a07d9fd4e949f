"""Small steps on ONNX graphs that the disguises share: weights by name, convolutions, insertion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """Two convolutions with nothing but a ReLU between them: the units there are hidden."""

    before: NodeProto
    after: NodeProto


def copy(model: ModelProto) -> ModelProto:
    """Return a copy that can be changed."""
    result = ModelProto()
    result.CopyFrom(model)
    return result


def weight(model: ModelProto, name: str) -> Array:
    """Return a stored tensor by name, as an array that can be changed."""
    return numpy_helper.to_array(_stored(model, name)).copy()


def put(model: ModelProto, name: str, values: Array) -> None:
    """Replace a stored tensor, or add it; its type stays float32."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
    for old in model.graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def convolutions(model: ModelProto) -> list[NodeProto]:
    """Return the graph's plain convolutions with stored weights, in their order."""
    names = {tensor.name for tensor in model.graph.initializer}
    return [n for n in model.graph.node if n.op_type == "Conv" and n.input[1] in names]


def hidden(model: ModelProto) -> Iterator[Pair]:
    """Yield each pair of convolutions that a ReLU, and nothing else, joins."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    plain = {node.output[0] for node in convolutions(model) if groups(node) == 1}
    for node in convolutions(model):
        after, value = node, node.output[0]
        while value not in outputs and len(users.get(value, [])) == 1:
            after = users[value][0]
            if after.op_type != "Relu":
                break
            value = after.output[0]
        if after is not node and after.output[0] in plain and value == after.input[0]:
            yield Pair(node, after)


def groups(node: NodeProto) -> int:
    """Return in how many groups a convolution's channels are."""
    return next((a.i for a in node.attribute if a.name == "group"), 1)


def insert_front(model: ModelProto, nodes: list[NodeProto], shape: list[int | str]) -> None:
    """Put nodes before the graph: they read the new input `given` and write the old input's name.

    Args:
        model: Changed in place.
        nodes: The first reads `given`, the last writes what the graph's input is called now.
        shape: Of the new input.
    """
    new = helper.make_tensor_value_info("given", TensorProto.FLOAT, shape)
    model.graph.input[0].CopyFrom(new)
    _rebuild(model, [*nodes, *model.graph.node])


def append(model: ModelProto, nodes: list[NodeProto], shape: list[int | str]) -> None:
    """Put nodes behind the graph: the first reads the old output, the last writes `answer`."""
    new = helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(new)
    _rebuild(model, [*model.graph.node, *nodes])


def insert_after(model: ModelProto, node: NodeProto, make: NodeProto) -> None:
    """Put a node behind another, whose output it takes over and reads under a new name."""
    inner = f"{node.output[0]}_inner"
    make.input[0], make.output[0] = inner, node.output[0]
    place = list(model.graph.node).index(node)
    node.output[0] = inner
    _rebuild(model, [*model.graph.node[: place + 1], make, *model.graph.node[place + 1 :]])


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    """Return a value's shape: numbers, or names of free sizes."""
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def clear(model: ModelProto) -> ModelProto:
    """Return the model checked, without the shapes of inner values, which may be wrong by now."""
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def _rebuild(model: ModelProto, nodes: list[NodeProto]) -> None:
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _stored(model: ModelProto, name: str) -> TensorProto:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return tensor
    raise KeyError(name)
