"""One map, or one probe, as a small picture. Imports `palette`, numpy and Pillow.

What has two axes is drawn as an image, what has one as bars; what has none, or more, is not drawn.
"""

from typing import Any

import numpy as np
from PIL import Image

from onnxattr.arrays import Float32, UInt8
from onnxattr.drawing.palette import NOT_FINITE, colour

#: Of the line at zero, and of what has no value.
_LINE = (170, 170, 170)

#: Black and white of a probe under a map: light, so that the map's colours stay readable.
_DARKEST = 0.45


def can_draw(axes: int) -> bool:
    """Returns whether a map of so many axes can be drawn."""
    return axes in (1, 2)


def size_of(shape: tuple[int, ...], side: int, *, square: bool) -> tuple[int, int]:
    """Returns width and height of a tile of at most `side` pixels a side.

    Args:
        shape: Of the map.
        side: Pixels.
        square: Whether it covers a square, whatever its shape: a map of an image does.
    """
    if len(shape) == 1:
        return side, max(side * 5 // 12, 24)
    if square:
        return side, side
    rows, columns = (max(size, 1) for size in shape)
    scale = side / max(rows, columns)
    return max(round(columns * scale), 8), max(round(rows * scale), 8)


def draw_map(
    values: Float32, limit: float, size: tuple[int, int], *, signed: bool, probe: Any = None
) -> Image.Image:
    """Returns a map as a picture, RGB.

    Args:
        values: float32, [y, x] or [axis].
        limit: Value at which colours, and bars, end.
        size: Width and height in pixels.
        signed: Which palette; bars of unsigned values stand on the lower edge.
        probe: uint8 [y, x, 3], laid in grey under the map, if given.
    """
    if values.ndim == 1:
        return Image.fromarray(_bars(values, limit, size, signed=signed))
    colours = colour(_resized(values, size), limit, signed=signed)
    if probe is not None:
        grey = Image.fromarray(probe).convert("L").resize(size, Image.Resampling.BICUBIC)
        light = _DARKEST + (1 - _DARKEST) * np.asarray(grey, np.float32) / 255
        colours = np.rint(colours * light[..., None]).astype(np.uint8)
    return Image.fromarray(colours)


def draw_probe(values: Any, size: tuple[int, int]) -> Image.Image:
    """Returns a probe as a picture, RGB: an image in its colours, an array in grey or as bars.

    Args:
        values: uint8 [y, x, 3], or floating point [y, x] or [axis].
        size: Width and height in pixels.
    """
    if values.dtype == np.uint8:
        return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    finite = values[np.isfinite(values)]
    if values.ndim == 1:
        limit = float(np.abs(finite).max(initial=0))
        bars = _bars(values, limit, size, signed=bool((finite < 0).any()))
        # In black: a colour would be read as a map's.
        drawn = (bars != 255).any(-1) & (bars != _LINE).any(-1) & (bars != NOT_FINITE).any(-1)
        bars[drawn] = 60
        return Image.fromarray(bars)
    low, high = float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf))
    share = (_resized(values, size) - low) / ((high - low) or 1.0)
    grey = np.clip(np.nan_to_num(share, nan=0.5), 0, 1) * 255
    return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")


def shrunk(values: Float32, size: tuple[int, int]) -> Float32:
    """Returns maps, [map, y, x], with means where a tile of `size` has fewer pixels.

    Maps of one axis stay as they are: their bars show extremes.
    """
    if values.ndim == 2:
        return values
    width, height = size
    smaller = min(width, values.shape[2]), min(height, values.shape[1])
    return np.stack([_resized(one, smaller) for one in values])


def _resized(values: Float32, size: tuple[int, int]) -> Float32:
    """Returns values on another grid: means where it is coarser, copies where it is finer."""
    width, height = size
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    for wide, high in ((width, image.height), (width, height)):
        coarser = wide < image.width or high < image.height
        how = Image.Resampling.BOX if coarser else Image.Resampling.NEAREST
        image = image.resize((wide, high), how)
    return np.asarray(image, np.float32)


def _bars(values: Float32, limit: float, size: tuple[int, int], *, signed: bool) -> UInt8:
    """Returns a bar for each value, uint8 [y, x, 3]; where many share a column, their extremes."""
    width, height = size
    canvas = np.full((height, width, 3), 255, np.uint8)
    zero = (height - 1) // 2 if signed else height - 1
    canvas[zero] = _LINE
    count = len(values)
    if not count:
        return canvas
    starts = np.arange(width) * count // width
    ends = np.maximum(starts + 1, -(-np.arange(1, width + 1) * count // width))
    gap = width >= 4 * count  # Bars that are wide enough to be told apart are.
    for x, (start, end) in enumerate(zip(starts, ends, strict=True)):
        some = values[start:end]
        if gap and x + 1 < width and starts[x + 1] != start:
            continue
        if not np.isfinite(some).all():
            canvas[:, x] = NOT_FINITE
            continue
        for value in {float(some.min()), float(some.max())}:
            share = min(max(value / (limit or 1.0), -1.0 if signed else 0.0), 1.0)
            length = round(abs(share) * (zero if signed else height - 1))
            rows = slice(zero - length, zero) if value >= 0 else slice(zero + 1, zero + 1 + length)
            canvas[rows, x] = colour(np.array([value], np.float32), limit, signed=signed)[0]
    return canvas
