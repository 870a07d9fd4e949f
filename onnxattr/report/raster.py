"""Figures as PNG, by Pillow: the shapes of `figure` on a white page."""

import io

from PIL import Image, ImageDraw

from onnxattr.report.figure import INKS, TEXT, Box, Figure, Line, Mark, Words, corners
from onnxattr.report.lettering import font, lettered
from onnxattr.report.pictures import to_png

#: Pixels of the picture for one of the figure; the most of a side, where it would be larger.
SCALE, _SIDE = 2, 12_000


def figure_png(figure: Figure, about: dict[str, str] | None = None) -> bytes:
    """Returns a figure as a PNG file; the same bytes for the same input.

    Args:
        figure: What to draw.
        about: Kept in the file's metadata, beside title and description.
    """
    scale = min(SCALE, _SIDE / max(figure.width, figure.height))
    page = Image.new("RGB", (round(figure.width * scale), round(figure.height * scale)), "white")
    draw = ImageDraw.Draw(page)
    for shape in figure.shapes:
        if isinstance(shape, Box):
            left, top = round(shape.x * scale), round(shape.y * scale)
            right = round((shape.x + shape.width) * scale)
            bottom = round((shape.y + shape.height) * scale)
            if right > left and bottom > top:
                draw.rectangle((left, top, right - 1, bottom - 1), fill=shape.fill)
        elif isinstance(shape, Line):
            points = [(x * scale, y * scale) for x, y in shape.points]
            color = shape.color or INKS[shape.ink][0]
            draw.line(points, color, max(1, round(shape.width * scale)))
        elif isinstance(shape, Words):
            _write(draw, shape, scale)
        elif isinstance(shape, Mark):
            _mark(draw, shape, scale)
        else:
            with Image.open(io.BytesIO(shape.png)) as picture:
                size = (max(1, round(shape.width * scale)), max(1, round(shape.height * scale)))
                tile = picture.resize(size, Image.Resampling.NEAREST)
            page.paste(tile, (round(shape.x * scale), round(shape.y * scale)))
    return to_png(page, figure.title, figure.about, about)


def _write(draw: ImageDraw.ImageDraw, words: Words, scale: float) -> None:
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[words.anchor]
    place, letters = (words.x * scale, words.y * scale), font(max(1, round(TEXT * scale)))
    draw.text(place, lettered(words.text), INKS[words.ink][0], letters, anchor=anchor)


def _mark(draw: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    if mark.shape == "circle":
        x, y, radius = mark.x * scale, mark.y * scale, 4.5 * scale
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=mark.fill)
        return
    draw.polygon([(x * scale, y * scale) for x, y in corners(mark)], fill=mark.fill)
