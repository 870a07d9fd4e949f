"""From a file, bytes or a `ModelProto` to a checked `Model`."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, numpy_helper

from onnxattr.errors import LimitError, ModelFileError, SupportError
from onnxattr.graph.bounds import (
    require_bounds,
    require_fitting_tensor,
    require_fitting_tensors,
)
from onnxattr.graph.files import external_size, read_external_data, read_file
from onnxattr.graph.mend import mend
from onnxattr.graph.origin import origin
from onnxattr.graph.sidecar import read_sidecar
from onnxattr.graph.walk import STANDARD
from onnxattr.limits import Limits
from onnxattr.types import Model

#: The operators' own domain of the dialect (`docs` of the passes); no vendor may speak it.
OWN_DOMAIN = "onnxattr"

Arrays = dict[str, np.ndarray[Any, Any]]

#: Protobuf cannot serialise more; a little is left for all that is no tensor.
MAX_MESSAGE = 2**31 - 2**24

#: Operators in ONNX's domain that are not in its standard and that ONNX Runtime runs, with the last
#: opset of such files: experiments that ONNX took back, and what ONNX Runtime's optimiser writes.
_KNOWN_OUTSIDE = {
    **dict.fromkeys(
        ("Affine", "Crop", "GivenTensorFill", "ImageScaler", "ParametricSoftplus", "Scale"), 9
    ),
    **dict.fromkeys(("ScaledTanh", "ThresholdedRelu"), 9),
    **dict.fromkeys(("SimplifiedLayerNormalization", "LayerNormalization"), 1000),
}

#: The domain that they have for the checker, which knows no operator of it.
_OUTSIDE = "outside.the.standard"

#: Operators whose inputs 1… are weights: an infinity there is damage, elsewhere it may be a mask.
_WEIGHTED = {
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LSTM",
    "GRU",
    "RNN",
}

_FLOATS = {
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
}

#: Integers of eight bits and less are weights that were quantised.
_COUNTED = _FLOATS | {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4}


def load(
    source: str | Path | bytes | onnx.ModelProto,
    *,
    name: str = "",
    limits: Limits | None = None,
) -> Model:
    """Returns the model that `source` holds, read once, checked, external data read in.

    This happens in the calling process. `rank`, `compare`, `inspect` and `attribute` take paths,
    and read them in worker processes: prefer that for files that nobody vouches for.

    Args:
        source: A path, the bytes of an ONNX file, or a parsed model (which is copied).
        name: What to call it; by default the file's stem, or `model`.
        limits: What the file may hold; by default `Limits()`.

    Raises:
        ModelFileError: The file is missing, no regular file, empty, not ONNX, truncated, or refused
            by the ONNX checker; its external data is missing, or outside of its directory, or
            behind a link; two of its initializers, inputs, outputs or functions share a name; the
            data of a tensor does not fit its shape; weights are not finite.
        LimitError: It is larger than `limits` allow.
        ModelInputError: The sidecar beside it cannot be read.
        SupportError: Its opset or some of its operators are unknown to the installed onnx.

    Example:
        >>> from onnx import parser
        >>> header = '<ir_version: 8, opset_import: ["" : 17]>'
        >>> text = header + "g (float[N] x) => (float[N] y) { y = Relu(x) }"
        >>> onnxattr.load(parser.parse_model(text)).opset
        17
    """
    path = Path(source) if isinstance(source, str | Path) else None
    name = name or (path.stem if path else "model")
    limits = limits or Limits()
    data = _bytes(source, path, limits, name)
    digest = hashlib.sha256(data)
    room = limits.file_size - len(data)
    proto = _parse(data, name)
    del data
    require_bounds(proto, limits, name)
    folder = path.parent if path else None
    external, apart = False, {}
    large = external_size(proto, folder) > MAX_MESSAGE
    initializers = {id(tensor): tensor for tensor in proto.graph.initializer if large}
    for tensor, loaded in read_external_data(proto, folder, room, limits, name):
        digest.update(loaded.raw_data)
        if id(tensor) in initializers:
            require_fitting_tensor(loaded, name)
            apart[tensor.name] = numpy_helper.to_array(loaded)
        else:
            tensor.CopyFrom(loaded)
        external = True
    mend(proto)
    _check(proto, apart, name)
    return Model(
        name=name,
        path=path,
        sha256=digest.hexdigest(),
        external=external,
        sidecar=read_sidecar(path, name) if path else None,
        proto=proto,
        apart=apart,
        origin=origin(proto),
        opset=default_opset(proto),
        parameters=sum(int(np.prod(t.dims)) for _, t in weights(proto) if t.data_type in _COUNTED),
    )


def default_opset(proto: onnx.ModelProto) -> int:
    """Returns the version of the default operator set that `proto` imports, 0 if none."""
    return next((o.version for o in proto.opset_import if o.domain in STANDARD), 0)


def weights(proto: onnx.ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Yields what the main graph stores, by the name it is used under: initializers, constants."""
    for tensor in proto.graph.initializer:
        yield tensor.name, tensor
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD and node.output:
            yield from ((node.output[0], a.t) for a in node.attribute if a.HasField("t"))


