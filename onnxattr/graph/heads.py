"""The last linear layer on the way to an output: a classifier."""

from dataclasses import dataclass

import onnx

from onnxattr.graph.backwards import INTEGER, Walk

#: Layers that are a linear classifier where all but one of their first two inputs are constant.
_PRODUCTS = {"Einsum", "FusedMatMul", "Gemm", "MatMul", "MatMulInteger"}

#: Likewise, with one input.
_LINEAR_MODELS = {"LinearClassifier", "LinearRegressor"}

#: Likewise, of numbers that were quantised before: their input has no gradient by itself.
_QUANTISED = {"QGemm", "QLinearConv", "QLinearMatMul"}


@dataclass(frozen=True)
class Head:
    """What a representation is found by.

    Attributes:
        node: The last linear layer.
        made: What it makes.
        data: What it is fed with; empty where that is quantised, and has no gradient by itself.
    """

    node: onnx.NodeProto
    made: str
    data: str


def find_head(walk: Walk, value: str) -> Head | None:
    """Returns the linear layer that `value` comes from, or None."""
    while (node := walk.producers.get(value)) is not None:
        if (data := _fed(walk, node)) is not None:
            return Head(node, value, data)
        before = walk.carried(node) or walk.scaled(node)
        if node.op_type in ("Resize", "Upsample"):  # A classifier of pixels, made larger.
            before = node.input[0]
        elif node.op_type == "Normalizer":  # It follows a classifier, or is an encoder's end.
            below = walk.producers.get(node.input[0])
            linear = below is not None and below.op_type in _LINEAR_MODELS
            before = node.input[0] if linear else None
        if before is None:
            return None
        value = before
    return None


def _fed(walk: Walk, node: onnx.NodeProto) -> str | None:
    """Returns the data of a linear classifier: '' where it is quantised, None if it is none."""
    kind = node.op_type
    data: list[str] = []
    if kind in _PRODUCTS and len(node.input) > 1:
        data = [v for v in node.input[:2] if v in walk.live]
    elif kind in _LINEAR_MODELS or (
        kind in ("Conv", "ConvInteger") and _by_pixel(walk, node, place=1)
    ):
        data = list(node.input[:1])
    elif kind in _QUANTISED and len(node.input) > 3:
        weights = node.input[3]
        if weights in walk.live or (kind == "QLinearConv" and not _by_pixel(walk, node, 3)):
            return None
        data = list(node.input[:1])
    if len(data) != 1:
        return None
    if kind in INTEGER or kind in _QUANTISED:
        below = walk.producers.get(data[0])
        kinds = ("DynamicQuantizeLinear", "QuantizeLinear")
        return str(below.input[0]) if below is not None and below.op_type in kinds else ""
    return data[0]


def _by_pixel(walk: Walk, node: onnx.NodeProto, place: int) -> bool:
    """Whether a convolution looks at one pixel at a time, and at all of its channels."""
    if len(node.input) <= place or node.input[place] in walk.live:
        return False
    group = next((a.i for a in node.attribute if a.name == "group"), 1)
    named = next((a.ints for a in node.attribute if a.name == "kernel_shape"), None)
    kernel = named or walk.shapes.get(walk.source(node.input[place]), ())[2:]
    return group == 1 and set(kernel) == {1}
