"""A map of models as figures: the tree beside the distances, and the models in the plane."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

from onnxattr.drawing import palette, tiles
from onnxattr.report.dendrogram import forks, scale
from onnxattr.report.figure import (
    COLORS,
    SHAPES,
    TEXT,
    Box,
    Figure,
    Line,
    Mark,
    Picture,
    Shape,
    Words,
)
from onnxattr.report.lettering import font, lettered
from onnxattr.report.mapped import about_points
from onnxattr.report.text import cosine, short
from onnxattr.sanitise import clean
from onnxattr.types import ModelMap

#: Pixels: of the tree, around everything, between things, of the strip of clusters.
_TREE, _EDGE, _GAP, _STRIP = 220, 16, 8, 10

#: Pixels of a cell for up to so many models; beyond, all of them share the last number.
_CELLS, _WHOLE = ((40, 20), (100, 13)), 1200

#: Pixels of a line of the tree by itself, for up to so many models.
_PLAIN = ((40, 24), (200, 15))

#: Cells up to this many a side are shapes, with their numbers under the mouse; more are a picture.
_SHAPED = 60

#: Letters that a name is cut to, in its middle.
_LETTERS = 36

#: Steps of the bar of colours, and its height.
_STEPS, _BAR = 64, 10

#: Side of the plane.
_PLANE = 520


def tree_figure(result: ModelMap) -> Figure:
    """Returns the tree with the distances of all models beside it, in the order of its leaves.

    What two models' cell shows is what the tree joins by: how unlike their rows of cosines are.
    """
    count = len(result.leaves)
    cell = next((size for most, size in _CELLS if count <= most), _WHOLE / count)
    top, left = 48, _EDGE + _TREE + _GAP
    side = cell * count
    named = cell >= TEXT
    names = [_short(clean(result.models[leaf].name)) for leaf in result.leaves]
    strip = _STRIP + _GAP if result.clusters else 0
    number = 22 if result.clusters and named else 0
    room = max(map(_width, names)) + _GAP if named else 0
    title = _title(result)
    about = (
        f"A tree by {result.linkage} linkage beside a heat map. A cell is how unlike the cosines "
        "of two models to all models are; both are in the order of the tree's leaves."
    )
    foot = top + side
    bar = max(min(side, 240), 120)
    width = max(left + side + _GAP + strip + number + room, left + bar + 120, _width(title) * 1.1)
    shapes = [
        Words(_EDGE, 28, title, bold=True),
        *_branches(result, top, cell),
        *_cells(result, left, top, cell),
        *_clusters(result, left, top, cell, named=named),
    ]
    if named:
        for place, (leaf, name) in enumerate(zip(result.leaves, names, strict=True)):
            whole = result.models[leaf].name
            y = top + (place + 0.5) * cell + TEXT * 0.35
            x = left + side + _GAP + strip + number
            shapes.append(Words(x, y, name, title=whole))
    shapes += _color_bar(result, left, foot + 2 * _GAP, bar)
    if not named:
        note = "names are in tree.nwk and in index.json, in this order"
        shapes.append(Words(_EDGE, foot + 74, note, ink="dim"))
    return Figure(round(width + _EDGE), round(foot + 84), title, about, tuple(shapes))


def branch_figure(result: ModelMap) -> Figure:
    """Returns the tree by itself, with names and without a title, to stand on a page."""
    count = len(result.leaves)
    cell = next((size for most, size in _PLAIN if count <= most), _PLAIN[-1][1])
    names = [_short(clean(result.models[leaf].name)) for leaf in result.leaves]
    left = _EDGE + _TREE + _GAP
    about = f"A tree by {result.linkage} linkage; models that are alike are joined early."
    shapes = list(_branches(result, 0, cell))
    strip = _STRIP + _GAP if result.clusters else 0
    for place, (leaf, name) in enumerate(zip(result.leaves, names, strict=True)):
        y = (place + 0.5) * cell + TEXT * 0.35
        number = f" ({result.clusters[leaf]})" if result.clusters else ""
        if result.clusters:
            fill = COLORS[(result.clusters[leaf] - 1) % len(COLORS)]
            shapes.append(Box(left, place * cell, _STRIP, cell, fill, f"cluster{number}"))
        shapes.append(Words(left + strip, y, name + number, title=result.models[leaf].name))
    width = left + strip + max(map(_width, names)) + 4 * _GAP
    height = count * cell + (60 if scale(result.joins)[0] else 36)
    return Figure(round(width), round(height), _title(result), about, tuple(shapes))


def plane_figure(result: ModelMap, *, titled: bool = True) -> Figure:
    """Returns the models as points whose distances are, as far as two dimensions show, theirs.

    Args:
        result: With points.
        titled: Whether the title stands above it, which a page has already.
    """
    points = result.points.tolist()
    extents = [[point[axis] for point in points] for axis in (0, 1)]
    span = max(max(values) - min(values) for values in extents) or 1.0
    middles = [(max(values) + min(values)) / 2 for values in extents]
    top, inner = 48 if titled else 2, _PLANE - 80

    def place(point: Sequence[float]) -> tuple[float, float]:
        x, y = ((value - middle) / span for value, middle in zip(point, middles, strict=True))
        return _EDGE + _PLANE / 2 + x * inner, top + _PLANE / 2 - y * inner

    right, bottom = _EDGE + _PLANE, top + _PLANE
    title = f"{_title(result)}: {about_points(result)}"
    how = "" if result.leaves else " of products of sketches, which are near the cosines"
    shares = [f"dimension {axis + 1}: {share:.0%}" for axis, share in enumerate(result.kept)]
    zero = place((0.0, 0.0))
    frame = ((_EDGE, top), (right, top), (right, bottom), (_EDGE, bottom), (_EDGE, top))
    shapes: list[Shape] = [
        *([Words(_EDGE, 28, title, bold=True)] if titled else []),
        Line(((_EDGE, zero[1]), (right, zero[1])), "grid", 1),
        Line(((zero[0], top), (zero[0], bottom)), "grid", 1),
        Line(frame, "dim", 1),
        Words(right, bottom + 18, f"{shares[0]} of the variance, across", "end", "dim"),
        Words(right, bottom + 36, f"{shares[1]}, upward; the same scale for both", "end", "dim"),
    ]
    places = [place(point) for point in points]
    looks = _looks(result)
    for (x, y), (shape, color), model in zip(places, looks, result.models, strict=True):
        shapes.append(Mark(x, y, shape, color, model.name))
    labels = list(_labels(result, places, (_EDGE, right, top, bottom)))
    shapes += labels
    y = top
    for shape, color, text in _legend(result, looks):
        shapes += [Mark(right + 24, y + 8, shape, color), Words(right + 36, y + 12, text)]
        y += 20
    if len(labels) < len(places):
        hidden = len(places) - len(labels)
        noun = "name has" if hidden == 1 else "names have"
        note = f"{hidden} {noun} no room"
        shapes.append(Words(_EDGE, bottom + 18, note, ink="dim"))
    widest = max((_width(text) for _, _, text in _legend(result, looks)), default=0)
    about = f"Models as points by classical multidimensional scaling{how}; {'; '.join(shares)}."
    width = max(right + 48 + widest, _EDGE + _width(title) * 1.1 if titled else 0)
    return Figure(round(width + _EDGE), max(bottom + 52, round(y)), title, about, tuple(shapes))


def _title(result: ModelMap) -> str:
    settings = result.settings
    count = settings["probes"]["count"]
    number = "1 probe" if count == 1 else f"{count} probes"
    return f"{len(result.models)} models by {clean(settings['method'])[:60]} maps of {number}"


def _branches(result: ModelMap, top: float, cell: float) -> Iterator[Shape]:
    """Yields the lines of the tree, and its axis below."""
    low, high = scale(result.joins)
    right = _EDGE + _TREE

    def x(distance: float) -> float:
        return right - _TREE * (max(distance, low) - low) / (high - low or 1.0)

    def y(row: float) -> float:
        return top + (row + 0.5) * cell

    for fork in forks(result):
        start, end = (x(one) for one in fork.starts)
        upper, lower = (y(row) for row in fork.rows)
        here = x(fork.distance)
        yield Line(((start, upper), (here, upper), (here, lower), (end, lower)))
    foot = y(len(result.leaves) - 0.5) + _GAP
    yield Line(((_EDGE, foot + 4), (_EDGE, foot), (right, foot), (right, foot + 4)), "dim", 1)
    yield Words(_EDGE, foot + 18, f"{high:.3g}", ink="dim")
    yield Words(right, foot + 18, f"{low:.3g}", "end", "dim")
    yield Words((_EDGE + right) / 2, foot + 18, "joined at", "middle", "dim")
    if low:
        yield Words(right, foot + 34, "(not from 0)", "end", "dim")


def _ordered(result: ModelMap, matrix: Any) -> Any:
    order = list(result.leaves)
    return matrix[order][:, order]


def _cells(result: ModelMap, left: float, top: float, cell: float) -> Iterator[Shape]:
    """Yields the heat map: shapes, or one picture of many cells."""
    values = _ordered(result, result.distances)
    limit, count = float(values.max()), len(values)
    side = cell * count
    if count > _SHAPED:
        size = min(count, _WHOLE)
        buffer = io.BytesIO()
        tile = tiles.draw_map(values.astype("float32"), limit, (size, size), signed=False)
        tile.save(buffer, "PNG")
        yield Picture(left, top, side, side, buffer.getvalue())
    else:
        names = [clean(result.models[leaf].name) for leaf in result.leaves]
        cosines = _ordered(result, result.similarity.matrix).tolist()
        colors = palette.colour(values, limit, signed=False).tolist()
        numbers = values.tolist()
        for i, one in enumerate(names):
            for j, other in enumerate(names):
                says = (
                    f"{one}, {other}: distance {numbers[i][j]:.3f}, cosine {cosine(cosines[i][j])}"
                )
                fill = "#" + "".join(f"{part:02x}" for part in colors[i][j])
                yield Box(left + j * cell, top + i * cell, cell, cell, fill, says)
    corners = ((0, 0), (side, 0), (side, side), (0, side), (0, 0))
    yield Line(tuple((left + x, top + y) for x, y in corners), "dim", 1)


def _clusters(
    result: ModelMap, left: float, top: float, cell: float, *, named: bool
) -> Iterator[Shape]:
    """Yields a strip with the number of each model's cluster, and lines between clusters."""
    if not result.clusters:
        return
    side = cell * len(result.leaves)
    before = 0
    for place, leaf in enumerate(result.leaves):
        number = result.clusters[leaf]
        x, y = left + side + _GAP, top + place * cell
        says = f"{clean(result.models[leaf].name)}: cluster {number}"
        yield Box(x, y, _STRIP, cell, COLORS[(number - 1) % len(COLORS)], says)
        if named:
            yield Words(x + _STRIP + 6, y + cell / 2 + TEXT * 0.35, str(number), ink="dim")
        if before and number != before:
            yield Line(((left, y), (left + side + _GAP + _STRIP, y)), "edge", 2)
            yield Line(((left + place * cell, top), (left + place * cell, top + side)), "edge", 2)
        before = number


