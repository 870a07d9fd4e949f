"""What a Keras model itself says of the image that it is fed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxattr_adapters._file import Spec

if TYPE_CHECKING:
    import keras

_LAYOUTS = {"channels_last": "NHWC", "channels_first": "NCHW"}

#: The largest factor of a Rescaling layer that is taken for one of 8-bit values: 1/255, 1/127.5
#: and what stands near them.
_OF_BYTES = 1 / 64

#: Where mean and deviation of natural images lie, as a share of the range.
_MEANS, _DEVIATIONS = (0.2, 0.8), (0.1, 0.5)


def known(model: keras.Model) -> dict[str, Spec]:
    """Return the layout, and the range where the graph begins with a layer that tells it.

    Rescaling and Normalization layers are exported as part of the graph, so mean and deviation are
    not to be applied once more: what is told is the range of what comes before them.
    """
    try:
        (image,) = model.inputs
    except (AttributeError, TypeError, ValueError):  # a subclassed model, or several inputs
        return {}
    spec: dict[str, Spec] = {}
    if len(image.shape) == 4 and (layout := _layout(model)):
        channels = image.shape[layout.index("C")]
        if channels in (1, 3, 4):
            spec["layout"] = layout
            if found := _range(model):
                spec["range"] = found
    return spec


def _layout(model: keras.Model) -> str | None:
    """Return the layout that all layers of the model share, or None."""
    formats = {getattr(layer, "data_format", None) for layer in _layers(model)} - {None}
    return _LAYOUTS.get(str(formats.pop())) if len(formats) == 1 else None


def _layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _layers(layer)


def _range(model: keras.Model) -> tuple[float, float] | None:
    """Return the range of what is fed, if the first layer that changes it is one that tells."""
    import keras

    layers = keras.layers
    layer = _first(model)
    if isinstance(layer, layers.Rescaling):
        scale = np.atleast_1d(np.asarray(layer.scale, float)).ravel()
        if (scale > 0).all():
            return (0, 255) if (scale <= _OF_BYTES).all() else (0, 1)
    if isinstance(layer, layers.Normalization) and not layer.invert:
        mean = np.asarray(keras.ops.convert_to_numpy(layer.mean), float)
        deviation = np.sqrt(np.asarray(keras.ops.convert_to_numpy(layer.variance), float))
        for top in (255, 1):
            if _within(mean / top, _MEANS) and _within(deviation / top, _DEVIATIONS):
                return (0, top)
    return None


def _first(model: Any) -> Any:
    """Return the first layer that computes something from the only input, also in inner models."""
    import keras

    current = model.inputs[0]
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(model, keras.Sequential):
            given = current
        else:
            try:
                given = layer.input
            except (AttributeError, ValueError):  # used more than once, or never
                return None
        if given is not current:
            continue
        if isinstance(layer, keras.Model):
            return _first(layer)
        if not _passes_on(layer):
            return layer
        current = layer.output if not isinstance(model, keras.Sequential) else current
    return None


def _passes_on(layer: Any) -> bool:
    """Return whether a layer leaves its input as it is in inference."""
    import keras

    return isinstance(layer, keras.layers.Identity | keras.layers.Dropout) or augments(layer)


def augments(layer: Any) -> bool:
    """Return whether a layer changes images at random in training, and only there."""
    return type(layer).__name__.startswith("Random") and type(layer).__module__.startswith("keras.")


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return a model of the same layers but for those that augment images in training.

    Exporters draw the random numbers of these in inference, too, for which ONNX has no operator
    (Keras 3.15 on TensorFlow).
    """
    import keras

    if not any(map(augments, _layers(model))):
        return model

    def keep(layer: Any) -> Any:
        return keras.layers.Identity(name=layer.name) if augments(layer) else layer

    return keras.models.clone_model(model, clone_function=keep, recursive=True)


@contextmanager
def constant_statistics(model: keras.Model) -> Iterator[None]:
    """Keep mean and variance of Normalization layers as plain numbers while the body exports.

    As tensors they become inputs of the exported graph (Keras 3.15 on TensorFlow).
    """
    import keras

    kept = [
        (layer, layer.mean, layer.variance)
        for layer in _layers(model)
        if isinstance(layer, keras.layers.Normalization) and layer.mean is not None
    ]
    for layer, mean, variance in kept:
        layer.mean = np.asarray(keras.ops.convert_to_numpy(mean))
        layer.variance = np.asarray(keras.ops.convert_to_numpy(variance))
    try:
        yield
    finally:
        for layer, mean, variance in kept:
            layer.mean, layer.variance = mean, variance


def _within(values: Any, bounds: tuple[float, float]) -> bool:
    return bool(((values >= bounds[0]) & (values <= bounds[1])).all())
