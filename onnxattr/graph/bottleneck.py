"""The narrowest tensor between input and output, for encoders that are followed by a decoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxattr.errors import UsageError
from onnxattr.graph.budget import require_budget
from onnxattr.graph.shapes import dims_of, shaped
from onnxattr.limits import Limits
from onnxattr.types import InputSpec, Model

#: Layers that mix channels, the last axis of their outputs being theirs.
_PRODUCTS = {
    "Attention", "Einsum", "FusedMatMul", "GRU", "Gemm", "LSTM", "LinearClassifier",
    "LinearRegressor", "MatMul", "MatMulInteger", "QGemm", "QLinearMatMul", "RNN",
}  # fmt: skip

#: Likewise the second axis.
_CONVOLUTIONS = {
    "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "FusedConv", "QLinearConv",
}  # fmt: skip

#: Operators without weights whose second axis is channels.
_POOLS = {
    "AveragePool", "DepthToSpace", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool",
    "MaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool", "SpaceToDepth",
}  # fmt: skip

#: Operators that make more places of each channel, whichever axis those are.
_ENLARGERS = {"Expand", "Resize", "Tile", "Upsample"}

_LAYERS = _PRODUCTS | _CONVOLUTIONS

#: Products of two signals: the smaller is a gate.
_GATED = {"Div", "Mul"}

#: Stages of a network halve what they look at at least; less is a border or a token more.
_STAGE = 2


@dataclass(eq=False)
class _Point:
    """A value on the way, as the longest path sees it.

    Attributes:
        value: The value.
        count: Its numbers, or 0 where its shape is not known.
        area: Places that it has numbers for, as the last layer before it left them.
        depth: Layers up to it.
        layer: Whether a layer makes it.
        before: The value before it on the longest path.
        alone: Whether everything goes through it.
    """

    value: ir.Value
    count: int
    area: int = 0
    depth: int = 0
    layer: bool = False
    before: _Point | None = None
    alone: bool = field(default=False)


def bottleneck(
    model: Model,
    source: str | None,
    target: str,
    output: str,
    spec: InputSpec | None,
    limits: Limits | None = None,
) -> tuple[str, str]:
    """Returns the narrowest tensor between the first layer and the head, and how it was found.

    It is the one of the fewest numbers among those that everything between input and output goes
    through, at the lowest resolution that the longest path comes down to; of several alike the
    first, behind its activation. Where skip connections go round all of these, as in a U-Net, it is
    the last tensor of the longest path at that resolution.

    Args:
        model: A model as it was given.
        source: Its input; by default all of them.
        target: The last tensor that is looked at: the input of the head.
        output: The output, which is a bottleneck only where an encoder ends there.
        spec: How probes are fed to it.
        limits: What its shapes may cost.

    Raises:
        UsageError: There is none, or shapes are not known.
        LimitError: Its shapes are a bomb.
    """
    if spec is not None:
        require_budget(model, spec, limits or Limits())
    graph = shaped(model, spec, [target])
    names = {v for node in model.proto.graph.node for v in node.output if v}
    path = _longest_path(graph.graph, source) if graph is not None else []
    first = next((i for i, point in enumerate(path) if point.layer), len(path))
    path = [point for point in path[first:] if point.count and point.area]
    lowest = _STAGE * min((point.area for point in path), default=0)
    deepest = [p for p in path if p.area < lowest and p.value.name in names]
    inner = [point for point in deepest if point.value.name != output]
    if inner:
        alone = [point for point in deepest if point.alone]
        if any(point.alone for point in inner):
            found, what = (
                _narrowest(alone, output),
                "the narrowest tensor that everything goes through",
            )
            around = ""
        else:
            found = inner[-1]
            what = "the last tensor of the longest path at its lowest resolution"
            around = "; skip connections go round it"
        numbers = found.count // ((spec.batch if spec else None) or 1)
        return str(found.value.name), f"{what}, {numbers:,} numbers a probe{around}"
    raise UsageError(
        f"`{model.name}` has no bottleneck: between its first layer and its head there is no "
        "tensor of a known size",
        hint="choose another tensor with --at",
    )


def _narrowest(points: Sequence[_Point], output: str) -> _Point:
    """Returns the first of the narrowest, or what is made of it before the next layer.

    That may be the output, where an encoder ends with it.
    """
    count = min(point.count for point in points if point.value.name != output)
    last = next(i for i, point in enumerate(points) if point.count == count)
    for i in range(last + 1, len(points)):
        if points[i].count != count or points[i].layer:
            break
        last = i
    return points[last]


def _longest_path(graph: ir.Graph, source: str | None) -> list[_Point]:
    """Returns the values of the path with the most layers from the input to the only output."""
    followed = [v for v in graph.inputs if source is None or v.name == source]
    points = {v: _Point(v, _count(v)) for v in followed}
    steps = list(_steps(graph, set(followed)))
    last: dict[ir.Value, int] = {}
    for i, (_, inputs, _) in enumerate(steps):
        last.update(dict.fromkeys(inputs, i))
    last.update(dict.fromkeys(graph.outputs, len(steps)))
    waiting = {v for v in followed if v in last}
    for i, (node, inputs, made) in enumerate(steps):
        taken = [points[v] for v in inputs]
        for value in made:
            points[value] = _point(node, value, _main(node, taken), max(p.area for p in taken))
        waiting -= {v for v in inputs if last[v] == i}
        waiting.update(made)
        # Whatever else is waiting goes round what was just made.
        if len(waiting) == 1 and len(made) == 1:
            points[made[0]].alone = True
    path: list[_Point] = []
    point = points.get(graph.outputs[0])
    while point is not None:
        path.append(point)
        point = point.before
    return path[::-1]


def _steps(
    graph: ir.Graph, live: set[ir.Value]
) -> Iterator[tuple[ir.Node, list[ir.Value], list[ir.Value]]]:
    """Yields nodes between input and output with what they take and make of what lies between."""
    nodes = []
    for node in graph:
        inputs = [v for v in dict.fromkeys(_taken(node)) if v in live]
        if inputs and node.op_type not in ("Shape", "Size"):
            live.update(node.outputs)
            nodes.append((node, inputs))
    wanted = set(graph.outputs)
    between = []
    for node, inputs in reversed(nodes):
        made = [v for v in node.outputs if v in wanted]
        if made:
            wanted.update(inputs)
            between.append((node, inputs, made))
    yield from reversed(between)


def _taken(node: ir.Node) -> Iterator[ir.Value]:
    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            bodies = [attribute.as_graph()]
        elif attribute.type == ir.AttributeType.GRAPHS:
            bodies = list(attribute.as_graphs())
        else:
            continue
        for body in bodies:
            for inner in body.all_nodes():
                yield from (v for v in inner.inputs if v is not None)
            yield from (v for v in body.outputs if v is not None)


def _main(node: ir.Node, points: Sequence[_Point]) -> _Point:
    """Returns the input that the longest path comes by; a gate is none."""
    if node.op_type in _GATED:
        return max(points, key=lambda point: (point.count, point.depth))
    return max(points, key=lambda point: (point.depth, point.count))


def _point(node: ir.Node, value: ir.Value, before: _Point, area: int) -> _Point:
    """Returns a value; `area` is the finest of what it is made of, as in a list of all scales."""
    count, dims = _count(value), dims_of(value) or ()
    layer = node.op_type in _LAYERS
    if count and node.op_type in _CONVOLUTIONS | _POOLS and len(dims) > 1:
        area = count // (dims[1] or 1)
    elif count and node.op_type in _PRODUCTS and dims:
        area = count // (dims[-1] or 1)
    elif count and before.count and node.op_type in _ENLARGERS:
        area = area * count // before.count
    return _Point(value, count, area, before.depth + layer, layer, before)


def _count(value: ir.Value) -> int:
    """Returns how many numbers a tensor holds; 0 where that is not known, or they are integers."""
    if value.dtype is not None and not value.dtype.is_floating_point():
        return 0
    return math.prod(size or 0 for size in dims_of(value) or (0,))
