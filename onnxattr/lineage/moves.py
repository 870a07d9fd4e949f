"""What operators without weights do to channels: keep them, move them, scale them, join them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxattr.lineage.channels import MOST, Labels, reshaped, transposed
from onnxattr.lineage.stored import attribute

if TYPE_CHECKING:
    from onnxattr.lineage.walk import Walk

_Array = np.ndarray[Any, Any]

#: f(a·x) = a·f(x) for a > 0: a gain goes through.
_HOMOGENEOUS = (
    "Abs", "AveragePool", "Cast", "CastLike", "DequantizeLinear", "Dropout",
    "DynamicQuantizeLinear", "Expand", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool",
    "Identity", "LeakyRelu", "LpPool", "MaxPool", "NhwcMaxPool", "PRelu", "Pad",
    "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QuantizeLinear", "Relu",
    "Resize", "Tile", "Upsample",
)  # fmt: skip

#: It does not, but every channel stays what it is.
_ELEMENTWISE = (
    "BiasGelu", "Celu", "Elu", "Erf", "Exp", "FastGelu", "Gelu", "HardSigmoid", "HardSwish",
    "LRN", "Log", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish", "Pow",
    "QLinearSigmoid", "QLinearSoftmax", "QuickGelu", "Reciprocal", "Round", "Selu", "Shrink",
    "Sigmoid", "Sign", "Sin", "Cos", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
    "ThresholdedRelu",
)  # fmt: skip

#: Operators after which what a layer made is still that layer's alone.
_SAME = {"Cast", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear"}

_REDUCTIONS = {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "QLinearReduceMean"}
_SHAPES = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}


def follow(walk: Walk, node: ir.Node, opset: int) -> None:
    """Writes down the channels of what a node makes, as far as they can be told."""
    if not node.inputs or not node.outputs:
        return
    move = _MOVES.get(node.op_type)
    if move is None:
        return
    labels = move(walk, node)
    if labels is not None and labels.channel.size <= MOST:
        shape = walk.shape(node.outputs[0])
        if shape is None or _fits(labels, shape):
            walk.labels[node.outputs[0]] = labels


def _fits(labels: Labels, shape: Sequence[int]) -> bool:
    return all(a < len(shape) for a in labels.axes) and labels.channel.shape == tuple(
        shape[a] for a in labels.axes
    )


def widen(labels: Labels, axes: tuple[int, ...], shape: Sequence[int] | None) -> Labels | None:
    """Returns labels along more axes of the same value, whose numbers are places of channels."""
    if shape is None or not set(labels.axes) < set(axes):
        return None
    sizes = [shape[a] for a in axes]
    if int(np.prod(sizes, dtype=object)) > MOST:
        return None
    extra = [i for i, a in enumerate(axes) if a not in labels.axes]
    places, count = np.zeros(sizes, np.int64), 1
    for i in extra:
        step = np.arange(sizes[i]).reshape([-1 if j == i else 1 for j in range(len(sizes))])
        places, count = places * sizes[i] + step, count * sizes[i]

    def spread(array: Any) -> Any:
        given = [s if a in labels.axes else 1 for a, s in zip(axes, sizes, strict=True)]
        return np.broadcast_to(array.reshape(given), sizes)

    wide = labels.map(axes, spread)
    return dataclasses.replace(wide, place=wide.place * count + places)


def _positive(labels: Labels) -> Labels:
    """Returns labels that a positive factor goes through, and no other does."""
    return labels if (labels.factor > 0).all() else labels.fixed()


def _labels(walk: Walk, node: ir.Node) -> Labels | None:
    """Returns the labels of a node's first input, if its channels are known."""
    value = node.inputs[0]
    return walk.labels.get(value) if value is not None else None


def _labels_and_shape(walk: Walk, node: ir.Node) -> tuple[Labels, tuple[int, ...]] | None:
    """Returns the labels and the shape of a node's first input, if both are known."""
    labels, shape = _labels(walk, node), walk.shape(node.inputs[0])
    return (labels, shape) if labels is not None and shape else None


