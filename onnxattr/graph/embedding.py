"""Where token ids become numbers: the first tensor of a graph that a gradient can be taken of."""

import onnx
from onnx import GraphProto, NodeProto, TensorProto

from onnxattr.graph.walk import label
from onnxattr.types import OnnxNode

FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
)

#: Operators that look ids up in a table, and which of their inputs takes the ids.
_TABLES = {"Gather": 1, "GatherBlockQuantized": 1, "EmbedLayerNormalization": 0}

#: What these make of ids says how many there are, or which are padding, not what they are.
_OTHERWISE = frozenset(
    {
        *("Shape", "Size", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
        *("And", "Or", "Xor", "Not", "NonZero"),
    }
)


def embedding(proto: onnx.ModelProto, name: str) -> tuple[str, str] | None:
    """Returns the first tensor of floating point that is computed from token ids, and a rule.

    That is what is looked up for them in a table; in a graph without such a table, whatever they
    first become.

    Args:
        proto: A model as it was given.
        name: The input that takes the ids.
    """
    kinds, derived = _kinds(proto), {name}
    first: tuple[str, str] | None = None
    for node in proto.graph.node:
        taking = [value in derived for value in node.input]
        if not any(taking) or node.op_type in _OTHERWISE or not node.output:
            continue
        made, place = node.output[0], _TABLES.get(node.op_type)
        looked_up = place is not None and place < len(taking) and taking[place]
        if kinds.get(made, _default(node)) in FLOATS:
            rule = f"{label(OnnxNode(node.op_type, node.name))} makes it of the ids"
            if looked_up:
                return made, rule
            first = first or (made, rule)
        else:
            derived.update(node.output)
    return first


def _default(node: NodeProto) -> int:
    """Returns what a node of a type that onnx does not know makes, as a rule."""
    return TensorProto.FLOAT if node.op_type in _TABLES else TensorProto.UNDEFINED


def _kinds(proto: onnx.ModelProto) -> dict[str, int]:
    """Returns the types of the main graph's values, as far as onnx knows them."""
    try:
        graph: GraphProto = onnx.shape_inference.infer_shapes(proto).graph
    except Exception:  # Whatever a hostile graph makes it raise: what the file says is left then.
        graph = proto.graph
    return {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
