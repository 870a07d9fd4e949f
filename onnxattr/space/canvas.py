"""Brings maps of different sizes onto one canvas."""

from functools import lru_cache

import numpy as np

from onnxattr.arrays import Float32, Float64


def to_canvas(maps: Float32, height: int, width: int) -> Float64:
    """Returns `maps` on a canvas of another size, by area interpolation.

    Each pixel of the canvas is the mean of the map over the area that it covers. Enlarging by a
    whole factor repeats pixels, so it leaves every cosine as it is.

    Args:
        maps: [probe, y, x].
        height: Of the canvas, in pixels.
        width: Of the canvas, in pixels.

    Returns:
        float64 [probe, height, width].
    """
    values = np.asarray(maps, np.float64)
    if values.shape[1:] == (height, width):
        return values
    rows, columns = overlap(values.shape[1], height), overlap(values.shape[2], width)
    result: Float64 = rows @ values @ columns.T
    return result


@lru_cache(maxsize=64)
def overlap(size: int, new: int) -> Float64:
    """Returns the share of each old pixel in each new one: [new, size], rows sum to 1."""
    old_edges = np.arange(size + 1) / size
    new_edges = np.arange(new + 1) / new
    low = np.maximum(old_edges[:-1][None, :], new_edges[:-1][:, None])
    high = np.minimum(old_edges[1:][None, :], new_edges[1:][:, None])
    shares: Float64 = np.clip(high - low, 0.0, None) * new
    shares.setflags(write=False)
    return shares