def _keep(walk: Walk, node: ir.Node) -> Labels | None:
    labels = _labels(walk, node)
    if labels is None:
        return None
    if node.op_type in _SAME:
        _hand_on(walk, node)
        return labels
    return _positive(labels)


def _fix(walk: Walk, node: ir.Node) -> Labels | None:
    labels = _labels(walk, node)
    return None if labels is None else labels.fixed()


def _is_scale(value: ir.Value | None) -> bool:
    """Whether a number is the scale of dynamic quantisation, with which weights came already."""
    for _ in range(2):
        node = value.producer() if value is not None else None
        if node is None or value is None:
            return False
        if node.op_type == "DynamicQuantizeLinear":
            return value is node.outputs[1]
        if node.op_type != "Mul":
            return False
        value = next((v for v in node.inputs if v is not None and not v.is_initializer()), None)
    return False


def _clip(walk: Walk, node: ir.Node) -> Labels | None:
    """A bound at zero alone is a ReLU."""
    bounds = [walk.store.read(v) for v in node.inputs[1:3] if v is not None]
    bounds += [np.asarray(node.attributes[n].value) for n in ("min", "max") if n in node.attributes]
    zero = len(bounds) == 1 and bounds[0] is not None and not bounds[0].any()
    return _keep(walk, node) if zero else _fix(walk, node)


def _hand_on(walk: Walk, node: ir.Node, place: int = 0) -> None:
    """Says that what a node makes is still its layer's alone, if nothing else reads its input."""
    value = node.inputs[place]
    if value in walk.owner and len(value.uses()) == 1 and not value.is_graph_output():
        walk.owner[node.outputs[0]] = walk.owner[value]


def _spread(constant: _Array, labels: Labels, rank: int) -> _Array | None:
    """Returns a constant's number of each channel, if it has no more than that."""
    if constant.ndim > rank or constant.dtype.kind not in "fiu":
        return None
    sizes = (1,) * (rank - constant.ndim) + constant.shape
    if any(s != 1 for a, s in enumerate(sizes) if a not in labels.axes):
        return None
    given = constant.astype(np.float64).reshape([sizes[a] for a in labels.axes])
    try:
        return np.broadcast_to(given, labels.channel.shape)
    except ValueError:
        return None


def _affine(walk: Walk, node: ir.Node, place: int, factor: _Array, shift: _Array) -> Labels | None:
    """Scales and moves channels: in the layer before, if it is the only reader, or else later.

    Args:
        walk: The walk.
        node: The operator.
        place: Of the input that has channels.
        factor: Of each channel, as its labels are.
        shift: Likewise.
    """
    value = node.inputs[place]
    assert value is not None
    labels = walk.labels[value]
    draft = walk.owner.get(value)
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    if draft is not None and alone and not draft.shared and np.isfinite(factor).all():
        rows = labels.channel - draft.rows[0]
        count = len(draft.rows)
        if rows.size >= count and rows.min() >= 0 and rows.max() < count:
            by_row, moved = np.ones(count), np.zeros(count)
            by_row[rows.reshape(-1)] = factor.reshape(-1)
            moved[rows.reshape(-1)] = shift.reshape(-1)
            same = (by_row[rows] == factor).all() and (moved[rows] == shift).all()
            if same and by_row.all():
                product = draft.product
                if (by_row != 1).any():
                    turned = [-1] + [1] * (product.weight.ndim - 1)
                    product.weight = product.weight * by_row.reshape(turned)
                base = 0.0 if product.bias is None else product.bias.astype(np.float64)
                product.bias = base * by_row + moved
                walk.owner[node.outputs[0]] = draft
                return labels
    if not np.isfinite(factor).all():
        return labels.fixed()
    return dataclasses.replace(labels, factor=labels.factor * factor)


