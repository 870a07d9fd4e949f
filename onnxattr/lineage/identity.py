"""What a file is: hashes that do not see names and order, counts, and what it says of itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

from onnxattr.graph.load import weights
from onnxattr.graph.walk import STANDARD, captured, nodes
from onnxattr.sanitise import clean
from onnxattr.types import Identity, Model

#: Types of which a few numbers are shapes and axes, and how many those are at most.
_WHOLE, _AXES = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL), 64

#: How a stored tensor is told from others.
_Told = Callable[[TensorProto], str]

#: Entries of the metadata that are kept, and characters of a value.
MAX_ENTRIES, MAX_VALUE = 64, 500


def identity_of(model: Model, size: int) -> Identity:
    """Returns what a loaded model is.

    Args:
        model: From `graph.load.load`.
        size: Bytes of its file and external data.
    """
    proto = model.proto
    bodies = [*nodes(proto.graph), *(n for f in proto.functions for n in nodes(f))]
    counted = Counter(
        n.op_type if n.domain in STANDARD else f"{n.domain}.{n.op_type}" for n in bodies
    )
    by_type: Counter[str] = Counter()
    for _, tensor in weights(proto):
        by_type[TensorProto.DataType.Name(tensor.data_type).lower()] += _count(tensor)
    return Identity(
        file=model.sha256,
        weights=_hash_weights(model),
        structure=_hash_structure(proto),
        framework=clean(model.origin.framework),
        exporter=clean(model.origin.exporter),
        opsets={clean(o.domain): o.version for o in proto.opset_import},
        operators={clean(k): v for k, v in sorted(counted.items(), key=lambda e: (-e[1], e[0]))},
        parameters=model.parameters,
        by_type=dict(sorted(by_type.items())),
        size=size,
        nodes=len(bodies),
        metadata=_metadata(proto),
        content=_hash_structure(proto, lambda tensor: _with_numbers(tensor, model.apart)),
    )


def _metadata(proto: onnx.ModelProto) -> dict[str, str]:
    said = {
        "producer_name": proto.producer_name,
        "producer_version": proto.producer_version,
        "domain": proto.domain,
        "model_version": str(proto.model_version) if proto.model_version else "",
        "doc_string": proto.doc_string,
        "graph.name": proto.graph.name,
        "graph.doc_string": proto.graph.doc_string,
        "ir_version": str(proto.ir_version),
        **{p.key: p.value for p in proto.metadata_props[:MAX_ENTRIES]},
    }
    kept = {clean(k): clean(v, MAX_VALUE) for k, v in said.items() if v}
    return dict(list(kept.items())[:MAX_ENTRIES])


def _count(tensor: TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _hash_weights(model: Model) -> str:
    """Returns a hash of all stored tensors of floating point or few bits, as a multiset.

    Type, shape and numbers count; names and order do not. Some whole numbers of 32 and 64 bits are
    shapes and axes, which exporters write as they like.
    """
    digests = []
    for name, tensor in weights(model.proto):
        if tensor.data_type in _WHOLE and _count(tensor) <= _AXES:
            continue
        if tensor.data_type == TensorProto.STRING:
            continue
        array = model.apart[name] if name in model.apart else numpy_helper.to_array(tensor)
        digest = hashlib.sha256(f"{tensor.data_type}:{array.shape}:".encode())
        digest.update(array.tobytes())
        digests.append(digest.digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _hash_structure(proto: onnx.ModelProto, told: _Told | None = None) -> str:
    """Returns a hash of the graph that names and the order of its nodes do not change.

    Every value is hashed from what makes it, back to the inputs, which go by their type, shape and
    place (Merkle 1987); stored tensors go by type and shape, small whole ones by their numbers, or
    by what `told` says of them.
    """
    told = told or _tensor
    functions = sorted(
        _digest(
            "function", f.domain, f.name, _body(f.node, f.input, f.output, {}, f.attribute, told)
        )
        for f in proto.functions
    )
    graph = _graph(proto.graph, {}, told)
    opsets = sorted(
        f"{o.domain if o.domain not in STANDARD else ''}:{o.version}" for o in proto.opset_import
    )
    return _digest("model", *opsets, *functions, graph)


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "backslashreplace")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def _graph(graph: GraphProto, outer: Mapping[str, str], told: _Told) -> str:
    known = dict(outer)
    stored = {t.name for t in graph.initializer}
    for tensor in graph.initializer:
        known[tensor.name] = told(tensor)
    number = 0
    for value in graph.input:
        if value.name not in stored:
            known[value.name] = _digest("input", str(number), _type(value.type))
            number += 1
    return _body(graph.node, (), [v.name for v in graph.output], known, (), told)


def _type(kind: onnx.TypeProto) -> str:
    tensor = kind.tensor_type
    sizes = [str(d.dim_value) if d.HasField("dim_value") else "?" for d in tensor.shape.dim]
    return f"{kind.WhichOneof('value')}:{tensor.elem_type}:{','.join(sizes)}"


def _tensor(tensor: TensorProto) -> str:
    numbers = ""
    if tensor.data_type in _WHOLE and _count(tensor) <= _AXES and not tensor.external_data:
        numbers = str(numpy_helper.to_array(tensor).tolist())
    return _digest("stored", str(tensor.data_type), str(list(tensor.dims)), numbers)


def _with_numbers(tensor: TensorProto, apart: Mapping[str, np.ndarray[Any, Any]]) -> str:
    if tensor.data_type == TensorProto.STRING:
        data = b"".join(len(text).to_bytes(8, "big") + text for text in tensor.string_data)
    else:
        array = apart[tensor.name] if tensor.name in apart else numpy_helper.to_array(tensor)
        data = np.ascontiguousarray(array).tobytes()
    digest = hashlib.sha256(data).hexdigest()
    return _digest("stored", str(tensor.data_type), str(list(tensor.dims)), digest)


def _body(
    body: Iterable[NodeProto],
    inputs: Iterable[str],
    outputs: Iterable[str],
    outer: Mapping[str, str],
    attributes: Iterable[str],
    told: _Told,
) -> str:
    known = dict(outer)
    known.update((name, _digest("input", str(i))) for i, name in enumerate(inputs))
    made: list[tuple[NodeProto, str]] = []
    for node in body:
        constant = _constant(node)
        if constant is not None:  # As if it were an initializer.
            known[node.output[0]] = told(constant)
            continue
        made.append((node, _node(node, known, told)))
        for i, name in enumerate(node.output):
            if name:
                known[name] = _digest("output", str(i), made[-1][1])
    # Two nodes that are made alike may be read by different ones: so all are told by their readers.
    readers: dict[str, list[str]] = {}
    every = []
    for node, up in reversed(made):
        read = [f"{i}:{r}" for i, o in enumerate(node.output) for r in readers.get(o, ())]
        down = _digest(up, *sorted(read))
        every.append(down)
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append(f"{place}:{down}")
    ends = [known.get(name, "") for name in outputs]
    return _digest("body", *ends, "nodes", *sorted(every), "attributes", *sorted(attributes))


def _constant(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or node.domain not in STANDARD or not node.output:
        return None
    return next((a.t for a in node.attribute if a.HasField("t")), None)


def _node(node: NodeProto, known: Mapping[str, str], told: _Told) -> str:
    read = [known.get(name, "") if name else "none" for name in node.input]
    said = sorted(_attribute(a, known, told) for a in node.attribute)
    domain = "" if node.domain in STANDARD else node.domain
    return _digest("node", domain, node.op_type, *read, "attributes", *said)


def _attribute(attribute: AttributeProto, known: Mapping[str, str], told: _Told) -> str:
    graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
    if graphs:
        inner = [_graph(g, {n: known[n] for n in captured(g) if n in known}, told) for g in graphs]
        return _digest(attribute.name, *inner)
    if attribute.HasField("t"):
        return _digest(attribute.name, told(attribute.t))
    copy = AttributeProto()
    copy.CopyFrom(attribute)
    copy.doc_string = ""
    return _digest(attribute.name, copy.SerializeToString(deterministic=True).hex())