def _color_bar(result: ModelMap, left: float, top: float, width: float) -> Iterator[Shape]:
    limit = float(result.distances.max())
    for step in range(_STEPS):
        color = palette.palette(False)[round(step * (palette.STEPS) / (_STEPS - 1))].tolist()
        fill = "#" + "".join(f"{part:02x}" for part in color)
        yield Box(left + step * width / _STEPS, top, width / _STEPS, _BAR, fill)
    yield Words(left, top + _BAR + 16, "0", ink="dim")
    yield Words(left + width, top + _BAR + 16, f"{limit:.3g}", "end", "dim")
    yield Words(left + width / 2, top + _BAR + 16, "distance", "middle", "dim")


def _looks(result: ModelMap) -> list[tuple[str, str]]:
    """Returns the shape and the colour of each model: of its origin, and of its cluster if any."""
    origins = sorted({model.origin.framework for model in result.models})
    looks = []
    for number, model in enumerate(result.models):
        origin = origins.index(model.origin.framework)
        color = result.clusters[number] - 1 if result.clusters else origin
        looks.append((SHAPES[origin % len(SHAPES)], COLORS[color % len(COLORS)]))
    return looks


def _legend(result: ModelMap, looks: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    shown: dict[str, tuple[str, str]] = {}
    for model, look in zip(result.models, looks, strict=True):
        shown.setdefault(clean(model.origin.framework), look)
    for name, (shape, color) in sorted(shown.items()):
        yield shape, "#777777" if result.clusters else color, name
    for number in sorted(set(result.clusters)):
        yield "circle", COLORS[(number - 1) % len(COLORS)], f"cluster {number}"


def _labels(
    result: ModelMap,
    places: Sequence[tuple[float, float]],
    frame: tuple[float, float, float, float],
) -> Iterator[Words]:
    """Yields the name of each point beside it, as far as there is room."""
    left, right, top, bottom = frame
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for number, (x, y) in enumerate(places):
        name = clean(result.models[number].name)
        text = _short(name)
        if result.clusters:
            text = f"{text} ({result.clusters[number]})"
        wide = _width(text)
        for anchor, beside, dy in (
            ("start", 8, 4), ("end", -8, 4), ("middle", 0, -9), ("middle", 0, 18),
        ):  # fmt: skip
            dx = float(beside)
            start = x + dx - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
            if anchor == "middle":
                start = min(max(start, left + 2), right - wide - 2)
                dx = start + wide / 2 - x
            box = (start, y + dy - 10, start + wide, y + dy + 3)
            inside = box[0] >= left and box[2] <= right and box[1] >= top and box[3] <= bottom
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                yield Words(x + dx, y + dy, text, anchor, title=name)
                break


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _short(name: str) -> str:
    return short(name, _LETTERS)


def _width(text: str) -> float:
    """Returns the pixels of words, with some room: other fonts are wider than the one at hand."""
    return 1.1 * font(TEXT).getlength(lettered(text))