def _batch_norm(walk: Walk, node: ir.Node) -> Labels | None:
    labels = _labels(walk, node)
    held = [walk.store.read(v) for v in node.inputs[1:5]]
    if labels is None or len(held) < 4:
        return None
    scale, shift, mean, variance = held
    if scale is None or shift is None or mean is None or variance is None:
        return labels.fixed()
    rank = len(walk.shape(node.inputs[0]) or ()) or max(labels.axes) + 1
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(
            variance.astype(np.float64) + float(attribute(node, "epsilon", 1e-5))
        )
        moved = shift - mean * factor
    turned = [-1] + [1] * (rank - 2)
    by_channel = _spread(factor.reshape(turned), labels, rank)
    offset = _spread(moved.reshape(turned), labels, rank)
    if by_channel is None or offset is None:
        return labels.fixed()
    return _affine(walk, node, 0, by_channel, offset)


def _layer_norm(walk: Walk, node: ir.Node) -> Labels | None:
    """Normalisation ends all gains; its own scale is one that channels carry on."""
    labels = _labels(walk, node)
    if labels is None:
        return None
    place = 2 if node.op_type == "SkipLayerNormalization" else 1
    if place == 2:
        labels = _joined(walk, [node.inputs[0], node.inputs[1]], keep_gains=False) or labels
    labels = labels.fixed()
    scale = walk.store.read(node.inputs[place]) if len(node.inputs) > place else None
    shape = walk.shape(node.inputs[0])
    rank = len(shape) if shape is not None else max(labels.axes) + 1
    if scale is None:
        return labels
    if node.op_type in ("InstanceNormalization", "GroupNormalization"):
        scale = scale.reshape([-1] + [1] * (rank - 2))
    factor = _spread(scale, labels, rank)
    return labels if factor is None else dataclasses.replace(labels, factor=factor.copy())


def _binary(walk: Walk, node: ir.Node) -> Labels | None:
    values = [v for v in node.inputs if v is not None]
    labelled = [i for i, v in enumerate(values) if v in walk.labels]
    if not labelled:
        return None
    if len(values) != 2 or len(labelled) == 2:
        return _joined(walk, values, keep_gains=node.op_type not in ("Mul", "Div"))
    (place,) = labelled
    value, operand = values[place], values[1 - place]
    labels = walk.labels[value]
    constant = walk.store.read(operand)
    shape = walk.shape(value)
    rank = len(shape) if shape is not None else max(labels.axes) + 1
    if constant is None:
        if node.op_type == "Mul" and _is_scale(operand):
            _hand_on(walk, node, place)
            return labels
        return labels.fixed()
    out = walk.shape(node.outputs[0])
    if out is not None and len(out) != rank:
        return None  # The constant has more axes: these are in front.
    numbers = _spread(constant, labels, rank)
    if numbers is None:
        if node.op_type in ("Add", "Sub") and (node.op_type == "Add" or place == 0):
            return labels
        return labels.fixed()
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    if node.op_type in ("Max", "Min") and not numbers.any():
        return _positive(labels)
    with np.errstate(all="ignore"):
        if node.op_type == "Add":
            return _affine(walk, node, place, one, numbers)
        if node.op_type == "Mul":
            return _affine(walk, node, place, numbers, zero)
        if node.op_type == "Sub":
            factor, shift = (one, -numbers) if place == 0 else (-one, numbers)
            return _affine(walk, node, place, factor, shift)
        if node.op_type == "Div" and place == 0:
            return _affine(walk, node, place, 1 / numbers, zero)
    return labels.fixed()


def _quantised_binary(walk: Walk, node: ir.Node) -> Labels | None:
    # a, scale, zero, b, scale, zero, …
    values = [node.inputs[0], node.inputs[3]]
    labelled = [v for v in values if v is not None and v in walk.labels]
    if len(labelled) == 1:
        return walk.labels[labelled[0]].fixed()
    return _joined(walk, values, keep_gains=node.op_type == "QLinearAdd")


