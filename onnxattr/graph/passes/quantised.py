"""Finds the integers that have a gradient: those that live between quantised operators alone."""

import onnx_ir as ir

from onnxattr.graph.walk import STANDARD

#: Operators that make quantised numbers, as their first output, or sums of their products.
_MAKERS = {
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}
_MICROSOFT_MAKERS = {
    "MatMulInteger16",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearReduceMean",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QLinearWhere",
    "QuantizeLinear",
}

#: Operators that round what they compute to few bits; sums of products they leave exact.
ROUNDING = frozenset(
    (_MAKERS | _MICROSOFT_MAKERS | {"DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})
    - {"ConvInteger", "MatMulInteger", "MatMulInteger16"}
)

#: Operators that take quantised numbers, by the positions of those that may be carried.
_TAKERS = {
    "ConvInteger": (0, 1),
    "DequantizeLinear": (0,),
    "MatMulInteger": (0, 1),
    "QLinearConv": (0, 3),
    "QLinearMatMul": (0, 3),
}
_MICROSOFT_TAKERS = {
    "DequantizeLinear": (0,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulInteger16": (0, 1),
    "MatMulIntegerToFloat": (0, 1),
    "QAttention": (0, 1),
    "QGemm": (0, 3),
    "QLinearAdd": (0, 3),
    "QLinearAveragePool": (0,),
    "QLinearConcat": tuple(range(2, 2 + 3 * 256, 3)),
    "QLinearConv": (0, 3),
    "QLinearGlobalAveragePool": (0,),
    "QLinearLeakyRelu": (0,),
    "QLinearMul": (0, 3),
    "QLinearReduceMean": (0,),
    "QLinearSigmoid": (0,),
    "QLinearSoftmax": (0,),
    "QLinearWhere": (1, 4),
}

#: Operators that move numbers about, or choose among them, without a look at their type.
_MOVERS = {
    "Compress",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Upsample",
}

#: Types of less than a byte, which torch keeps in one.
_SMALL = {
    ir.DataType.INT2,
    ir.DataType.UINT2,
    ir.DataType.INT4,
    ir.DataType.UINT4,
    ir.DataType.FLOAT4E2M1,
}

#: Types of which a sum of products may be cast without a loss of its gradient.
_FLOATS = {
    ir.DataType.FLOAT,
    ir.DataType.DOUBLE,
    ir.DataType.FLOAT16,
    ir.DataType.BFLOAT16,
}

_MICROSOFT = "com.microsoft"


class Carry(ir.passes.InPlacePass):
    """Marks what makes a quantised tensor that quantised operators alone read: `carry` is 1.

    Integers have no gradient. Between a QuantizeLinear and a DequantizeLinear, though, they stand
    for numbers that have one, and so do the sums of MatMulInteger on their way to a Cast.
    Converters keep such a tensor in floating point; everything else, the outputs of the graph
    included, keeps its type.

    It also writes down the type of zero points of less than a byte, as `output_dtype`.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with its makers of carried tensors marked."""
        modified = False
        carried: dict[ir.Value, bool] = {}
        # Readers first: what a tensor is moved into has been decided when it is looked at.
        for node in reversed(list(model.graph.all_nodes())):
            if _moves(node):
                carried.update((value, _is_carried(value, carried)) for value in node.outputs)
            elif _makes(node) and _is_carried(node.outputs[0], carried):
                modified |= _write(node, "carry", 1)
            if node.op_type == "QuantizeLinear":
                modified |= _write_type(node)
        return ir.passes.PassResult(model, modified=modified)


def _is_carried(value: ir.Value, carried: dict[ir.Value, bool]) -> bool:
    if value.is_graph_output():
        return False
    return all(_may_carry(node, position, carried) for node, position in value.uses())


def _may_carry(node: ir.Node, position: int, carried: dict[ir.Value, bool]) -> bool:
    if _moves(node):
        return (
            position in _moved(node)
            and carried.get(node.outputs[0], False)
            and all(
                carried.get(value, False) for value in node.outputs[1:] if node.op_type == "Split"
            )
        )
    if node.domain == _MICROSOFT:
        return position in _MICROSOFT_TAKERS.get(node.op_type, ())
    if node.domain not in STANDARD:
        return False
    if node.op_type == "Cast":
        return node.attributes["to"].as_int() in _FLOATS
    # Of its shape alone a tensor need not be an integer.
    return node.op_type in ("Shape", "Size") or position in _TAKERS.get(node.op_type, ())


def _makes(node: ir.Node) -> bool:
    if node.domain == _MICROSOFT:
        return node.op_type in _MICROSOFT_MAKERS
    return node.domain in STANDARD and node.op_type in _MAKERS


def _moves(node: ir.Node) -> bool:
    if node.domain == _MICROSOFT:
        return node.op_type == "NhwcMaxPool"
    if node.domain not in STANDARD:
        return False
    if node.op_type == "Add":
        # A bias of a sum of products.
        return node.outputs[0].dtype is ir.DataType.INT32
    return node.op_type in _MOVERS or node.op_type in ("Concat", "Where")


def _moved(node: ir.Node) -> tuple[int, ...]:
    """Returns the positions of the inputs that a mover moves."""
    if node.op_type in ("Add", "Concat"):
        return tuple(range(len(node.inputs)))
    return (1, 2) if node.op_type == "Where" else (0,)


def _write_type(node: ir.Node) -> bool:
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if zero is None or zero.dtype not in _SMALL:
        return False
    return _write(node, "output_dtype", int(zero.dtype))


def _write(node: ir.Node, name: str, value: int) -> bool:
    if name in node.attributes and node.attributes[name].as_int() == value:
        return False
    node.attributes[name] = ir.AttrInt64(name, value)
    return True
