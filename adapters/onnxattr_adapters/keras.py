"""Keras 3: exports a model with Keras' own exporter, as a user of it would; its layout is kept."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxattr_adapters import Adapter, ExportError, require
from onnxattr_adapters._file import Array, check, clean, draft, one_line, save, stamp
from onnxattr_adapters._keras_input import constant_statistics, known, without_augmentation
from onnxattr_adapters._source import arrays, existing, has_suffix

if TYPE_CHECKING:
    import keras

#: What Keras itself exports with, by backend.
_EXPORTERS = {
    "tensorflow": ("tensorflow", "tf2onnx"),
    "torch": ("torch", "onnxscript"),
    "jax": ("jax", "jax2onnx"),
}


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    example: Array | Sequence[Array] | None = None,
) -> None:
    """Write `model` as an ONNX file that was compared with it, in inference mode.

    The file keeps the model's own layout (NHWC as a rule) and a free batch axis. `path` is only
    written once ONNX Runtime agrees with the model on random input.

    Args:
        model: A built model, on any Keras backend that can export to ONNX.
        path: Where to write. The folder is made if need be.
        example: One array for each input, such as float32 [batch, height, width, 3], to compare
            on. Needed only where the model leaves other sizes than the batch open; otherwise
            uniform noise in 0..1 from a fixed seed is used.

    Raises:
        ExportError: the model has no known input shape, Keras cannot export it, ONNX Runtime
            cannot run the file, or max|Δ| > 1e-4 · max|reference|.

    Example:
        >>> import keras, tempfile  # doctest: +SKIP
        >>> net = keras.Sequential(  # doctest: +SKIP
        ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()]
        ... )
        >>> export(net, tempfile.mkdtemp() + "/net.onnx")  # doctest: +SKIP
    """
    import keras
    import onnx

    from onnxattr_adapters._tf2onnx import mend, settle

    require(*_EXPORTERS.get(keras.backend.backend(), ()))
    inputs = _inputs(model) if example is None else _as_list(example)
    given = inputs if len(inputs) > 1 else inputs[0]
    references = [_array(value) for value in _leaves(model(given, training=False))]
    spec, model = known(model), without_augmentation(model)
    # A functional model that was never called exports without its weights being traced
    # (Keras 3.15).
    model(given, training=False)
    with draft(path) as place:
        try:
            with warnings.catch_warnings(), constant_statistics(model):
                warnings.simplefilter("ignore")  # about TensorFlow's and tf2onnx' own insides
                model.export(str(place), format="onnx", verbose=False)
        except Exception as error:  # Keras, TensorFlow and tf2onnx raise many unrelated types
            raise ExportError(f"Keras cannot export this model: {one_line(error)}") from error
        proto = onnx.load(str(place))
        mend(proto)
        settle(proto)
        clean(proto)
        stamp(proto, spec)
        save(proto, place)
        check(place, inputs, references)


def _inputs(model: keras.Model) -> list[Array]:
    """Return two items of noise for each input, float [2, …], of the shape the model declares."""
    try:
        declared = list(model.inputs or [])
    except AttributeError:  # a subclassed model has no `inputs`
        declared = []
    if not declared:
        raise ExportError(f"the model `{model.name}` has no known input shape: pass `example`")
    rng = np.random.default_rng(0)
    arrays = []
    for value in declared:
        sizes = tuple(value.shape[1:])
        if None in sizes:
            raise ExportError(
                f"the input `{value.name}` leaves sizes open, {sizes}: pass `example`"
            )
        arrays.append(rng.random((2, *sizes)).astype(str(value.dtype)))
    return arrays


def _as_list(example: Array | Sequence[Array]) -> list[Array]:
    return [example] if isinstance(example, np.ndarray) else [np.asarray(a) for a in example]


def _leaves(outputs: Any) -> list[Any]:
    import keras

    leaves: list[Any] = keras.tree.flatten(outputs)
    return leaves


def _array(value: Any) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(value))


def _export_source(source: str, path: Path, example: Sequence[str] = ()) -> None:
    require("keras")
    file = existing(source)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    try:
        # Lambda layers are pickled code, which the user has agreed to.
        model = keras.saving.load_model(file, compile=False, safe_mode=False)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # Keras, h5py and zipfile raise many unrelated types
        raise ExportError(f"Keras cannot read it: {one_line(error)}") from error
    export(model, path, example=arrays(example) or None)


ADAPTER = Adapter(
    install="onnxattr[keras]",
    recognises=lambda source: has_suffix(source, ".keras", ".h5", ".hdf5"),
    holds_code=lambda source: True,
    export=_export_source,
    takes=("example",),
)
