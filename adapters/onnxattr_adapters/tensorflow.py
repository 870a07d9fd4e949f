"""TensorFlow: exports SavedModels and tflite files through tf2onnx; their layout is kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxattr_adapters import Adapter, ExportError, require
from onnxattr_adapters._file import TOLERANCE, Array, Spec, check, clean, draft, save, stamp
from onnxattr_adapters._file import one_line as told
from onnxattr_adapters._source import arrays, existing, has_suffix

if TYPE_CHECKING:
    import onnx

#: Of files with 8-bit numbers inside: two of their steps, as ONNX Runtime and tflite may round
#: to either side.
QUANTISED = 2 / 255

#: TensorFlow's operators that say what their axes are.
_LAYERS = ("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool")

_SIGNATURE = "serving_default"


def export_saved_model(folder: Path, path: Path, example: Sequence[Array] = ()) -> None:
    """Write the serving signature of a SavedModel as an ONNX file that was compared with it.

    Args:
        folder: The SavedModel. Loading it runs the graphs in it.
        path: Where to write.
        example: One array for each input, in the order of their names; needed where more than
            the batch is left open.

    Raises:
        ExportError: It has no such signature, tf2onnx cannot export it, or the file differs.
    """
    require("tensorflow", "tf2onnx")
    tf = _tensorflow()
    import tf2onnx

    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises many unrelated types
        raise ExportError(f"TensorFlow cannot read it: {told(error)}") from error
    signatures = dict(loaded.signatures)
    if _SIGNATURE not in signatures and len(signatures) != 1:
        raise ExportError(
            f"it has no signature `{_SIGNATURE}`, but {sorted(signatures) or 'none at all'}"
        )
    function = signatures.get(_SIGNATURE) or next(iter(signatures.values()))
    declared = function.structured_input_signature[1]
    names, outputs = sorted(declared), sorted(function.structured_outputs)
    inputs = list(example) or [_noise(declared[name]) for name in names]
    if len(inputs) != len(names):
        raise ExportError(f"it takes {len(names)} inputs, {', '.join(names)}, not {len(inputs)}")

    def call(*given: Any) -> list[Any]:
        made = function(**dict(zip(names, given, strict=True)))
        return [made[name] for name in outputs]

    signature = [tf.TensorSpec(declared[n].shape, declared[n].dtype, name=n) for n in names]
    try:
        traced = tf.function(call, input_signature=signature)
        references = [value.numpy() for value in traced(*map(tf.constant, inputs))]
        model, _ = tf2onnx.convert.from_function(traced, input_signature=signature)
    except Exception as error:
        raise ExportError(f"tf2onnx cannot export it: {told(error)}") from error
    spec = _known(inputs, _layout(function.graph.as_graph_def()))
    _publish(model, path, inputs, references, spec, TOLERANCE)


def export_tflite(file: Path, path: Path) -> None:
    """Write a tflite file as an ONNX file that was compared with it.

    Raises:
        ExportError: tflite or tf2onnx cannot read it, or the file differs.
    """
    require("tensorflow", "tf2onnx")
    tf = _tensorflow()
    import tf2onnx

    try:
        # The plain kernels: delegates run parts of the graph in their own way.
        interpreter = tf.lite.Interpreter(
            model_path=str(file),
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
        declared = interpreter.get_input_details()
        inputs = [_tflite_noise(entry) for entry in declared]
        for entry, values in zip(declared, inputs, strict=True):
            interpreter.set_tensor(entry["index"], values)
        interpreter.invoke()
        references = [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]
        kinds = {np.dtype(d["dtype"]) for d in interpreter.get_tensor_details()}
    except Exception as error:
        raise ExportError(f"tflite cannot run it: {told(error)}") from error
    try:
        model, _ = tf2onnx.convert.from_tflite(str(file))
    except Exception as error:
        raise ExportError(f"tf2onnx cannot export it: {told(error)}") from error
    quantised = bool(kinds & {np.dtype("int8"), np.dtype("uint8")})
    spec = _known(inputs, "NHWC")  # tflite's convolutions have no other
    _publish(model, path, inputs, references, spec, QUANTISED if quantised else TOLERANCE)


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


def _publish(
    model: onnx.ModelProto,
    path: Path,
    inputs: Sequence[Array],
    references: Sequence[Array],
    spec: dict[str, Spec],
    tolerance: float,
) -> None:
    from onnxattr_adapters._tf2onnx import mend, settle

    mend(model)
    settle(model)
    clean(model)
    stamp(model, spec)
    with draft(path) as place:
        save(model, place)
        check(place, inputs, references, tolerance)


def _noise(declared: Any) -> Array:
    """Return two items of noise of a declared shape; the batch may be open, and nothing else."""
    if declared.shape.rank is None or None in declared.shape[1:]:
        shape = tuple(declared.shape) if declared.shape.rank is not None else "any shape"
        raise ExportError(f"the input `{declared.name}` leaves sizes open, {shape}: --example")
    batch = declared.shape[:1].as_list()
    sizes = [*(2 if size is None else size for size in batch), *declared.shape[1:]]
    text = "x".join(map(str, sizes)) + f":{declared.dtype.name}"
    return arrays([text])[0] if sizes else np.zeros((), declared.dtype.as_numpy_dtype)


def _tflite_noise(entry: dict[str, Any]) -> Array:
    rng = np.random.default_rng(0)
    shape, kind = tuple(entry["shape"]), np.dtype(entry["dtype"])
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    if kind.itemsize == 1 and kind.kind in "iu":
        bounds = np.iinfo(kind)
        return rng.integers(bounds.min, bounds.max, shape, endpoint=True).astype(kind)
    return rng.integers(0, 2, shape).astype(kind)


def _layout(graph: Any) -> str:
    """Return the layout that all layers over images share, or an empty text."""
    formats = {
        node.attr["data_format"].s.decode()
        for nodes in (graph.node, *(function.node_def for function in graph.library.function))
        for node in nodes
        if node.op in _LAYERS
    }
    return formats.pop() if len(formats) == 1 else ""


def _known(inputs: Sequence[Array], layout: str) -> dict[str, Spec]:
    """Return what shape and type of the only input tell, where its axes are known."""
    if len(inputs) != 1 or inputs[0].ndim != 4 or layout not in ("NHWC", "NCHW"):
        return {}
    if inputs[0].shape[layout.index("C")] not in (1, 3, 4):
        return {}
    spec: dict[str, Spec] = {"layout": layout}
    return spec | ({"range": (0, 255)} if inputs[0].dtype == np.uint8 else {})


def _export_source(source: str, path: Path, example: Sequence[str] = ()) -> None:
    place = existing(source)
    if place.is_dir():
        export_saved_model(place, path, arrays(example))
    elif example:
        raise ExportError("a tflite file knows its inputs: it takes no --example")
    else:
        export_tflite(place, path)


ADAPTER = Adapter(
    install="onnxattr[tensorflow]",
    recognises=lambda source: (
        has_suffix(source, ".tflite") or os.path.isfile(os.path.join(source, "saved_model.pb"))
    ),
    holds_code=lambda source: not has_suffix(source, ".tflite"),
    export=_export_source,
    takes=("example",),
)
