"""Infers shapes and types by onnx's own inference."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxattr.graph.growth import numbers_stay_few
from onnxattr.graph.walk import STANDARD

#: Bytes of a stored tensor that inference sees the numbers of: a shape is short.
_SEEN = 1000


class InferShapes(ir.passes.InPlacePass):
    """Gives every value the shape and the type that onnx infers for it.

    onnx-ir has such a pass. It reads the whole inferred graph back, for the sake of its shapes, and
    takes a time that is quadratic in the number of initializers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with shapes; where inference fails, as it was."""
        proto = _without_weights(model)
        carry = numbers_stay_few(proto.graph)
        try:
            inferred = onnx.shape_inference.infer_shapes(
                proto, check_type=False, strict_mode=False, data_prop=carry
            )
        except Exception:  # Whatever a hostile graph makes it raise: nothing is known then.
            return ir.passes.PassResult(model, modified=False)
        modified = False
        waiting = [(model.graph, inferred.graph)]
        while waiting:
            graph, proto = waiting.pop()
            values = {v.name: v for v in (*graph.inputs, *graph.initializers.values())}
            for node, twin in zip(graph, proto.node, strict=True):
                values.update((v.name, v) for v in node.outputs)
                waiting.extend(_bodies(node, twin))
            for info in (*proto.value_info, *proto.output):
                modified |= info.name in values and _tell(values[info.name], info)
        return ir.passes.PassResult(model, modified=modified)


def infer_again(node: ir.Node, opset: int) -> list[ir.Value]:
    """Tells one node's outputs the sizes that follow from its inputs; returns those that are new.

    What a pass has found in one node tells the nodes behind it, without all of a graph once more.
    """
    inputs = [v for v in node.inputs if v is not None]
    if node.graph is None or node.domain not in STANDARD or not any(map(_open, node.outputs)):
        return []
    stored = {
        str(v.name): ir.serde.serialize_tensor(v.const_value)
        for v in inputs
        if v.const_value is not None and v.const_value.nbytes <= _SEEN
    }
    try:
        inferred = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, node.version or opset, ""),
            ir.serde.serialize_node(node),
            {str(v.name): ir.serde.serialize_value(v).type for v in inputs},
            stored,
        )
    except Exception:  # As above.
        return []
    return [v for v in node.outputs if v.name in inferred and _settle(v, inferred[v.name])]


def _open(value: ir.Value) -> bool:
    return value.shape is None or not value.shape.is_static()


def _settle(value: ir.Value, kind: onnx.TypeProto) -> bool:
    """Gives a value the sizes that are numbers now; names of the others stay."""
    new, old = ir.serde.deserialize_type_proto_for_shape(kind), value.shape
    if new is None or (old is not None and len(old) != len(new)):
        return False
    sizes = [n if isinstance(n, int) or old is None else old[i] for i, n in enumerate(new)]
    value.shape = ir.Shape(sizes)
    return value.shape != old


def _without_weights(model: ir.Model) -> onnx.ModelProto:
    """Returns the graph as inference reads it; of large stored tensors, only shape and type."""
    proto = onnx.ModelProto(ir_version=model.ir_version)
    for domain, version in model.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    graph = model.graph
    proto.graph.name = graph.name or "graph"
    proto.graph.input.extend(ir.serde.serialize_value(v) for v in graph.inputs)
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes <= _SEEN:
            proto.graph.initializer.append(ir.serde.serialize_tensor(tensor))
            proto.graph.initializer[-1].name = value.name or ""
        elif tensor is not None:
            proto.graph.input.add(
                name=value.name,
                type=onnx.helper.make_tensor_type_proto(tensor.dtype, tensor.shape.numpy()),
            )
    proto.graph.node.extend(ir.serde.serialize_node(node) for node in graph)
    proto.graph.value_info.extend(
        ir.serde.serialize_value(v)
        for node in graph
        for v in node.outputs
        if v.name and (v.shape is not None or v.type is not None)
    )
    proto.graph.output.extend(ir.serde.serialize_value(v) for v in graph.outputs)
    return proto


def _bodies(node: ir.Node, twin: onnx.NodeProto) -> Iterator[tuple[ir.Graph, onnx.GraphProto]]:
    for attribute in twin.attribute:
        if attribute.HasField("g"):
            yield node.attributes[attribute.name].as_graph(), attribute.g
        elif attribute.graphs:
            graphs = node.attributes[attribute.name].as_graphs()
            yield from zip(graphs, attribute.graphs, strict=True)


def _tell(value: ir.Value, info: onnx.ValueInfoProto) -> bool:
    """Gives a value what was inferred of it, if that is new."""
    if not info.HasField("type"):
        return False
    shape = ir.serde.deserialize_type_proto_for_shape(info.type)
    kind = ir.serde.deserialize_type_proto_for_type(info.type)
    new_shape = shape is not None and shape != value.shape
    new_kind = kind is not None and kind.dtype != value.dtype
    if new_shape:
        value.shape = shape
    if new_kind:
        value.type = kind
    return new_shape or new_kind
