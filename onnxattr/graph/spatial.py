"""Tensors inside a graph of our dialect that still have places: which is the last, and its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from onnxattr.types import ARRAY, IMAGE, InputSpec

#: What makes tensors whose second axis is that of the channels.
_CHANNELS_FIRST = (
    *("AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DeformConv"),
    *("DepthToSpace", "GroupNormalization", "ImageScaler", "InstanceNormalization", "LRN"),
    *("LpPool", "MaxPool", "QLinearConv", "SpaceToDepth", "com.microsoft.FusedConv"),
)

#: Layers: what they give is another tensor, though it may be of the same size.
_LAYERS = (*_CHANNELS_FIRST, "Attention", "Einsum", "FusedAttention", "FusedLinear", "Gemm")
_PRODUCTS = ("MatMul", "FusedMatMul")

#: Nodes that are gone through to find out what an axis is.
_MOST = 1000


@dataclass(frozen=True)
class Places:
    """A tensor with places.

    Attributes:
        value: Its name in the dialect.
        channels: The axis of its channels; the first one is that of the batch.
        shape: Its sizes, None for those that are not known.
    """

    value: str
    channels: int
    shape: tuple[int | None, ...]


def last_with_places(graph: onnx.GraphProto, spec: InputSpec) -> Places | None:
    """Returns the last tensor with places that goes into a layer, a pool, or out of all places.

    What only turns its axes round, or is done to each of its numbers, does not count. None where no
    such tensor depends on the input.

    Args:
        graph: In our dialect, of one output.
        spec: What its input is.
    """
    makers = _makers(graph)
    shapes = _shapes(graph)
    wanted = {v for node in graph.node if node.op_type == "Outputs" for v in node.input}
    moving = _moving(graph)
    for node in reversed(graph.node):
        if node.op_type == "Outputs" or wanted.isdisjoint(node.output):
            continue
        wanted.update(node.input)
        for value in node.input:
            if value not in moving or value not in makers or not _is_left(node, value, shapes):
                continue
            found = _places(value, shapes.get(value, ()), makers, spec)
            if found is not None:
                return found
    return None


def places_of(graph: onnx.GraphProto, value: str, spec: InputSpec) -> Places | None:
    """Returns what is known of one tensor, or None if it has no places, or is not computed."""
    makers = _makers(graph)
    if value not in makers:
        return None
    return _places(value, _shapes(graph).get(value, ()), makers, spec)


def _makers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {
        v: n for n in graph.node if n.op_type not in ("Outputs", "Parameter") for v in n.output if v
    }


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int | None, ...]]:
    return {
        v.name: tuple(
            d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim
        )
        for v in graph.value_info
    }


def _moving(graph: onnx.GraphProto) -> set[str]:
    """Returns the values that depend on an input."""
    found = {v.name for v in graph.input}
    for node in graph.node:
        if not found.isdisjoint(node.input):
            found.update(v for v in node.output if v)
    return found


def _is_left(
    node: onnx.NodeProto, value: str, shapes: Mapping[str, tuple[int | None, ...]]
) -> bool:
    """Whether a node makes something else of a value than each of its numbers, turned or not."""
    if operator_of(node) in _LAYERS or operator_of(node).endswith(_PRODUCTS):
        return True
    before, after = shapes.get(value), shapes.get(node.output[0])
    return before is None or after is None or sorted(map(str, before)) != sorted(map(str, after))


def _places(
    value: str,
    shape: tuple[int | None, ...],
    makers: Mapping[str, onnx.NodeProto],
    spec: InputSpec,
) -> Places | None:
    if spec.kind == IMAGE and len(shape) == 4:
        usual = 3 if spec.layout.endswith("C") else 1
    elif spec.kind == ARRAY and len(shape) > 2:
        usual = 1
    elif len(shape) == 3:
        # Rows of tokens: words, or patches of an image.
        found = Places(value, 2, shape)
        return found if spec.kind == IMAGE or shape[1] in (None, *spec.axes[:1]) else None
    else:
        return None
    axis = _channels(value, makers)
    channels = usual if axis is None else axis
    sizes = [size for i, size in enumerate(shape) if i not in (0, channels)]
    return None if all(size == 1 for size in sizes) else Places(value, channels, shape)


def _channels(value: str, makers: Mapping[str, onnx.NodeProto]) -> int | None:
    """Returns the axis of a value's channels, by the operator that it comes from."""
    turns: list[Sequence[int]] = []
    for _ in range(_MOST):
        node = makers.get(value)
        if node is None:
            return None
        if operator_of(node) in _CHANNELS_FIRST:
            axis = 1
            for turn in reversed(turns):
                axis = turn.index(axis)
            return axis
        if operator_of(node) == "Transpose":
            (perm,) = [list(a.ints) for a in node.attribute if a.name == "perm"] or [[]]
            if not perm:
                return None
            turns.append(perm)
        elif operator_of(node) in ("Reshape", "Flatten", "MatMul", "Gemm", "Squeeze", "Unsqueeze"):
            return None
        # Of a sum, either; of a product, the first that is computed.
        value = next((v for v in node.input if v in makers), "")
    return None


def operator_of(node: onnx.NodeProto) -> str:
    """Returns the operator of a node of the dialect, without its version."""
    name, _, version = node.op_type.rpartition("_")
    return name if version.isdigit() else node.op_type
