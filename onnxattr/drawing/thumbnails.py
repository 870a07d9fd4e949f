"""Maps made small, on one scale, before they are drawn. Imports `arrays`, `tiles` and numpy."""

from itertools import pairwise

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.drawing import tiles

#: Pixels of the longer side of a map; numbers that are kept of one with one axis.
SIDE, LONG = 64, 256


def thumbnails(values: Float32) -> Float32:
    """Returns maps in multiples of their own root mean square, small, [map, y, x] or [map, axis].

    Pixels are means of the map's, whose sides are 64 pixels at most; of one axis, each number is
    that of the largest size among its neighbours, 256 at most. A map that is zero stays zero, and a
    pixel with a value that is not finite under it is not finite.

    Args:
        values: float32 [map, y, x] or [map, axis].
    """
    flat = values.reshape(len(values), -1)
    finite = np.where(np.isfinite(flat), flat, 0.0).astype(np.float64)
    # Divided by the largest first: no map is too faint or too strong to be squared then.
    largest = np.abs(finite).max(axis=1, initial=0.0)
    shares = finite / np.where(largest > 0, largest, 1.0)[:, None]
    strength = largest * np.sqrt((shares**2).mean(axis=1))
    factors = np.where(strength > 0, strength, 1.0).reshape(-1, *[1] * (values.ndim - 1))
    with np.errstate(invalid="ignore"):
        even = (values / factors).astype(np.float32)
    if values.ndim == 2:
        return _extremes(even)
    rows, columns = values.shape[1:]
    scale = SIDE / max(rows, columns, 1)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1)) if scale < 1 else None
    return even if size is None else tiles.shrunk(even, size)


def _extremes(values: Float32) -> Float32:
    """Returns at most `LONG` numbers a row, each the one of the largest size of its part."""
    count = values.shape[1]
    if count <= LONG:
        return values
    ends = np.arange(LONG + 1) * count // LONG
    parts = [values[:, start:end] for start, end in pairwise(ends.tolist())]
    # A part with a number that is not finite is that number.
    places = [np.abs(np.where(np.isfinite(part), part, np.inf)).argmax(axis=1) for part in parts]
    rows = np.arange(len(values))
    return np.stack([p[rows, place] for p, place in zip(parts, places, strict=True)], axis=1)
