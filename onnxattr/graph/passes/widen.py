"""Turns a graph into one that computes in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import STANDARD

#: What is widened.
NARROW = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})

#: Attributes whose integer is a type.
_TYPED = frozenset(
    {"to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision"}
)

#: Operators that compute in float32, or make it, unless they are told otherwise, and how they are.
_NARROWING: Mapping[str, str] = {
    "BlackmanWindow": "output_datatype",
    "GroupNormalization": "stash_type",
    "HammingWindow": "output_datatype",
    "HannWindow": "output_datatype",
    "LayerNormalization": "stash_type",
    "MelWeightMatrix": "output_datatype",
    "RMSNormalization": "stash_type",
    "RandomNormal": "dtype",
    "RandomUniform": "dtype",
}

#: Operators that make float32 of anything, beside those of other domains than ONNX's.
_MAKERS = frozenset({"BitCast", "DynamicQuantizeLinear", "TfIdfVectorizer"})


class Widen(ir.passes.InPlacePass):
    """Makes float64 of all that is float32, float16 or bfloat16, save the types of the inputs.

    Stored numbers, casts, attributes that are types, and subgraphs: rounding to less on the way is
    gone, too. Inputs are cast where they enter, so that the same probes are fed. Operators that
    make float32 whatever they are given (those of `ai.onnx.ml`, scales of dynamic quantisation) are
    followed by casts.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model in float64."""
        modified = False
        entering = [v for v in model.graph.inputs if v.dtype in NARROW]
        for graph in model.graphs():
            for value in graph.initializers.values():
                modified |= _widen_stored(value)
            if graph is not model.graph:
                for value in graph.inputs:
                    modified |= _widen_type(value)
            for node in list(graph):
                modified |= _widen_node(node)
        for value in entering:
            modified |= _cast(model.graph, value, None)
        return ir.passes.PassResult(model, modified=modified)


def _widen_node(node: ir.Node) -> bool:
    modified = _widen_attributes(node)
    for value in node.outputs:
        narrow = _widen_type(value)
        modified |= narrow
        maker = node.op_type in _MAKERS or node.domain not in (*STANDARD, OWN_DOMAIN)
        if narrow and maker and node.graph is not None:
            _cast(node.graph, value, node)
    return modified


def _widen_attributes(node: ir.Node) -> bool:
    modified = False
    if node.op_type == "BitCast":  # Whose bits are those of the type that it names.
        return False
    added = _NARROWING.get(node.op_type) if node.domain in STANDARD else None
    if added and added not in node.attributes:
        node.attributes[added] = ir.AttrInt64(added, ir.DataType.DOUBLE)
        modified = True
    if node.op_type == "ConstantOfShape" and "value" not in node.attributes:
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1)))
        modified = True
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in NARROW:
            wide = ir.tensor(_wide(attribute.value), name=attribute.value.name)
            node.attributes[name] = ir.AttrTensor(name, wide)
        elif (
            name in _TYPED and attribute.type == ir.AttributeType.INT and attribute.value in NARROW
        ):
            node.attributes[name] = ir.AttrInt64(name, ir.DataType.DOUBLE)
        elif node.op_type == "Constant" and name in ("value_float", "value_floats"):
            del node.attributes[name]
            wide = ir.tensor(np.asarray(attribute.value, np.float64))
            node.attributes["value"] = ir.AttrTensor("value", wide)
        else:
            continue
        modified = True
    return modified


def _widen_stored(value: ir.Value) -> bool:
    if value.const_value is not None and value.const_value.dtype in NARROW:
        value.const_value = ir.tensor(_wide(value.const_value), name=value.name)
        value.dtype = ir.DataType.DOUBLE
        return True
    return False


def _wide(tensor: ir.TensorProtocol) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(tensor.numpy()).astype(np.float64)


def _widen_type(value: ir.Value) -> bool:
    kind = value.type
    while isinstance(kind, ir.SequenceType | ir.OptionalType):
        kind = kind.elem_type
    if kind is None or kind.dtype not in NARROW:
        return False
    kind.dtype = ir.DataType.DOUBLE
    return True


def _is_cast(node: ir.Node) -> bool:
    """Returns whether a node gives float64 of whatever it takes."""
    if node.domain not in STANDARD or node.op_type != "Cast" or "to" not in node.attributes:
        return False
    return bool(node.attributes["to"].value == ir.DataType.DOUBLE)


def _cast(graph: ir.Graph | ir.Function, value: ir.Value, maker: ir.Node | None) -> bool:
    """Has all that reads `value` read it in float64; returns whether anything does."""
    uses = [use for use in value.uses() if not _is_cast(use.node)]
    if not uses and not value.is_graph_output():
        return False
    node = ir.node("Cast", [value], {"to": ir.DataType.DOUBLE}, version=13)
    (wide,) = node.outputs
    wide.shape, wide.type = value.shape, ir.TensorType(ir.DataType.DOUBLE)
    for use in uses:
        use.node.replace_input_with(use.idx, wide)
    for i, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[i] = wide
    if maker is not None:
        graph.insert_after(maker, node)
    elif len(graph):
        graph.insert_before(graph[0], node)
    else:
        graph.append(node)
    return True
