"""Operators that work on every number alone, or along some axes: the batch lies on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx_ir as ir

from onnxattr.graph.arithmetic import sizes_of
from onnxattr.graph.batch.layouts import Step
from onnxattr.graph.batch.rules import (
    Given,
    alike,
    attribute,
    broadcast,
    given_at,
    numbers,
    opset,
    rule,
)


@rule(
    "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Clip Cos Cosh Dropout Elu "
    "Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not "
    "Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan "
    "Tanh ThresholdedRelu"
)
def _one_by_one(node: ir.Node, given: Given) -> Iterator[Step]:
    yield Step((given[0],) * len(node.outputs))


@rule(
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where Xor",
    places=None,
)
@rule("PRelu")
def _operands(node: ir.Node, given: Given) -> Iterator[Step]:
    sizes = [sizes_of(v) for v in node.inputs]
    # By `axis` operands were matched from the front, before opset 7.
    if "axis" not in node.attributes and all(s is not None for s in sizes):
        rank = max(len(s or []) for s in sizes)
        step = broadcast(node, given, range(len(given)), rank)
        yield from [step] if step else []


@rule(
    "AveragePool Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool "
    "GlobalMaxPool GroupNormalization InstanceNormalization LpPool MaxPool QLinearConv "
    "SpaceToDepth"
)
def _rows(node: ir.Node, given: Given) -> Iterator[Step]:
    # Indices of a MaxPool count through the whole batch.
    indices = node.outputs[1:]
    if (
        given[0]
        and given[0].axis == 0
        and not any(v.uses() or v.is_graph_output() for v in indices)
    ):
        yield Step((given[0],) * len(node.outputs))


@rule("GridSample", places=(0, 1))
def _rows_of_both(node: ir.Node, given: Given) -> Iterator[Step]:
    step = alike(node, given, (0, 1))
    if step and step.outputs[0] and step.outputs[0].axis == 0:
        yield step


@rule("Concat GatherElements ScatterElements", places=None)
def _beside(node: ir.Node, given: Given) -> Iterator[Step]:
    sizes, step = sizes_of(node.inputs[0]), alike(node, given, range(len(given)))
    axis = attribute(node, "axis", 1 if node.op_type == "Concat" else 0)
    if sizes and step and step.outputs[0] and step.outputs[0].axis != axis % len(sizes):
        yield step


def _range(axis: int, rank: int) -> list[int]:
    return list(range(axis % rank, rank))


def _softmax(node: ir.Node, rank: int) -> list[int]:
    # Before opset 13 all axes from this one were one.
    if opset(node) < 13:
        return _range(attribute(node, "axis", 1), rank)
    return [attribute(node, "axis", -1)]


def _batch_norm(node: ir.Node, rank: int) -> list[int] | None:
    trains = attribute(node, "training_mode", 0) or len(node.outputs) > 1
    tests = opset(node) >= 7 or attribute(node, "is_test", 0)
    return None if trains or not tests or not attribute(node, "spatial", 1) else [1]


def _layer_norm(node: ir.Node, rank: int) -> list[int] | None:
    axes = _range(attribute(node, "axis", -1), rank)
    plain = [len(sizes_of(v) or [0] * (rank + 1)) <= len(axes) for v in node.inputs[1:] if v]
    return axes if all(plain) else None


def _quantise(node: ir.Node, rank: int) -> list[int] | None:
    sizes = sizes_of(node.inputs[1])
    if sizes is None or len(sizes) > 1:
        return None
    return [] if sizes in ([], [1]) else [attribute(node, "axis", 1)]


def _pad(node: ir.Node, rank: int) -> list[int] | None:
    pads = numbers(node, 1, "paddings" if opset(node) < 2 else "pads")
    axes = numbers(node, 3) if given_at(node, 3) else list(range(rank))
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        return None
    return [
        a for a, *pair in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True) if any(pair)
    ]


def _tile(node: ir.Node, rank: int) -> list[int] | None:
    times = numbers(node, 1) if opset(node) >= 6 else None
    return None if times is None else [a for a, n in enumerate(times) if n != 1]


def _resize(node: ir.Node, rank: int) -> list[int] | None:
    # These move even what is not scaled; by `sizes` the batch would have one, and be scaled to it.
    modes = ("tf_crop_and_resize", "tf_half_pixel_for_nn")
    if attribute(node, "coordinate_transformation_mode", "") in modes or given_at(node, 3):
        return None
    scales = attribute(node, "scales", None)
    if scales is None:
        place = 1 if node.op_type == "Upsample" or opset(node) < 11 else 2
        value = node.inputs[place] if given_at(node, place) else None
        tensor = None if value is None else value.const_value
        scales = [] if tensor is None or tensor.size > rank else tensor.numpy().reshape(-1).tolist()
    axes = attribute(node, "axes", range(rank))
    if len(scales) != len(axes):
        return None
    return [a for a, scale in zip(axes, scales, strict=True) if scale != 1]


#: Axes that an operator works along, from a node and the rank of its input, negative ones from
#: behind; on all others it does the same for each. None if that is not known.
AXES: dict[str, Callable[[ir.Node, int], list[int] | None]] = {
    "BatchNormalization": _batch_norm,
    "CumSum": lambda node, rank: numbers(node, 1),
    "DequantizeLinear": _quantise,
    "Hardmax": _softmax,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _softmax,
    "LpNormalization": lambda node, rank: [attribute(node, "axis", -1)],
    "LRN": lambda node, rank: [1],
    "MeanVarianceNormalization": lambda node, rank: list(attribute(node, "axes", (0, 2, 3))),
    "Pad": _pad,
    "QuantizeLinear": _quantise,
    "RMSNormalization": _layer_norm,
    "Resize": _resize,
    "Softmax": _softmax,
    "Split": lambda node, rank: [attribute(node, "axis", 0)],
    "Tile": _tile,
    "TopK": lambda node, rank: [attribute(node, "axis", -1)],
    "Trilu": lambda node, rank: [-1, -2],
    "Upsample": _resize,
}


@rule(" ".join(AXES))
def _along(node: ir.Node, given: Given) -> Iterator[Step]:
    layout, sizes = given[0], sizes_of(node.inputs[0])
    axes = AXES[node.op_type](node, len(sizes)) if sizes else None
    if layout and sizes and axes is not None and layout.axis not in [a % len(sizes) for a in axes]:
        yield Step((layout,) * len(node.outputs))


@rule(
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare"
)
def _reduce(node: ir.Node, given: Given) -> Iterator[Step]:
    layout, sizes = given[0], sizes_of(node.inputs[0])
    if node.op_type.startswith("Arg"):
        axes: list[int] | None = [attribute(node, "axis", 0)]
    else:
        axes = numbers(node, 1, "axes")
    # Without axes it is over all of them, or over none.
    if not layout or not sizes or not axes:
        return
    gone = {a % len(sizes) for a in axes}
    if layout.axis not in gone:
        before = 0 if attribute(node, "keepdims", 1) else sum(a < layout.axis for a in gone)
        yield Step((layout.at(layout.axis - before),))
