"""How the weights of a suspect agree with those of references, layer by layer, as a figure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from onnxattr.report.figure import COLORS, SHAPES, TEXT, Figure, Line, Mark, Shape, Words
from onnxattr.report.text import short
from onnxattr.sanitise import clean
from onnxattr.types import LayerMatch, Relation

#: References that are drawn: as many as there are colours.
MOST = len(COLORS)

#: Pixels: of the plot, what is free on its sides, a line of the legend.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BELOW, _LINE = 660, 230, 44, 16, 30, 56, 20

#: Letters that a name is cut to, in its middle.
_LETTERS = 60

#: From a depth to pixels, and from a similarity.
_Place = Callable[[float], float]

#: More layers than these have no marks on their line.
_MARKED = 40


def profiled(relations: Sequence[Relation]) -> list[Relation]:
    """Returns the references whose profile is drawn: the first that have one."""
    return [each for each in relations if _profile(each)][:MOST]


def profile_figure(relations: Sequence[Relation]) -> Figure:
    """Returns the aligned similarity of weights over depth, a line a reference.

    Where several layers are at one depth, the line passes through their mean. What weights that
    have nothing in common come to is drawn of the first reference alone: it depends on the sizes of
    the layers, which most of them share.

    Args:
        relations: Those of `profiled`, at least one.
    """
    layers = [layer for each in relations for layer in _profile(each)]
    low = min(0.0, math.floor(min(layer.similarity for layer in layers) * 5) / 5)
    first, last = min(x.depth for x in layers), max(x.depth for x in layers)

    def x(depth: float) -> float:
        return _LEFT + _WIDTH * ((depth - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - min(value, 1.0)) / (1 - low)

    chance = [(x(depth), y(value)) for depth, value in _means(_profile(relations[0]), "chance")]
    shapes: list[Shape] = [*_axes(x, y, first, last, low), Line(tuple(chance), "dim")]
    # The closest last, so that it is on top.
    for number, each in reversed(list(enumerate(relations))):
        shapes += _series(each, number, x, y)
    top = _TOP + _HEIGHT + _BELOW
    shapes += _legend(relations, top)
    ends = [
        f"{clean(each.reference)} from {values[0][1]:.2f} to {values[-1][1]:.2f}"
        for each in relations
        if (values := _means(_profile(each), "similarity"))
    ]
    return Figure(
        width=_LEFT + _WIDTH + _RIGHT,
        height=top + (len(relations) + 1) * _LINE,
        title="Aligned similarity of weights over depth",
        about=f"A line a reference, from the first layer to the last: {'; '.join(ends)}.",
        shapes=tuple(shapes),
    )


def _profile(each: Relation) -> tuple[LayerMatch, ...]:
    profile = each.match.profile if each.match is not None else ()
    return tuple(layer for layer in profile if math.isfinite(layer.similarity + layer.chance))


def _means(layers: Sequence[LayerMatch], what: str) -> list[tuple[int, float]]:
    """Returns the mean at each depth."""
    ordered = sorted(layers, key=lambda layer: layer.depth)
    grouped = itertools.groupby(ordered, key=lambda layer: layer.depth)
    found = [(depth, [float(getattr(one, what)) for one in group]) for depth, group in grouped]
    return [(depth, sum(values) / len(values)) for depth, values in found]


def _axes(x: _Place, y: _Place, first: int, last: int, low: float) -> Iterator[Shape]:
    right, bottom = _LEFT + _WIDTH, _TOP + _HEIGHT
    for step in range(round(low * 5), 6):
        value = step / 5
        yield Line(((_LEFT, y(value)), (right, y(value))), "grid", 1)
        yield Words(_LEFT - 8, y(value) + TEXT * 0.35, f"{value:.1f}", "end", "dim")
    for depth in _ticks(first, last):
        yield Words(x(depth), bottom + 18, str(depth), "middle", "dim")
    yield Line(((_LEFT, bottom), (right, bottom)), "dim", 1)
    yield Words(_LEFT - 36, _TOP - 14, "similarity", ink="dim")
    yield Words(_LEFT + _WIDTH / 2, bottom + 36, "depth of the layer", "middle", "dim")


def _ticks(first: int, last: int) -> list[int]:
    """Returns both ends, and at most ten round numbers between them."""
    steps = (figure * 10**zeros for zeros in range(9) for figure in (1, 2, 5))
    step = next(step for step in steps if (last - first) / step <= 10)
    between = [n for n in range(first - first % step + step, last, step) if last - n >= step / 2]
    return [first, *between, last] if last > first else [first]


def _series(each: Relation, number: int, x: _Place, y: _Place) -> Iterator[Shape]:
    color, shape = COLORS[number], SHAPES[number % len(SHAPES)]
    layers = _profile(each)
    means = [(x(depth), y(value)) for depth, value in _means(layers, "similarity")]
    yield Line(tuple(means), width=2, color=color)
    if len(layers) > _MARKED:
        return
    for layer in layers:
        says = (
            f"{clean(each.reference)}, depth {layer.depth}: {clean(layer.suspect)} and "
            f"{clean(layer.reference)}, {layer.similarity:.2f}, by chance {layer.chance:.2f}"
        )
        yield Mark(x(layer.depth), y(layer.similarity), shape, color, says)


def _legend(relations: Sequence[Relation], top: float) -> Iterator[Shape]:
    for place in range(len(relations) + 1):
        middle = top + place * _LINE
        line = ((_LEFT, middle), (_LEFT + 28, middle))
        if place < len(relations):
            name = clean(relations[place].reference)
            yield Line(line, width=2, color=COLORS[place])
            yield Mark(_LEFT + 14, middle, SHAPES[place % len(SHAPES)], COLORS[place])
            words = short(name, _LETTERS)
            yield Words(_LEFT + 36, middle + TEXT * 0.35, words, title=name * (words != name))
        else:
            yield Line(line, "dim")
            said = f"by chance, of {short(clean(relations[0].reference), _LETTERS)}"
            yield Words(_LEFT + 36, middle + TEXT * 0.35, said, ink="dim")
