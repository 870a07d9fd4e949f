"""How alike the maps of every two models are: cosines, a probe at a time."""

from collections.abc import Sequence

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.space.canvas import to_canvas
from onnxattr.types import Similarity


def similarity(
    maps: Sequence[Float32], names: Sequence[str], *, centred: bool = True
) -> Similarity:
    """Returns the cosine between the maps of every two models on every probe.

    A cosine is NaN on a probe where either map is zero or not finite.

    Args:
        maps: One array a model, [probe, y, x]; sizes may differ, the number of probes may not.
        names: One a model.
        centred: Scale each map to unit norm and remove the model's mean map over the probes first.
            What is removed is the same on every probe: the imprint of strides and borders, which
            makes even untrained networks alike. False is the paper's arithmetic (Song et al. 2019):
            cosines of the maps as they are.

    Example:
        >>> import numpy as np
        >>> a = np.array([[[1.0, 0.0]], [[0.0, 2.0]]], dtype=np.float32)
        >>> result = similarity([a, 3 * a], ["a", "b"], centred=False)
        >>> result.matrix.round(6).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    if not maps:
        return Similarity((), np.empty((0, 0)), np.empty((0, 0, 0)), centred, (0, 0), ())
    height = max(m.shape[1] for m in maps)
    width = max(m.shape[2] for m in maps)
    count = maps[0].shape[0]
    units = [unit_maps(to_canvas(m, height, width).reshape(count, -1), centred) for m in maps]
    per_probe = np.empty((len(maps), len(maps), count))
    for k in range(count):
        block = np.stack([u[k] for u in units])
        per_probe[:, :, k] = np.clip(block @ block.T, -1.0, 1.0)
    # The two halves of a product of a matrix with itself may differ in the last bit.
    per_probe = (per_probe + per_probe.transpose(1, 0, 2)) / 2
    return Similarity(
        names=tuple(names),
        matrix=mean_cosines(per_probe),
        per_probe=per_probe,
        centred=centred,
        canvas=(height, width),
        unusable=tuple(int(np.isnan(u[:, 0]).sum()) for u in units),
    )


def unit_maps(maps: Float64, centred: bool) -> Float64:
    """Returns flattened `maps`, [probe, pixel], at unit norm, centred or not; NaN where unusable.

    Norms are taken after a division by the largest value, so that no map is too faint or too
    strong for its square to be a number.
    """
    units = _normalised(maps)
    if not centred:
        return units
    usable = ~np.isnan(units[:, 0])
    if not usable.any():
        return units
    centre = units[usable].mean(axis=0)
    residual = units - centre
    # What is left of a map that equals the mean is rounding, not a direction.
    faint = np.linalg.norm(residual, axis=1) < 1e-9
    residual[faint] = np.nan
    return _normalised(residual)


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


def _normalised(maps: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        peak = np.abs(maps).max(axis=1, keepdims=True)
        scaled = maps / peak
        units: Float64 = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    units[~np.isfinite(units).all(axis=1)] = np.nan
    return units
