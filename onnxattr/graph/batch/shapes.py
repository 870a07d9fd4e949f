"""Operators that move numbers about: the batch goes with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from onnxattr.graph.arithmetic import product, sizes_of
from onnxattr.graph.batch.layouts import Layout, Size, Step, regroup
from onnxattr.graph.batch.rules import (
    Given,
    attribute,
    given_at,
    numbers,
    opset,
    rule,
)

#: The end of a Slice that ends where the axis does.
_END = 2**31 - 1


@rule("Reshape")
def _reshape(node: ir.Node, given: Given) -> Iterator[Step]:
    before, after = sizes_of(node.inputs[0]), sizes_of(node.outputs[0])
    # Before opset 5 the target was an attribute.
    if not given[0] or before is None or after is None or opset(node) < 5:
        return
    for layout in regroup(before, given[0], after):
        target = [-1 if i == layout.axis else n for i, n in enumerate(after) if isinstance(n, int)]
        if len(target) == len(after):
            same = node.op_type == "Reshape" and numbers(node, 1) == target
            yield Step((layout,), target=None if same else target)
        elif node.op_type == "Reshape" and (copied := _copied(node, given[0], layout)):
            yield Step((layout,), stored={1: copied})


def _copied(node: ir.Node, before: Layout, after: Layout) -> list[int] | None:
    """Returns the target of a Reshape that has free sizes beside the batch."""
    target = numbers(node, 1)
    if target is None or attribute(node, "allowzero", 0):
        return None
    if before == after:
        target[after.axis] = 0
    elif -1 in target or (before.axis < len(target) and target[before.axis] == 0):
        return None
    else:
        target[after.axis] = -1
    return target


@rule("Squeeze")
def _squeeze(node: ir.Node, given: Given) -> Iterator[Step]:
    sizes, after = sizes_of(node.inputs[0]), sizes_of(node.outputs[0])
    layout, axes = given[0], numbers(node, 1, "axes")
    if not layout or not sizes or after is None:
        return
    gone = {a % len(sizes) for a in axes} if axes else {i for i, s in enumerate(sizes) if s == 1}
    if layout.axis not in gone and axes:
        yield Step((layout.at(layout.axis - sum(a < layout.axis for a in gone)),))
    else:
        yield from _reshape(node, given)


@rule("Unsqueeze")
def _unsqueeze(node: ir.Node, given: Given) -> Iterator[Step]:
    after, axes = sizes_of(node.outputs[0]), numbers(node, 1, "axes")
    if given[0] and after and axes:
        new = {a % len(after) for a in axes}
        kept = [i for i in range(len(after)) if i not in new]
        if given[0].axis < len(kept):
            yield from _or_reshaped(node, given, given[0].at(kept[given[0].axis]))


@rule("Flatten")
def _flatten(node: ir.Node, given: Given) -> Iterator[Step]:
    layout, sizes = given[0], sizes_of(node.inputs[0])
    if not layout or not sizes:
        return
    axis = attribute(node, "axis", 1)
    axis = axis % len(sizes) if axis < 0 else axis
    first = layout.axis < axis
    begin, end = (0, axis) if first else (axis, len(sizes))
    ahead, behind = product(sizes[begin : layout.axis]), product(sizes[layout.axis + 1 : end])
    if ahead and behind and not ahead[1] and not behind[1]:
        joined = Layout(0 if first else 1, ahead[0] * layout.outer, layout.inner * behind[0])
        yield from _or_reshaped(node, given, joined)


def _or_reshaped(node: ir.Node, given: Given, layout: Layout) -> Iterator[Step]:
    """Yields what the node itself does with the batch, and what a Reshape in its place can do."""
    yield Step((layout,))
    yield from (step for step in _reshape(node, given) if step.outputs != (layout,))


@rule("Transpose")
def _transpose(node: ir.Node, given: Given) -> Iterator[Step]:
    sizes = sizes_of(node.inputs[0])
    if given[0] and sizes:
        order = list(attribute(node, "perm", range(len(sizes))[::-1]))
        yield Step((given[0].at(order.index(given[0].axis)),))


@rule("Expand")
def _expand(node: ir.Node, given: Given) -> Iterator[Step]:
    sizes, target = sizes_of(node.inputs[0]), numbers(node, 1)
    if not given[0] or not sizes or target is None:
        return
    rank = max(len(sizes), len(target))
    layout = given[0].at(given[0].axis + rank - len(sizes))
    place = layout.axis - (rank - len(target))
    if place < 0 or target[place] == 1:
        yield Step((layout,))
    elif target[place] == layout.size:
        yield Step((layout,), stored={1: [1 if i == place else n for i, n in enumerate(target)]})


@rule("Gather", places=(0, 1))
def _gather(node: ir.Node, given: Given) -> Iterator[Step]:
    data, indices = (sizes_of(v) for v in node.inputs)
    if not data or indices is None or all(given):
        return
    axis = attribute(node, "axis", 0) % len(data)
    if given[1]:
        yield Step((given[1].at(given[1].axis + axis),))
    elif given[0] and given[0].axis == axis:
        # Of torch's default exporter: an axis that is taken as it is, in another shape.
        yield from _reshape(node, given) if _all_in_order(node, data[axis]) else ()
    elif given[0]:
        moved = len(indices) - 1 if given[0].axis > axis else 0
        yield Step((given[0].at(given[0].axis + moved),))


def _all_in_order(node: ir.Node, size: Size) -> bool:
    value = node.inputs[1]
    tensor = None if value is None else value.const_value
    if tensor is None or tensor.size != size:
        return False
    return bool(np.array_equal(tensor.numpy().reshape(-1), np.arange(size)))


@rule("OneHot")
def _one_hot(node: ir.Node, given: Given) -> Iterator[Step]:
    sizes = sizes_of(node.inputs[0])
    if given[0] and sizes is not None:
        axis = attribute(node, "axis", -1) % (len(sizes) + 1)
        yield Step((given[0].at(given[0].axis + (given[0].axis >= axis)),))


@rule("Slice")
def _slice(node: ir.Node, given: Given) -> Iterator[Step]:
    layout, sizes = given[0], sizes_of(node.inputs[0])
    if not layout or not sizes:
        return
    starts, ends = numbers(node, 1, "starts"), numbers(node, 2, "ends")
    axes = numbers(node, 3, "axes")
    if axes is None:
        if given_at(node, 3) or starts is None:
            return
        axes = list(range(len(starts)))
    places = [i for i, a in enumerate(axes) if a % len(sizes) == layout.axis]
    if not places:
        yield Step((layout,))
        return
    strides = numbers(node, 4) if given_at(node, 4) else [1] * len(axes)
    if not starts or not ends or not strides or len(places) > 1:
        return
    (place,) = places
    if (starts[place], strides[place]) != (0, 1) or ends[place] < layout.size:
        return
    if ends[place] >= _END:
        yield Step((layout,))
    elif "ends" not in node.attributes:
        ends[place] = _END
        yield Step((layout,), stored={2: ends})


@rule("Shape")
def _shape(node: ir.Node, given: Given) -> Iterator[Step]:
    """What is asked of a shape may be any size but that of the batch."""
    sizes = sizes_of(node.inputs[0])
    if not given[0] or not sizes or node.outputs[0].is_graph_output():
        return
    window = range(len(sizes))[attribute(node, "start", 0) : attribute(node, "end", len(sizes))]
    if given[0].axis not in window:
        yield Step((None,))
        return
    place = window.index(given[0].axis)
    for user, _ in node.outputs[0].uses():
        indices = numbers(user, 1) if user.op_type == "Gather" else None
        if indices is None or place in [i % len(window) for i in indices]:
            return
    yield Step((None,))
