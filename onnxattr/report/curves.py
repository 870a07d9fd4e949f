"""Precision and recall of an evaluation as a figure: one SVG, without anything from elsewhere."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from onnxattr.sanitise import clean
from onnxattr.types import CurvePoint, Evaluation, Measured

#: Sizes in units of the drawing: a panel's plot, and what is left free around it.
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _BELOW = 380, 280, 52, 56, 72, 56

#: Room of a line of the legend, and letters that its names are cut to.
_LINE, _LETTERS = 20, 48

#: Okabe and Ito's colours, which those who see fewer can tell apart, darkened to be read on white.
_COLORS = ("#0072b2", "#d55e00", "#007a5a", "#b3558f", "#8a6d00", "#3b8fc4")

#: Shapes of markers, so that no line is known by its colour alone.
_SHAPES = ("circle", "square", "triangle", "diamond")

#: How the references are drawn: dashes by name.
_DASHES = {"oracle": "", "random": "2 4", "symmetric ceiling": "8 4"}

#: More points than these on a line go without markers.
_MARKED = 40

_STYLE = """
svg{font:13px system-ui,sans-serif;background:#fff}
text{fill:#222}.axis{stroke:#666}.grid{stroke:#e4e4e4}.reference{stroke:#666;stroke-width:1.5;fill:none}
.line{fill:none;stroke-width:2}.title{font-weight:600}
@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ddd}
.grid{stroke:#33373d}.axis,.reference{stroke:#9aa0a6}.mark{filter:brightness(1.4)}}
""".strip()


@dataclass(frozen=True)
class _Panel:
    """Where one of the two plots stands, and what it shows."""

    left: float
    title: str
    recall: bool
    last: int

    def x(self, k: int) -> float:
        share = (k - 1) / (self.last - 1) if self.last > 1 else 0.5
        return self.left + share * _WIDTH

    def y(self, value: float) -> float:
        return _TOP + (1 - value) * _HEIGHT

    def value(self, point: CurvePoint) -> float:
        return point.recall if self.recall else point.precision


def to_svg(result: Evaluation) -> str:
    """Returns P@K and R@K of every measure and reference as SVG; bytes depend on `result` alone.

    The band is the bootstrap interval of the first measure.
    """
    last = len(result.measures[0].curve)
    right = _LEFT + _WIDTH + _GAP
    panels = (_Panel(_LEFT, "P@K", False, last), _Panel(right, "R@K", True, last))
    lines = (*result.measures, *result.references)
    rows = math.ceil(len(lines) / 2)
    width = right + _WIDTH + 24
    height = _TOP + _HEIGHT + _BELOW + rows * _LINE + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-labelledby="title about">',
        f'<title id="title">{_text(_title(result))}</title>',
        f'<desc id="about">{_text(_about(result))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="24">{_text(_title(result))}</text>',
    ]
    for panel in panels:
        parts += _axes(panel)
        parts += _band(panel, result.measures[0], result.relevant)
        for one in result.references:
            parts.append(_reference(panel, one))
        for number, one in enumerate(result.measures):
            parts += _measure(panel, one, number)
    parts += _legend(result, _TOP + _HEIGHT + _BELOW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _title(result: Evaluation) -> str:
    truth = clean(str(result.settings["truth"]["name"]))[:_LETTERS]
    return (
        f"{truth}: {len(result.targets)} targets, {len(result.sources)} sources, "
        f"{result.relevant} relevant to a target"
    )


def _about(result: Evaluation) -> str:
    figures = [
        f"{clean(one.name)} {one.figures['p_at_relevant'].value:.3f}"
        for one in (*result.measures, *result.references)
    ]
    return f"Precision and recall of the first K sources. P@{result.relevant}: {', '.join(figures)}"


def _axes(panel: _Panel) -> Iterator[str]:
    bottom, right = _TOP + _HEIGHT, panel.left + _WIDTH
    for tick in range(0, 11, 2):
        y = panel.y(tick / 10)
        yield f'<path class="grid" d="M{panel.left} {y:.1f}H{right}"/>'
        yield f'<text x="{panel.left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick / 10:g}</text>'
    for k in _ticks(panel.last):
        yield f'<text x="{panel.x(k):.1f}" y="{bottom + 18}" text-anchor="middle">{k}</text>'
    yield f'<path class="axis" fill="none" d="M{panel.left} {_TOP}V{bottom}H{right}"/>'
    yield f'<text class="title" x="{panel.left}" y="{_TOP - 10}">{panel.title}</text>'
    middle = panel.left + _WIDTH / 2
    yield f'<text x="{middle:.1f}" y="{bottom + 36}" text-anchor="middle">K</text>'


def _ticks(last: int) -> list[int]:
    """Returns at most ten round numbers from 1 to `last`, and those two."""
    steps = (figure * 10**zeros for zeros in range(6) for figure in (1, 2, 5))
    step = next(step for step in steps if last / step <= 10)
    between = [k for k in range(step, last, step) if k > 1 and last - k >= step / 2]
    return [1, *between, last] if last > 1 else [1]


def _band(panel: _Panel, one: Measured, relevant: int) -> list[str]:
    points = [p for p in one.curve if not math.isnan(p.low)]
    if not points:
        return []
    scales = [p.k / relevant if panel.recall else 1.0 for p in points]
    over = [(p.k, p.high * scale) for p, scale in zip(points, scales, strict=True)]
    under = [(p.k, p.low * scale) for p, scale in zip(points, scales, strict=True)]
    path = _path(panel, [*over, *reversed(under)])
    return [f'<path fill="{_COLORS[0]}" fill-opacity=".15" d="{path}Z"/>']


def _reference(panel: _Panel, one: Measured) -> str:
    dash = _DASHES.get(one.name, "")
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    path = _path(panel, [(p.k, panel.value(p)) for p in one.curve])
    return f'<path class="reference"{dashed} d="{path}"/>'


def _measure(panel: _Panel, one: Measured, number: int) -> Iterator[str]:
    color = _COLORS[number % len(_COLORS)]
    points = [(p.k, panel.value(p)) for p in one.curve]
    yield f'<path class="line mark" stroke="{color}" d="{_path(panel, points)}"/>'
    if len(points) <= _MARKED:
        for k, value in points:
            yield _marker(panel.x(k), panel.y(value), number)


def _path(panel: _Panel, points: Sequence[tuple[int, float]]) -> str:
    return "M" + "L".join(f"{panel.x(k):.1f} {panel.y(value):.1f}" for k, value in points)


def _marker(x: float, y: float, number: int) -> str:
    color, shape = _COLORS[number % len(_COLORS)], _SHAPES[number % len(_SHAPES)]
    if shape == "circle":
        return f'<circle class="mark" fill="{color}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    corners = {
        "square": f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6Z",
        "triangle": f"M{x:.1f} {y - 4:.1f}l4 7h-8Z",
        "diamond": f"M{x:.1f} {y - 4.5:.1f}l4 4.5l-4 4.5l-4 -4.5Z",
    }
    return f'<path class="mark" fill="{color}" d="{corners[shape]}"/>'


def _legend(result: Evaluation, top: float) -> Iterator[str]:
    """Yields a line for each measure and reference, in two columns."""
    lines = (*result.measures, *result.references)
    for place, one in enumerate(lines):
        x = _LEFT + (place % 2) * (_WIDTH + _GAP)
        y = top + place // 2 * _LINE
        if place < len(result.measures):
            color = _COLORS[place % len(_COLORS)]
            yield f'<path class="line mark" stroke="{color}" d="M{x} {y}h28"/>'
            yield _marker(x + 14, y, place)
        else:
            dash = _DASHES.get(one.name, "")
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            yield f'<path class="reference"{dashed} d="M{x} {y}h28"/>'
        name = clean(one.name)
        name = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
        figure = one.figures["p_at_relevant"].value
        yield (
            f'<text x="{x + 36}" y="{y + 4}">{_text(name)}  P@{result.relevant} {figure:.3f}</text>'
        )


def _text(text: str) -> str:
    return escape(text)
