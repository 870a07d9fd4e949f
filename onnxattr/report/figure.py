"""A figure as a list of shapes, and its SVG: one file, nothing from elsewhere. Imports `sanitise`.

`raster` makes a PNG of the same shapes, so that both show the same.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from onnxattr.sanitise import clean

#: Okabe and Ito's colours, which those who see fewer can tell apart, darkened to be read on white.
COLORS = ("#0072b2", "#d55e00", "#007a5a", "#b3558f", "#8a6d00", "#3b8fc4")

#: Shapes of marks, so that nothing is known by its colour alone.
SHAPES = ("circle", "square", "triangle", "diamond")

#: Colours of lines and words by what they are, on a light and on a dark page.
INKS = {
    "ink": ("#222222", "#dddddd"),
    "dim": ("#666666", "#9aa0a6"),
    "grid": ("#e4e4e4", "#33373d"),
    "edge": ("#ffffff", "#16181c"),
}

#: Pixels of letters.
TEXT = 12


@dataclass(frozen=True)
class Box:
    """A filled rectangle; `title` is shown where a mouse rests on it."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points, in one of `INKS`, or in a colour of its own."""

    points: tuple[tuple[float, float], ...]
    ink: str = "ink"
    width: float = 1.5
    color: str = ""


@dataclass(frozen=True)
class Words:
    """Words at a point of their base line; `anchor` is `start`, `middle` or `end`."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    ink: str = "ink"
    bold: bool = False
    title: str = ""


@dataclass(frozen=True)
class Mark:
    """A point, as one of `SHAPES`."""

    x: float
    y: float
    shape: str
    fill: str
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture in a file of PNG, with sharp pixels."""

    x: float
    y: float
    width: float
    height: float
    png: bytes


Shape = Box | Line | Words | Mark | Picture


@dataclass(frozen=True)
class Figure:
    """What is drawn, in this order, on a page of so many pixels.

    Attributes:
        width: Of the page.
        height: Of the page.
        title: What it shows.
        about: The same in words, for those who do not see it.
        shapes: Of what it is made.
    """

    width: int
    height: int
    title: str
    about: str
    shapes: tuple[Shape, ...]


def corners(mark: Mark) -> list[tuple[float, float]]:
    """Returns the corners of a mark that is no circle."""
    x, y = mark.x, mark.y
    if mark.shape == "square":
        return [(x - 4, y - 4), (x + 4, y - 4), (x + 4, y + 4), (x - 4, y + 4)]
    if mark.shape == "triangle":
        return [(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)]
    return [(x, y - 5.5), (x + 5.5, y), (x, y + 5.5), (x - 5.5, y)]


def inline_svg(figure: Figure, name: str) -> str:
    """Returns a figure as SVG to stand in a page, whose style sheet has the inks.

    Args:
        figure: What to draw.
        name: One of its own on the page, of letters and hyphens.
    """
    title, about = _text(figure.title), _text(figure.about)
    return "".join(
        [
            f'<svg class="fig" viewBox="0 0 {figure.width} {figure.height}" '
            f'width="{figure.width}" height="{figure.height}" role="img" '
            f'aria-labelledby="{name}-title {name}-about">',
            f'<title id="{name}-title">{title}</title>',
            f'<desc id="{name}-about">{about}</desc>',
            *(part for shape in figure.shapes for part in _drawn(shape)),
            "</svg>",
        ]
    )


def to_svg(figure: Figure) -> str:
    """Returns a figure as SVG; its bytes depend on `figure` alone."""
    title, about = _text(figure.title), _text(figure.about)
    light = "".join(f".{name}{{--c:{color}}}" for name, (color, _) in INKS.items())
    dark = "".join(f".{name}{{--c:{color}}}" for name, (_, color) in INKS.items())
    style = (
        f"svg{{font:{TEXT}px system-ui,sans-serif;background:#fff}}"
        "text{fill:var(--c)}path.l{stroke:var(--c);fill:none}.b{font-weight:600}"
        f"image{{image-rendering:pixelated}}{light}"
        "@media(prefers-color-scheme:dark){svg{background:#16181c}"
        f".m{{filter:brightness(1.4)}}{dark}}}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {figure.width} {figure.height}" '
            f'width="{figure.width}" height="{figure.height}" role="img" '
            'aria-labelledby="title about">',
            f'<title id="title">{title}</title>',
            f'<desc id="about">{about}</desc>',
            f"<style>{style}</style>",
            *(part for shape in figure.shapes for part in _drawn(shape)),
            "</svg>\n",
        ]
    )


def _drawn(shape: Shape) -> Iterator[str]:
    if isinstance(shape, Box):
        where = f'x="{_n(shape.x)}" y="{_n(shape.y)}"'
        size = f'width="{_n(shape.width)}" height="{_n(shape.height)}"'
        yield from _titled(f'rect {where} {size} fill="{shape.fill}"', "rect", shape.title)
    elif isinstance(shape, Line):
        path = "L".join(f"{_n(x)} {_n(y)}" for x, y in shape.points)
        ink = f'class="l {shape.ink}"'
        if shape.color:
            ink = f'class="m" fill="none" stroke="{shape.color}"'
        yield f'<path {ink} stroke-width="{_n(shape.width)}" d="M{path}"/>'
    elif isinstance(shape, Words):
        bold = " b" if shape.bold else ""
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        where = f'class="{shape.ink}{bold}" x="{_n(shape.x)}" y="{_n(shape.y)}"{anchor}'
        title = f"<title>{_text(shape.title)}</title>" if shape.title else ""
        yield f"<text {where}>{_text(shape.text)}{title}</text>"
    elif isinstance(shape, Mark):
        if shape.shape == "circle":
            what, tag = f'circle cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="4.5"', "circle"
        else:
            path = "L".join(f"{_n(x)} {_n(y)}" for x, y in corners(shape))
            what, tag = f'path d="M{path}Z"', "path"
        yield from _titled(f'{what} class="m" fill="{shape.fill}"', tag, shape.title)
    else:
        data = base64.b64encode(shape.png).decode()
        yield (
            f'<image x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" '
            f'height="{_n(shape.height)}" preserveAspectRatio="none" '
            f"href={quoteattr(f'data:image/png;base64,{data}')}/>"
        )


def _titled(start: str, tag: str, title: str) -> Iterator[str]:
    yield f"<{start}><title>{_text(title)}</title></{tag}>" if title else f"<{start}/>"


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    return escape(clean(text))