def _bytes(
    source: str | Path | bytes | onnx.ModelProto, path: Path | None, limits: Limits, name: str
) -> bytes:
    if path is not None:
        return read_file(path, limits, name)
    try:
        data = source if isinstance(source, bytes) else source.SerializeToString(deterministic=True)  # type: ignore[union-attr]
    except (EncodeError, ValueError) as error:
        raise ModelFileError(
            "it holds more than 2 GiB, which protobuf cannot write",
            hint="save it with external data and give the path",
            model=name,
        ) from error
    if len(data) > limits.file_size:
        raise LimitError(
            f"it takes {len(data):,} bytes, and {limits.file_size:,} are allowed", model=name
        )
    return data


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        raise ModelFileError("the file is empty", hint="export or download it again", model=name)
    try:
        proto = onnx.load_model_from_string(data)
    except (DecodeError, UnicodeDecodeError, ValueError):
        # Every exporter writes field 1, ir_version, first.
        if data[:1] == b"\x08":
            raise ModelFileError(
                "the file starts like ONNX but cannot be decoded: it is truncated or damaged",
                hint="export or download it again",
                model=name,
            ) from None
        pointer = data.startswith(b"version https://git-lfs.")
        raise ModelFileError(
            "the file is not an ONNX model" + (", but a pointer of Git LFS" if pointer else ""),
            hint="fetch the model itself: `git lfs pull`" if pointer else "",
            model=name,
        ) from None
    if not proto.HasField("graph") or not proto.graph.output:
        raise ModelFileError(
            "the file holds no ONNX graph with outputs: it is truncated or not a model",
            hint="export or download it again",
            model=name,
        )
    return proto


def _check(proto: onnx.ModelProto, apart: Arrays, name: str) -> None:
    # A function has imports of its own, and its nodes land in the graph when it is inlined.
    imports = [*proto.opset_import, *(o for f in proto.functions for o in f.opset_import)]
    if any(o.domain == OWN_DOMAIN for o in imports):
        raise ModelFileError(
            f"it uses the operator domain `{OWN_DOMAIN}`, which is reserved", model=name
        )
    require_fitting_tensors(proto, name, apart)
    _check_known(proto, name)
    try:
        onnx.checker.check_model(_checkable(proto, apart))
    except (onnx.checker.ValidationError, ValueError, TypeError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise ModelFileError(f"the ONNX checker refuses it: {reason}", model=name) from None
    _check_finite(proto, apart, name)


def _checkable(proto: onnx.ModelProto, apart: Arrays) -> onnx.ModelProto:
    """Returns what the checker can read: no tensors beyond its size, none of `_KNOWN_OUTSIDE`."""
    outside = [n for n in proto.graph.node if _is_outside(n, default_opset(proto))]
    if not apart and not outside:
        return proto
    copy = onnx.ModelProto()
    copy.ir_version = max(proto.ir_version, 4)  # from where on an input need not be listed twice
    copy.opset_import.extend(proto.opset_import)
    copy.opset_import.add(domain=_OUTSIDE, version=1)
    copy.functions.extend(proto.functions)
    copy.graph.name = proto.graph.name
    copy.graph.node.extend(proto.graph.node)
    copy.graph.output.extend(proto.graph.output)
    listed = {tensor.name for tensor in proto.graph.initializer}
    copy.graph.input.extend(v for v in proto.graph.input if v.name not in listed)
    copy.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims)
        for t in proto.graph.initializer
    )
    for node in copy.graph.node:
        if _is_outside(node, default_opset(proto)):
            node.domain = _OUTSIDE
    return copy


def _is_outside(node: onnx.NodeProto, opset: int) -> bool:
    """Whether an operator in ONNX's domain is one that the checker refuses and engines run."""
    if node.domain not in STANDARD:
        return False
    if onnx.defs.has(node.op_type, opset, ""):
        # Such as GroupNormalization of opsets 18 to 20, which has another meaning later.
        deprecated: bool = onnx.defs.get_schema(node.op_type, opset, "").deprecated
        return deprecated
    return node.op_type in _KNOWN_OUTSIDE and opset <= _KNOWN_OUTSIDE[node.op_type]


def _check_known(proto: onnx.ModelProto, name: str) -> None:
    """Names all unknown operators at once; the checker would stop at the first."""
    if not proto.opset_import:
        raise ModelFileError(
            "it imports no operator set: it is truncated or damaged",
            hint="export or download it again",
            model=name,
        )
    opset = default_opset(proto)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise SupportError(
            f"it is of opset {opset}, and the installed onnx knows opsets up to {newest}",
            hint="upgrade the package `onnx`",
            model=name,
        )
    functions = {(f.domain, f.name) for f in proto.functions}
    unknown = Counter(
        node.op_type
        for node in proto.graph.node
        if node.domain in STANDARD
        and (node.domain, node.op_type) not in functions
        and not onnx.defs.has(node.op_type, opset, "")
        and not _is_outside(node, opset)
    )
    if unknown:
        listing = ", ".join(f"`{op}` ({n})" for op, n in sorted(unknown.items()))
        raise SupportError(
            f"its nodes use operators that opset {opset} of ONNX does not have: {listing}",
            hint="the exporter wrote something outside of the standard: try another exporter",
            model=name,
        )


def _check_finite(proto: onnx.ModelProto, apart: Arrays, name: str) -> None:
    used_as_weight = {
        value for node in proto.graph.node if node.op_type in _WEIGHTED for value in node.input[1:]
    }
    for value, tensor in weights(proto):
        if tensor.data_type not in _FLOATS:
            continue
        array = apart[value] if value in apart else numpy_helper.to_array(tensor)
        # ml_dtypes' bfloat16 has no isfinite loop of its own.
        array = array.astype(np.float32) if tensor.data_type == TensorProto.BFLOAT16 else array
        if value in used_as_weight:
            bad = ~np.isfinite(array)
        elif array.size > 1:
            bad = np.isnan(array)
        else:  # jax2onnx writes Where(count > 0, variance, NaN) for every normalisation
            continue
        if bad.any():
            raise ModelFileError(
                f"{int(bad.sum())} of {array.size} values of the weight `{value}` are not finite",
                hint="the training diverged or the file is damaged: export it again",
                model=name,
            )
