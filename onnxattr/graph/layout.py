"""What each axis of an image input is: found by following it to an operator that defines it."""

from collections import deque
from collections.abc import Iterator, Sequence

import onnx
from onnx import numpy_helper

from onnxattr.graph.walk import STANDARD, constants

#: Operators that leave the meaning of every axis as it is.
_KEEP_AXES = {
    "Add", "BatchNormalization", "Cast", "Ceil", "Clip", "DequantizeLinear", "Div", "Dropout",
    "DynamicQuantizeLinear", "Floor", "Identity", "Max", "Min", "Mul", "Neg", "Pad", "Pow",
    "QuantizeLinear", "Relu", "Resize", "Round", "Sigmoid", "Slice", "Sqrt", "Sub", "Tanh",
    "Upsample",
}  # fmt: skip

#: Operators that read axis 1 as channels, and those behind it as rows and columns, by definition.
_CHANNELS_FIRST = {
    "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "GlobalAveragePool",
    "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "ImageScaler", "InstanceNormalization",
    "LRN", "LpPool", "MaxPool", "QLinearConv", "SpaceToDepth",
}  # fmt: skip

#: Nodes that are looked at: a hostile graph may have an input that millions of them read.
_MOST = 10_000

#: Which axis of the input each axis of a value is; None for one that the graph made, of size 1.
_Axes = tuple[int | None, ...]


def track_layout(
    graph: onnx.GraphProto, name: str, shape: Sequence[int | None]
) -> tuple[str, str] | None:
    """Returns the layout of an input and what decided it, or None where nothing does.

    Args:
        graph: The graph.
        name: Of the input.
        shape: Of the input; None for free sizes.
    """
    for node, axes in _reached(graph, name, shape):
        letters = ["?"] * len(shape)
        for letter, axis in zip("NCHW", axes, strict=True):
            if axis is not None:
                letters[axis] = letter
        layout = "".join(letters)
        if "?" not in layout and {"H", "W"} <= set(layout):
            channels = f"axis {layout.index('C')} as channels" if "C" in layout else "one channel"
            return layout, f"the first {node.op_type} reads {channels}"
    return None


def _reached(
    graph: onnx.GraphProto, name: str, shape: Sequence[int | None]
) -> Iterator[tuple[onnx.NodeProto, _Axes]]:
    """Yields the nodes that define axes, nearest first, with what they say of the input's."""
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.domain in STANDARD:
            for value in node.input:
                consumers.setdefault(value, []).append(node)
    stored = constants(graph)
    queue: deque[tuple[str, _Axes, tuple[int | None, ...]]] = deque(
        [(name, tuple(range(len(shape))), tuple(shape))]
    )
    seen, looked = {name}, 0
    while queue:
        value, axes, sizes = queue.popleft()
        for node in consumers.get(value, []):
            looked += 1
            if looked > _MOST:
                return
            if node.op_type in _CHANNELS_FIRST and node.input[0] == value and len(axes) == 4:
                yield node, axes
                continue
            after = _after(node, value, axes, sizes, stored)
            if after is None or not node.output or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            queue.append((node.output[0], *after))


def _after(
    node: onnx.NodeProto,
    value: str,
    axes: _Axes,
    sizes: tuple[int | None, ...],
    stored: dict[str, onnx.TensorProto],
) -> tuple[_Axes, tuple[int | None, ...]] | None:
    """Returns the axes and sizes of what `node` makes of a value, where that can be told."""
    if node.op_type in _KEEP_AXES:
        return axes, (None,) * len(sizes) if node.op_type in ("Pad", "Resize", "Slice") else sizes
    attributes = {a.name: list(a.ints) for a in node.attribute}
    if node.input[0] != value:
        return None
    rank = len(axes)
    if node.op_type == "Transpose":
        perm = attributes.get("perm") or list(range(rank))[::-1]
        if sorted(perm) != list(range(rank)):
            return None
        return tuple(axes[p] for p in perm), tuple(sizes[p] for p in perm)
    given = attributes.get("axes")
    if given is None and len(node.input) > 1:
        given = _integers(stored.get(node.input[1]))
    if given is None:
        return None
    if node.op_type == "Unsqueeze":
        return _unsqueezed(axes, sizes, given)
    if node.op_type == "Squeeze":
        gone = {a % rank for a in given if -rank <= a < rank}
        left = [i for i in range(rank) if i not in gone]
        return tuple(axes[i] for i in left), tuple(sizes[i] for i in left)
    if node.op_type == "Reshape":
        return _reshaped(axes, sizes, given)
    return None


def _unsqueezed(
    axes: _Axes, sizes: tuple[int | None, ...], given: Sequence[int]
) -> tuple[_Axes, tuple[int | None, ...]] | None:
    rank = len(axes) + len(given)
    new = {a % rank for a in given if -rank <= a < rank}
    if len(new) != len(given) or rank > 8:
        return None
    old = iter(zip(axes, sizes, strict=True))
    pairs = [(None, 1) if i in new else next(old) for i in range(rank)]
    return tuple(a for a, _ in pairs), tuple(s for _, s in pairs)


def _reshaped(
    axes: _Axes, sizes: tuple[int | None, ...], target: Sequence[int]
) -> tuple[_Axes, tuple[int | None, ...]] | None:
    """Follows a Reshape that only adds an axis of one, or only takes one away."""
    if len(target) == len(sizes):
        same = all(t in (0, -1, s) for t, s in zip(target, sizes, strict=True))
        return (axes, sizes) if same and list(target).count(-1) <= 1 else None
    if len(target) == len(sizes) + 1:
        for place in range(len(target)):
            rest = [*target[:place], *target[place + 1 :]]
            fits = all(t in (-1, s) for t, s in zip(rest, sizes, strict=True))
            # The batch may be free, and one other size may be worked out.
            if target[place] == 1 and place not in (0,) and fits and rest.count(-1) <= 1:
                return _unsqueezed(axes, sizes, [place])
    return None


def _integers(tensor: onnx.TensorProto | None) -> list[int] | None:
    if tensor is None or tensor.data_type != onnx.TensorProto.INT64 or sum(tensor.dims) > 8:
        return None
    try:
        return [int(v) for v in numpy_helper.to_array(tensor).reshape(-1)]
    except Exception:  # Whatever a damaged tensor makes it raise: nothing is known then.
        return None
