"""Maps as pictures: one map beside its probe, and a sheet of many. Reads `drawing` and `types`.

Every picture says which method made its maps, whether they are signed, where its colours end, and
how far that end holds; the same stands in the metadata of its file.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from onnxattr.arrays import Float32
from onnxattr.drawing import palette, tiles
from onnxattr.report.lettering import font, lettered, shortened, wrapped
from onnxattr.sanitise import clean

#: Pixels: of a tile in a picture, of a tile in a sheet, between things, of letters.
_SMALLEST, _LARGEST, _CELL, _GAP, _TEXT = 224, 448, 120, 8, 13

#: Models and probes on one sheet, at most.
SHEET = (60, 12)

_INK, _DIM, _EDGE = (20, 20, 20), (100, 100, 100), (200, 200, 200)

#: In words, for how much the ends of the colours hold.
_SHARED = {
    "map": "the map",
    "model": "all maps of the model",
    "all": "all maps of all models",
}


@dataclass(frozen=True)
class Look:
    """What decides the colours of maps.

    Attributes:
        method: That made them, with its options.
        signed: Whether they have a sign.
        scale: For how much the ends of the colours hold; one of `palette.SCALES`.
        clip: Percentile of |value| at which colours end.
    """

    method: str
    signed: bool
    scale: str = "map"
    clip: float = palette.CLIP


def limits(maps: Sequence[Float32], look: Look) -> list[list[float]]:
    """Returns where the colours of each map end, one list a model.

    Args:
        maps: float32 [probe, …], one a model.
        look: Its `scale` and `clip` are used.
    """
    if look.scale == "map":
        return [[palette.limit_of(one, look.clip) for one in values] for values in maps]
    if look.scale == "model":
        ends = [palette.limit_of(values, look.clip) for values in maps]
    else:
        together = np.concatenate([values.ravel() for values in maps])
        ends = [palette.limit_of(together, look.clip)] * len(maps)
    return [[end] * len(values) for end, values in zip(ends, maps, strict=True)]


def picture(
    values: Float32,
    look: Look,
    limit: float,
    *,
    model: str,
    probe: str,
    given: np.ndarray[Any, Any] | None = None,
) -> bytes:
    """Returns a PNG: the probe, its map, the map over the probe in grey, and what they are.

    Args:
        values: float32 [y, x] or [axis].
        look: What decides its colours.
        limit: Where they end, from `limits`.
        model: Name of the model.
        probe: Name of the probe.
        given: The probe: uint8 [y, x, 3], or floating point [y, x] or [axis], or None.

    Raises:
        ValueError: The map has no axis, or more than two.
    """
    if not tiles.can_draw(values.ndim):
        raise ValueError(f"a map of {values.ndim} axes cannot be drawn")
    image = given is not None and given.dtype == np.uint8
    side = min(max(_SMALLEST, *values.shape), _LARGEST) if values.ndim > 1 else _LARGEST
    size = tiles.size_of(values.shape, side, square=image)
    parts = [("map", tiles.draw_map(values, limit, size, signed=look.signed))]
    if given is not None:
        parts.insert(0, ("probe", tiles.draw_probe(given, size)))
    if image:
        over = tiles.draw_map(values, limit, size, signed=look.signed, probe=given)
        parts.append(("map over probe", over))
    # Bars belong below each other, so that one position is one column.
    flat = values.ndim > 1
    across = len(parts) if flat else 1
    width = max(2 * _GAP + across * (size[0] + _GAP) - _GAP, 320)
    says = caption(look, limit, values)
    lines = wrapped(says, width - 2 * _GAP, _TEXT)
    row = size[1] + _TEXT + 2 * _GAP
    down = 1 if flat else len(parts)
    top = 3 * _GAP + 2 * _TEXT
    height = top + down * row + 3 * _GAP + 2 * _TEXT + len(lines) * (_TEXT + 5)
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    inner = width - 2 * _GAP
    _write(draw, (_GAP, _GAP), f"{clean(look.method)} of {clean(model)}", inner)
    _write(draw, (_GAP, 2 * _GAP + _TEXT), f"on {clean(probe)}", inner, _DIM)
    for number, (name, tile) in enumerate(parts):
        x = _GAP + (number * (size[0] + _GAP) if flat else 0)
        y = top + (0 if flat else number * row)
        _frame(page, draw, tile, (x, y))
        _write(draw, (x, y + size[1] + 3), name, size[0], _DIM)
    y = top + down * row
    _bar(page, draw, (_GAP, y), min(inner, 320), limit, signed=look.signed)
    y += 2 * _GAP + 2 * _TEXT
    for line in lines:
        draw.text((_GAP, y), line, _INK, font(_TEXT))
        y += _TEXT + 5
    about = {"model": model, "probe": probe, "limit": f"{limit:.9g}", **_about(look)}
    return to_png(page, f"{look.method} of {model} on {probe}", says, about)


def contact_sheet(
    models: Sequence[tuple[str, Float32]],
    look: Look,
    ends: Sequence[Sequence[float]],
    *,
    probes: Sequence[str],
    given: np.ndarray[Any, Any] | None = None,
) -> bytes:
    """Returns a PNG with a row a model and a column a probe, of at most `SHEET` each.

    Args:
        models: Names, and maps float32 [probe, …], of which each has one axis or two.
        look: What decides their colours.
        ends: Where these end, from `limits`.
        probes: Names of the probes.
        given: The probes, [probe, …], shown in the first row if given.

    Raises:
        ValueError: There are no models, no probes, or maps that cannot be drawn.
    """
    axes = {values.ndim - 1 for _, values in models}
    if not models or not probes or not all(map(tiles.can_draw, axes)):
        raise ValueError("there are no maps, or some that cannot be drawn")
    rows, columns = models[: SHEET[0]], probes[: SHEET[1]]
    image = given is not None and given.dtype == np.uint8
    sizes = [tiles.size_of(values.shape[1:], _CELL, square=image) for _, values in rows]
    below = _TEXT + 2 if look.scale == "map" else 0
    label, head = 190, 2 * _GAP + 2 * _TEXT
    first = _CELL * 5 // 12 if axes == {1} else _CELL
    heights = [first if given is not None else 0, *(size[1] + below for size in sizes)]
    says = _sheet_caption(look, ends, rows=(len(rows), len(models)), columns=len(columns))
    if len(columns) < len(probes):
        says += f" The first {len(columns)} of {len(probes)} probes."
    width = max(2 * _GAP + label + len(columns) * (_CELL + _GAP), 480)
    lines = wrapped(says, width - 2 * _GAP, _TEXT)
    foot = (len(lines) + 1) * (_TEXT + 5) + 4 * _GAP
    page = Image.new("RGB", (width, head + sum(heights) + _GAP * len(heights) + foot), "white")
    draw = ImageDraw.Draw(page)
    _write(draw, (_GAP, _GAP), f"{clean(look.method)} maps", label)
    for column, name in enumerate(columns):
        x = _GAP + label + column * (_CELL + _GAP)
        _write(draw, (x, head - _TEXT - 5), name, _CELL, _DIM)
        if given is not None:
            shape = given.shape[1:3] if image else given.shape[1:]
            tile = tiles.draw_probe(given[column], tiles.size_of(shape, _CELL, square=image))
            _frame(page, draw, tile, (x, head))
    y = head + heights[0] + (_GAP if heights[0] else 0)
    for number, ((name, values), size) in enumerate(zip(rows, sizes, strict=True)):
        _write(draw, (_GAP, y + size[1] // 2 - _TEXT), name, label - _GAP)
        if look.scale == "model":
            end = f"{_end(ends[number][0], look.signed)}"
            _write(draw, (_GAP, y + size[1] // 2 + 4), end, label - _GAP, _DIM)
        for column in range(len(columns)):
            x, limit = _GAP + label + column * (_CELL + _GAP), ends[number][column]
            tile = tiles.draw_map(values[column], limit, size, signed=look.signed)
            _frame(page, draw, tile, (x, y))
            if below:
                _write(draw, (x, y + size[1] + 2), _end(limit, look.signed), _CELL, _DIM)
        y += heights[number + 1] + _GAP
    shared = ends[0][0] if look.scale == "all" else None
    _bar(page, draw, (_GAP, y), 320, shared, signed=look.signed)
    y += 2 * _GAP + 2 * _TEXT
    for line in lines:
        draw.text((_GAP, y), line, _INK, font(_TEXT))
        y += _TEXT + 5
    return to_png(page, f"{look.method} maps", says, _about(look))


def caption(look: Look, limit: float, values: Float32) -> str:
    """Returns, in words, what the colours of one map mean, and how much of it is clipped."""
    finite = values[np.isfinite(values)]
    if not limit:
        says = "Every value is 0."
    else:
        beyond = np.count_nonzero(np.abs(finite) > limit) / finite.size
        says = f"Colours end at {_end(limit, look.signed)}, {_percentile(look)}"
        says += f"; beyond it, and clipped, {'are' if beyond else 'is'} "
        says += f"{beyond:.2%} of the values." if beyond else "nothing."
    lost = values.size - finite.size
    grey = f" In grey: {lost} values that are not finite." if lost else ""
    return f"{_sign(look)} {says}{grey}"


def to_png(
    image: Image.Image, title: str, description: str, about: Mapping[str, str] | None = None
) -> bytes:
    """Returns `image` as a PNG file with text in its metadata; the same bytes for the same input.

    Args:
        image: The picture.
        title: What it shows.
        description: What its colours mean.
        about: More, kept under keys that start with `onnxattr:`.
    """
    text = {"Title": title, "Description": description, "Software": "onnxattr"}
    text |= {f"onnxattr:{key}": value for key, value in (about or {}).items()}
    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, clean(value))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=4)
    return buffer.getvalue()


def _sheet_caption(
    look: Look, ends: Sequence[Sequence[float]], *, rows: tuple[int, int], columns: int
) -> str:
    where = {
        "map": "the value below each map",
        "model": "the value beside each model",
        "all": _end(ends[0][0], look.signed),
    }[look.scale]
    says = f"{_sign(look)} Colours end at {where}, {_percentile(look)}; what is beyond is clipped."
    shown, there = rows
    return f"{says} The first {shown} of {there} models." if shown < there else says


def _sign(look: Look) -> str:
    if look.signed:
        return "Signed: 0 is white, red is positive, blue negative, the same on both sides."
    return "Unsigned: 0 is white, dark is large."


def _percentile(look: Look) -> str:
    what = _SHARED[look.scale]
    if look.clip == 100:
        return f"the largest |value| of {what}"
    return f"the {look.clip:g}th percentile of |value| of {what}"


def _end(limit: float, signed: bool) -> str:
    return f"{'±' if signed and limit else ''}{limit:.2e}" if limit else "0"


def _about(look: Look) -> dict[str, str]:
    return {
        "method": look.method,
        "signed": "yes" if look.signed else "no",
        "scale": look.scale,
        "clip": f"{look.clip:g}",
    }


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    ink: tuple[int, int, int] = _INK,
) -> None:
    draw.text(place, shortened(lettered(text), width, _TEXT), ink, font(_TEXT))


def _frame(
    page: Image.Image, draw: ImageDraw.ImageDraw, tile: Image.Image, place: tuple[int, int]
) -> None:
    """Puts a tile on the page, with a line around it: zero is as white as the page."""
    x, y = place
    page.paste(tile, place)
    draw.rectangle((x - 1, y - 1, x + tile.width, y + tile.height), outline=_EDGE)


def _bar(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    limit: float | None,
    *,
    signed: bool,
) -> None:
    """Draws the palette with the values at its ends; None stands for ends that differ."""
    colours = palette.palette(signed)
    steps = np.linspace(0, len(colours) - 1, width).round().astype(int)
    strip = np.broadcast_to(colours[steps], (_TEXT, width, 3))
    _frame(page, draw, Image.fromarray(np.ascontiguousarray(strip)), place)
    x, y = place
    end = "end" if limit is None else f"{limit:.2e}" if limit else "0"
    marks = [(0.0, "0"), (1.0, end)]
    if signed:
        marks = [(0.0, f"-{end}" if limit != 0 else "0"), (0.5, "0"), (1.0, end)]
    for share, text in marks:
        wide = font(_TEXT).getlength(text)
        draw.text((x + share * (width - wide), y + _TEXT + 3), text, _DIM, font(_TEXT))
