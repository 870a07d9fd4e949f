"""All disguises that need no training, by name: from a victim's ONNX file to another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnx import ModelProto

from benchmarks.disguises import changed, entrances, formats, same
from samples.miniature.data import load, training
from samples.miniature.zoo import RECIPE

Rng: TypeAlias = np.random.Generator
Disguise: TypeAlias = Callable[[ModelProto, Rng], ModelProto]

CALIBRATION = 64
"""Training scenes from which eight-bit ranges are taken."""


def images() -> np.ndarray:
    """Return scenes for calibration, float32 [image, 3, 64, 64] in 0..1."""
    stored = load(training(RECIPE), "image")[:CALIBRATION]
    return np.ascontiguousarray(np.moveaxis(stored, -1, 1))


def exported_again(model: ModelProto, rng: Rng) -> ModelProto:
    """Return what another exporter makes of it: torch's older one, at opset 13."""
    from benchmarks.disguises import training as networks

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "given.onnx", Path(folder) / "again.onnx"
        onnx.save(model, source)
        networks.export(networks.restored(source), target, opset=13)
        return onnx.load(target)


def combined_weights(model: ModelProto, rng: Rng) -> ModelProto:
    """Return it permuted, rescaled, with noise, batch norm split off, in half precision."""
    hidden = same.rescale(same.permute(model, rng), rng, spread=0.5)
    return formats.half(same.split_batch_norm(changed.noise(hidden, rng, 0.05), rng))


def combined_bytes(model: ModelProto, rng: Rng) -> ModelProto:
    """Return it for BGR, permuted, pruned by 30 %, its answer turned, in eight bits."""
    hidden = changed.prune(same.permute(entrances.bgr(model), rng), 0.3)
    fed = np.ascontiguousarray(images()[:, ::-1])
    return formats.int8_static(same.rotate(hidden, rng), fed)


def combined_layout(model: ModelProto, rng: Rng) -> ModelProto:
    """Return it for 0..255, thinned by a quarter, rescaled, renamed, NHWC outside."""
    hidden = same.rescale(changed.thin(entrances.bytes_range(model), 0.25), rng)
    return formats.channels_last(formats.rename(hidden, rng))


DISGUISES: Mapping[str, Disguise] = {
    "re-export": exported_again,
    "renamed": formats.rename,
    "channels last": lambda model, rng: formats.channels_last(model),
    "float16": lambda model, rng: formats.half(model),
    "int8 static": lambda model, rng: formats.int8_static(model, images()),
    "int8 dynamic": lambda model, rng: formats.int8_dynamic(model),
    "noise 5 %": lambda model, rng: changed.noise(model, rng, 0.05),
    "noise 20 %": lambda model, rng: changed.noise(model, rng, 0.2),
    "pruned 30 %": lambda model, rng: changed.prune(model, 0.3),
    "pruned 60 %": lambda model, rng: changed.prune(model, 0.6),
    "thinned 25 %": lambda model, rng: changed.thin(model, 0.25),
    "permuted": same.permute,
    "rescaled": same.rescale,
    "rotated": same.rotate,
    "batch norm split": same.split_batch_norm,
    "BGR": lambda model, rng: entrances.bgr(model),
    "0..255": lambda model, rng: entrances.bytes_range(model),
    "-1..1": lambda model, rng: entrances.signed_range(model),
    "combined, weights": combined_weights,
    "combined, bytes": combined_bytes,
    "combined, layout": combined_layout,
}
"""By the name in the table; "%" is of the deviation, the weights, or the filters."""

EXACT = ("re-export", "renamed", "channels last", "permuted", "rescaled", "batch norm split")
"""Those that compute the same from the same input, and so must have lineage 1."""

OF_INDEPENDENTS: Mapping[str, Disguise] = {
    name: DISGUISES[name] for name in ("pruned 60 %", "thinned 25 %", "int8 static", "permuted")
}
"""Put on independent models, too: what makes all models more alike is not to accuse anybody."""
