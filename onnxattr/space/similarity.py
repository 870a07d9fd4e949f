"""How alike the maps of every two models are: cosines, a probe at a time."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.space.canvas import to_canvas
from onnxattr.types import Similarity

#: Largest side of the canvas in pixels. All maps are brought onto it, so that without a bound one
#: model of 8192×1 pixels and one of 1×8192 would make every map of the others half a gigabyte.
MAX_CANVAS = 1024

#: Probes at a time: few enough for the processor's cache; and bytes of the maps of all models.
_ROWS, _BLOCK = 64, 2**28


def similarity(
    maps: Sequence[Float32], names: Sequence[str], *, centred: bool = True, images: bool = True
) -> Similarity:
    """Returns the cosine between the maps of every two models on every probe.

    A cosine is NaN on a probe where either map is zero or not finite.

    Args:
        maps: One array a model, [probe, y, x]; sizes may differ, the number of probes may not. They
            meet on a canvas of the largest height and width, at most 1024 pixels each.
        names: One a model.
        centred: Scale each map to unit norm and remove the model's mean map over the probes first.
            What is removed is the same on every probe: the imprint of strides and borders, which
            makes even untrained networks alike. False is the paper's arithmetic (Song et al. 2019):
            cosines of the maps as they are.
        images: Whether there is a canvas. Without, maps are [probe, …], all of one shape.

    Example:
        >>> import numpy as np
        >>> a = np.array([[[1.0, 0.0]], [[0.0, 2.0]]], dtype=np.float32)
        >>> result = similarity([a, 3 * a], ["a", "b"], centred=False)
        >>> result.matrix.round(6).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    if not maps:
        return Similarity((), np.empty((0, 0)), np.empty((0, 0, 0)), centred, (0, 0), ())
    if not images:
        rows = [m.reshape(len(m), 1, -1) for m in maps]
        return dataclasses.replace(
            _similarity(rows, names, centred, 1, rows[0].shape[2]), canvas=maps[0].shape[1:]
        )
    height = min(MAX_CANVAS, max(m.shape[1] for m in maps))
    width = min(MAX_CANVAS, max(m.shape[2] for m in maps))
    return _similarity(maps, names, centred, height, width)


def _similarity(
    maps: Sequence[Float32], names: Sequence[str], centred: bool, height: int, width: int
) -> Similarity:
    count = maps[0].shape[0]
    step = max(1, min(_ROWS, _BLOCK // (8 * height * width * len(maps))))
    centres = [_centre(m, height, width, step) if centred else None for m in maps]
    per_probe = np.empty((len(maps), len(maps), count))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        units = [_units(m[rows], height, width, c) for m, c in zip(maps, centres, strict=True)]
        for k, block in enumerate(np.stack(units, axis=1), start):
            per_probe[:, :, k] = np.clip(block @ block.T, -1.0, 1.0)
    # The two halves of a product of a matrix with itself may differ in the last bit.
    per_probe = (per_probe + per_probe.transpose(1, 0, 2)) / 2
    return Similarity(
        names=tuple(names),
        matrix=mean_cosines(per_probe),
        per_probe=per_probe,
        centred=centred,
        canvas=(height, width),
        unusable=tuple(int(np.isnan(per_probe[i, i]).sum()) for i in range(len(maps))),
    )


def _centre(maps: Float32, height: int, width: int, step: int) -> Float64:
    """Returns the mean of a model's usable maps at unit norm, [pixel]; NaN where none is usable."""
    total, usable = np.zeros(height * width), 0
    for start in range(0, len(maps), step):
        units = _units(maps[start : start + step], height, width, None)
        units = units[~np.isnan(units[:, 0])]
        total += units.sum(axis=0)
        usable += len(units)
    centre: Float64 = total / usable if usable else np.full_like(total, np.nan)
    return centre


def _units(maps: Float32, height: int, width: int, centre: Float64 | None) -> Float64:
    """Returns `maps` on the canvas, flattened, at unit norm, [probe, pixel]; NaN where unusable.

    With a centre, what is left without it is brought to unit norm again.
    """
    units = normalised(to_canvas(maps, height, width).reshape(len(maps), -1))
    if centre is None:
        return units
    residual = units - centre
    # What is left of a map that equals the mean is rounding, not a direction.
    residual[_norms(residual) < 1e-9] = np.nan
    return normalised(residual)


def mean_cosines(per_probe: Float64) -> Float64:
    """Returns the mean over the last axis, of the probes that have a cosine; NaN where none has."""
    usable = ~np.isnan(per_probe)
    total = np.where(usable, per_probe, 0.0).sum(axis=-1)
    count = usable.sum(axis=-1)
    means: Float64 = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means


def paper_distance(cosines: Float64) -> float | None:
    """Returns the paper's distance, N / Σ cos (Song et al. 2019), or None where Σ cos ≤ 0.

    It keeps the order of the mean cosine only while that is positive.
    """
    usable = cosines[~np.isnan(cosines)]
    total = float(usable.sum())
    return usable.size / total if total > 0 else None


def normalised(rows: Float64) -> Float64:
    """Returns rows at unit norm, [row, number]; NaN where one is zero or not finite."""
    # Divided by the largest value first: no map is too faint or too strong to be squared then.
    with np.errstate(invalid="ignore", divide="ignore"):
        units: Float64 = rows / np.abs(rows).max(axis=1, keepdims=True)
        units /= _norms(units)[:, None]
    units[~np.isfinite(units).all(axis=1)] = np.nan
    return units


def _norms(rows: Float64) -> Float64:
    # numpy.linalg.norm makes two arrays of the size of `rows` on its way, and takes thrice as long.
    norms: Float64 = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return norms