def _joined(
    walk: Walk, values: Sequence[ir.Value | None], *, keep_gains: bool = True
) -> Labels | None:
    """Returns the labels of values that are added up, place by place: channels become the same."""
    found = [(v, walk.labels[v]) for v in values if v is not None and v in walk.labels]
    if not found:
        return None
    ranks = [len(walk.shape(v) or ()) or None for v, _ in found]
    if len(set(ranks)) > 1 and None not in ranks:
        return None
    first = found[0][1]
    kept = keep_gains and all(v in walk.labels for v in values if v is not None)
    for _, labels in found[1:]:
        if labels.axes != first.axes or labels.channel.shape != first.channel.shape:
            return None if labels.channel.size == first.channel.size else first.fixed()
        walk.channels.join(first.channel, labels.channel)
        kept = kept and bool((labels.factor == first.factor).all())
        kept = kept and bool(((labels.gain >= 0) == (first.gain >= 0)).all())
    if not kept:
        return first.fixed()
    for _, labels in found[1:]:
        walk.gains.join(first.gain, labels.gain)
    return first


def _transpose(walk: Walk, node: ir.Node) -> Labels | None:
    labels = _labels(walk, node)
    if labels is None:
        return None
    shape = walk.shape(node.inputs[0])
    perm = attribute(node, "perm")
    if perm is None:
        if shape is None:
            return None
        perm = list(range(len(shape)))[::-1]
    if sorted(perm) != list(range(len(perm))) or max(labels.axes) >= len(perm):
        return None
    _hand_on(walk, node)
    return transposed(labels, perm)


def _reshape(walk: Walk, node: ir.Node) -> Labels | None:
    labels = _labels(walk, node)
    before, after = walk.shape(node.inputs[0]), walk.shape(node.outputs[0])
    if labels is None or before is None or after is None:
        return None
    if np.prod(before, dtype=object) != np.prod(after, dtype=object) or 0 in before:
        return None
    _hand_on(walk, node)
    return reshaped(labels, before, after)


def _reduce(walk: Walk, node: ir.Node) -> Labels | None:
    if (known := _labels_and_shape(walk, node)) is None:
        return None
    labels, shape = known
    axes = attribute(node, "axes")
    if axes is None and len(node.inputs) > 1:
        held = walk.store.read(node.inputs[1])
        axes = None if held is None else held.reshape(-1).tolist()
    if not axes:
        return None
    gone = {int(a) % len(shape) for a in axes}
    if gone & set(labels.axes):
        return None
    labels = _positive(labels)
    if attribute(node, "keepdims", 1):
        return labels
    left = [a for a in range(len(shape)) if a not in gone]
    return labels.map([left.index(a) for a in labels.axes], lambda a: a)


def _concat(walk: Walk, node: ir.Node) -> Labels | None:
    values = list(node.inputs)
    quantised = node.op_type == "QLinearConcat"
    values = values[2::3] if quantised else values
    known = [walk.labels.get(v) if v is not None else None for v in values]
    first = next((k for k in known if k is not None), None)
    if first is None:
        return None
    shapes = [walk.shape(v) for v in values]
    rank = next((len(s) for s in shapes if s is not None), None)
    axis = int(attribute(node, "axis", 0))
    if axis < 0 and rank is None:
        return None
    axis = axis if axis >= 0 else axis + (rank or 0)
    if axis not in first.axes:
        return _joined(walk, [v for v, k in zip(values, known, strict=True) if k is not None])
    parts = []
    for labels, shape in zip(known, shapes, strict=True):
        if labels is None:
            if shape is None or axis >= len(shape) or max(first.axes) >= len(shape):
                return None
            sizes = [shape[a] for a in first.axes]
            none = np.full(sizes, -1, np.int64)
            labels = Labels(first.axes, none, np.zeros(sizes, np.int64), none, np.ones(sizes))
        if labels.axes != first.axes:
            return None
        parts.append(labels)
    at = first.axes.index(axis)
    try:
        joined = [
            np.concatenate([getattr(p, name) for p in parts], at)
            for name in ("channel", "place", "gain", "factor")
        ]
    except ValueError:
        return None
    return Labels(first.axes, *joined)


