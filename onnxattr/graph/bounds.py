"""What a model file may hold, looked at before anybody else reads it: counts, names, tensors."""

from collections import Counter
from collections.abc import Collection, Iterable

import onnx
from google.protobuf.message import Message
from onnx import FunctionProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, helper

from onnxattr.errors import LimitError, ModelFileError
from onnxattr.graph.walk import STANDARD, messages, names, nodes, short
from onnxattr.limits import Limits

#: Bits of an element, for the types of which several share a byte.
_PACKED = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
    # Of the newest versions of onnx.
    **{v: 6 for kind, v in TensorProto.DataType.items() if kind.startswith("FLOAT6")},
}

#: Fields that hold the values of a tensor, but for `raw_data`.
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")

#: Types of which an element takes two places of a typed field.
_COMPLEX = {TensorProto.COMPLEX64, TensorProto.COMPLEX128}

#: Axes of a tensor: numpy's own bound.
_MAX_RANK = 64

#: More elements than any memory holds; products of dimensions stop here.
_MANY = 2**48


def require_bounds(proto: onnx.ModelProto, limits: Limits, name: str) -> None:
    """Makes sure that a model can be read by others without harm.

    Raises:
        LimitError: It has more nodes, before or after its functions are inlined, more tensors, or
            longer names than `limits` allow.
        ModelFileError: Functions call themselves, a name or a domain stands for two things, a node
            takes an attribute of a function that it is not in, or strings are no text.
    """
    try:
        _check_counts(proto, limits, name)
        for message in messages(proto):
            _check_names(message, limits, name)
        for message in messages(proto):
            if isinstance(message, GraphProto):
                _check_unique(message, name)
            elif isinstance(message, NodeProto):
                _check_constant(message, name)
        _check_domains(proto, name)
        _check_references(proto, name)
        _check_expansion(proto, limits, name)
    except UnicodeDecodeError:
        raise ModelFileError("one of its strings is not UTF-8", model=name) from None


def require_fitting_tensors(proto: onnx.ModelProto, name: str, apart: Collection[str] = ()) -> None:
    """Makes sure that the data of every tensor, of whatever use, is there and fits its shape.

    Raises:
        ModelFileError: It does not.
    """
    for message in messages(proto):
        if isinstance(message, TensorProto):
            if message.name not in apart or message.raw_data:
                require_fitting_tensor(message, name)
        elif isinstance(message, SparseTensorProto):
            raise ModelFileError(
                f"its tensor `{short(message.values.name)}` is sparse, and those are not read",
                hint="export it with dense weights",
                model=name,
            )


def require_fitting_tensor(tensor: TensorProto, name: str) -> None:
    """Makes sure that the data of one tensor fits its shape.

    Raises:
        ModelFileError: It does not.
    """
    reason = _misfit(tensor)
    if reason:
        raise ModelFileError(
            f"the data of tensor `{short(tensor.name)}` does not fit its shape: {reason}",
            model=name,
        )


def _check_counts(proto: onnx.ModelProto, limits: Limits, name: str) -> None:
    count, tensors = 0, 0
    for message in messages(proto):
        if isinstance(message, GraphProto | FunctionProto):
            count += len(message.node)
        tensors += isinstance(message, TensorProto)
    for number, what in ((count, "nodes"), (tensors, "stored tensors")):
        if number > limits.nodes:
            raise LimitError(
                f"it has {number:,} {what}, and {limits.nodes:,} are allowed",
                hint="--max-nodes allows more",
                model=name,
            )


def _check_constant(node: NodeProto, name: str) -> None:
    if node.op_type != "Constant" or node.domain not in STANDARD:
        return
    values = [a.name for a in node.attribute if a.name.startswith(("value", "sparse_value"))]
    if len(values) != 1:
        raise ModelFileError(
            f"its node Constant `{short(node.name)}` has {len(values)} values instead of one",
            model=name,
        )


def _check_domains(proto: onnx.ModelProto, name: str) -> None:
    """An operator set with two versions means two things: engines take one of them.

    The same line twice is no such thing, and scikit-learn's exporter writes it.
    """
    for opset in (*proto.opset_import, *(o for f in proto.functions for o in f.opset_import)):
        if not 1 <= opset.version < 2**31:
            raise ModelFileError(
                f"it imports opset {opset.version} of the operator set "
                f"`{short(opset.domain) or 'ai.onnx'}`",
                model=name,
            )
    for imports in (proto.opset_import, *(f.opset_import for f in proto.functions)):
        different = {(o.domain, o.version) for o in imports}
        domains = ["" if domain in STANDARD else domain for domain, _ in different]
        for domain, count in Counter(domains).items():
            if count > 1:
                raise ModelFileError(
                    f"it imports the operator set `{short(domain) or 'ai.onnx'}` {count} times",
                    model=name,
                )