def _slice(walk: Walk, node: ir.Node) -> Labels | None:
    if (known := _labels_and_shape(walk, node)) is None:
        return None
    labels, shape = known
    held = [walk.store.read(v) for v in node.inputs[1:]]
    given = [None if h is None else h.reshape(-1).tolist() for h in held]
    if len(node.inputs) == 1:
        given = [attribute(node, "starts"), attribute(node, "ends"), attribute(node, "axes")]
    starts, ends, axes, steps = (*given, None, None, None, None)[:4]
    if starts is None or ends is None:
        return None
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        axis = int(axis) % len(shape)
        if axis in labels.axes:
            # From the last back to the first, ONNX says the end by a number below all others.
            stop = None if step < 0 and end < -shape[axis] else int(end)
            taken = np.arange(shape[axis])[slice(int(start), stop, int(step))]
            labels = _taken(labels, axis, taken)
    return labels


def _taken(labels: Labels, axis: int, indices: _Array) -> Labels:
    at = labels.axes.index(axis)
    return labels.map(labels.axes, lambda a: np.take(a, indices, axis=at))


def _gather(walk: Walk, node: ir.Node) -> Labels | None:
    if (known := _labels_and_shape(walk, node)) is None:
        return None
    labels, shape = known
    indices = walk.store.read(node.inputs[1])
    axis = int(attribute(node, "axis", 0)) % len(shape)
    if axis in labels.axes:
        if indices is None or indices.ndim != 1 or indices.dtype.kind not in "iu":
            return None
        return _taken(labels, axis, indices)
    drawn = walk.shape(node.inputs[1])
    more = (indices.ndim if indices is not None else len(drawn) if drawn is not None else 1) - 1
    return labels.map([a + more if a > axis else a for a in labels.axes], lambda a: a)


def _split(walk: Walk, node: ir.Node) -> Labels | None:
    if (known := _labels_and_shape(walk, node)) is None:
        return None
    labels, shape = known
    axis, start = int(attribute(node, "axis", 0)) % len(shape), 0
    for output in node.outputs:
        sizes = walk.shape(output)
        if sizes is None or axis >= len(sizes):
            return None
        taken = np.arange(start, start + sizes[axis])
        start += sizes[axis]
        if start > shape[axis]:
            return None
        walk.labels[output] = _taken(labels, axis, taken) if axis in labels.axes else labels
    return walk.labels.get(node.outputs[0])


def _mixture(walk: Walk, node: ir.Node) -> Labels | None:
    """Returns the channels of weights · values, as attention mixes places of its values."""
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return None
    labels, shape = walk.labels.get(node.inputs[1]), walk.shape(node.inputs[1])
    if labels is None or shape is None or len(shape) < 2 or len(shape) - 2 in labels.axes:
        return None
    return labels if len(shape) - 1 in labels.axes else None


_MOVES: Mapping[str, Callable[[Any, ir.Node], Labels | None]] = {
    **dict.fromkeys(_HOMOGENEOUS, _keep),
    **dict.fromkeys(_ELEMENTWISE, _fix),
    **dict.fromkeys(_SHAPES, _reshape),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Mean"), _binary),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _quantised_binary),
    **dict.fromkeys(("Concat", "QLinearConcat"), _concat),
    **dict.fromkeys(
        (
            "LayerNormalization",
            "SimplifiedLayerNormalization",
            "RMSNormalization",
            "SkipLayerNormalization",
            "InstanceNormalization",
            "GroupNormalization",
        ),
        _layer_norm,
    ),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Gather": _gather,
    "MatMul": _mixture,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}