def _check_references(proto: onnx.ModelProto, name: str) -> None:
    for node in nodes(proto.graph):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise ModelFileError(
                    f"its node {short(node.op_type)} `{short(node.name)}` takes an attribute of a "
                    "function that it is not in",
                    model=name,
                )


def _check_names(message: Message, limits: Limits, name: str) -> None:
    for field, value in names(message):
        if len(value) > limits.name:
            raise LimitError(
                f"a name in it ({field}) has {len(value):,} characters, and {limits.name:,} are "
                f"allowed: `{short(value)}`",
                hint="--max-name allows more",
                model=name,
            )


def _check_unique(graph: GraphProto, name: str) -> None:
    """Two engines may take one and the other of two values with one name."""
    groups: dict[str, Iterable[str]] = {
        "initializers": [
            *(tensor.name for tensor in graph.initializer),
            *(tensor.values.name for tensor in graph.sparse_initializer),
        ],
        "inputs": [value.name for value in graph.input],
        "outputs": [value.name for value in graph.output],
    }
    for what, values in groups.items():
        for value, count in Counter(values).items():
            if count > 1:
                raise ModelFileError(
                    f"{count} of its {what} are called `{short(value)}`", model=name
                )


def _check_expansion(proto: onnx.ModelProto, limits: Limits, name: str) -> None:
    """Counts the nodes that would be there if every function were inlined at every call."""
    functions = {(f.domain, f.name): f for f in proto.functions}
    if len(functions) < len(proto.functions):
        twice = Counter((f.domain, f.name) for f in proto.functions).most_common(1)[0][0]
        raise ModelFileError(f"two of its functions are called `{short(twice[1])}`", model=name)
    calls = {
        key: [k for n in nodes(f) if (k := (n.domain, n.op_type)) in functions]
        for key, f in functions.items()
    }
    sizes: dict[tuple[str, str], int] = {}
    active: set[tuple[str, str]] = set()
    # Depth first with a stack of our own: functions may call each other thousands deep.
    waiting = list(functions)
    while waiting:
        key = waiting[-1]
        missing = {k for k in calls[key] if k not in sizes}
        if key in sizes or not missing:
            own = sum(1 for _ in nodes(functions[key])) - len(calls[key])
            sizes[key] = own + sum(sizes[k] for k in calls[key])
            active.discard(key)
            waiting.pop()
            continue
        active.add(key)
        if missing & active:
            raise ModelFileError(f"its function `{short(key[1])}` calls itself", model=name)
        waiting.extend(missing)
    total = sum(sizes.get((n.domain, n.op_type), 1) for n in nodes(proto.graph))
    if total > limits.expansion:
        raise LimitError(
            f"with its functions inlined it has {_short(total)} nodes, and {limits.expansion:,} "
            "are allowed",
            hint="--max-expansion allows more",
            model=name,
        )


def _short(count: int) -> str:
    return f"{count:,}" if count < 10**12 else "over 10¹²"


def _misfit(tensor: TensorProto) -> str:
    """Returns why the data of `tensor` cannot be its values, or ''."""
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        return "it is said to be in another file"
    if tensor.HasField("segment"):
        return "it is said to be in segments"
    if tensor.data_type not in _KNOWN:
        return f"its type {tensor.data_type} is unknown"
    if len(tensor.dims) > _MAX_RANK:
        return f"it has {len(tensor.dims)} axes, and {_MAX_RANK} are the most"
    count = 1
    for size in tensor.dims:
        if size < 0:
            return f"a dimension is {size}"
        count = min(count * size, _MANY) if count else 0
    count = 0 if 0 in tensor.dims else count
    held = {field: len(getattr(tensor, field)) for field in _TYPED if len(getattr(tensor, field))}
    if tensor.HasField("raw_data"):
        if held:
            return f"it has raw_data and {next(iter(held))}"
        if tensor.data_type == TensorProto.STRING:
            return "strings cannot be raw"
        wanted = -(-count * _bits(tensor.data_type) // 8)
        got = len(tensor.raw_data)
        return "" if got == wanted else f"{got} bytes instead of {_amount(wanted, count)}"
    field = _field(tensor.data_type)
    if set(held) - {field}:
        return f"its type and its field {next(iter(set(held) - {field}))} do not go together"
    places = count * (2 if tensor.data_type in _COMPLEX else 1)
    if (bits := _bits(tensor.data_type)) in (2, 4):  # Six bits are packed in raw data only.
        places = -(-places * bits // 8)
    got = held.get(field, 0)
    return "" if got == places else f"{got} values instead of {_amount(places, count)}"


_KNOWN = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}


def _amount(number: int, count: int) -> str:
    return f"{number}" if count < _MANY else "more than any memory holds"


def _bits(kind: int) -> int:
    return _PACKED.get(kind) or 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize


def _field(kind: int) -> str:
    return str(helper.tensor_dtype_to_field(kind))
