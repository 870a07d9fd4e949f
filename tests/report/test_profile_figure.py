"""The weights over depth as a figure: what is drawn is what was measured."""

import io
from dataclasses import replace

import numpy as np
import pytest
import reports
from PIL import Image

from onnxattr.report.figure import COLORS, Line, Mark, Words, inline_svg
from onnxattr.report.profile_figure import MOST, profile_figure, profiled
from onnxattr.report.raster import SCALE, figure_png
from onnxattr.types import LayerMatch, Relation


def relation(name, layers):
    """A reference with layers of these depths, similarities and chances."""
    profile = tuple(
        LayerMatch(f"s{i}", f"r{i}", "Conv", (8, 8, 3, 3), depth, similarity, chance)
        for i, (depth, similarity, chance) in enumerate(layers)
    )
    return Relation(name, match=replace(reports.match("s", name, 0.5, 3), profile=profile))


def scale_of(figure):
    """Numbers of both axes to pixels, by the words that stand at them."""
    words = [shape for shape in figure.shapes if isinstance(shape, Words)]
    ups = {float(w.text): w.y for w in words if w.anchor == "end"}
    acrosses = {int(w.text): w.x for w in words if w.anchor == "middle" and w.text.isdigit()}

    def place(numbers):
        known = sorted(numbers)
        slope = (numbers[known[-1]] - numbers[known[0]]) / (known[-1] - known[0])
        return lambda value: numbers[known[0]] + slope * (value - known[0])

    return place(acrosses), place(ups)


def test_marks_are_where_the_numbers_say():
    layers = [(1, 1.0, 0.4), (3, 0.5, 0.2), (6, -0.3, 0.1)]
    figure = profile_figure([relation("one", layers)])
    across, up = scale_of(figure)
    marks = [s for s in figure.shapes if isinstance(s, Mark) and s.title]

    assert [m.x for m in marks] == pytest.approx([across(depth) for depth, _, _ in layers])
    # Letters stand a little lower than the line that they are at.
    gaps = [m.y - up(value) for m, (_, value, _) in zip(marks, layers, strict=True)]
    assert gaps == pytest.approx([gaps[0]] * 3)
    assert abs(gaps[0]) < 6
    assert "one, depth 3: s1 and r1, 0.50, by chance 0.20" in marks[1].title


def test_layers_of_one_depth_share_a_point_of_the_line():
    figure = profile_figure([relation("one", [(1, 0.9, 0.1), (2, 0.2, 0.1), (2, 0.6, 0.3)])])
    across, up = scale_of(figure)
    (line,) = (s for s in figure.shapes if isinstance(s, Line) and s.color and len(s.points) == 2
               and s.points[0][1] != s.points[1][1])  # fmt: skip
    (grey,) = (s for s in figure.shapes if isinstance(s, Line) and s.ink == "dim"
               and s.points[0][1] != s.points[1][1])  # fmt: skip

    assert [x for x, _ in line.points] == pytest.approx([across(1), across(2)])
    fall = line.points[1][1] - line.points[0][1]
    assert fall == pytest.approx(up(0.4) - up(0.9))
    assert grey.points[1][1] - grey.points[0][1] == pytest.approx(up(0.2) - up(0.1))


def test_no_more_references_are_drawn_than_there_are_colours():
    known = [relation(f"r{i}", [(1, 0.1 * i, 0.1)]) for i in range(9)]
    bare = Relation("bare")

    drawn = profiled([bare, *known])

    assert drawn == known[:MOST]
    svg = inline_svg(profile_figure(drawn), "profile")
    assert all(f'stroke="{color}"' in svg for color in COLORS)
    assert "nan" not in svg.lower()


def test_a_layer_without_a_number_is_left_out():
    nan = float("nan")
    assert profiled([relation("one", [(1, nan, 0.1)])]) == []
    (each,) = profiled([relation("one", [(1, nan, 0.1), (2, 0.5, 0.1)])])
    assert "nan" not in inline_svg(profile_figure([each]), "profile").lower()


def test_lines_have_their_colour_in_a_picture_too():
    figure = profile_figure([relation("one", [(1, 1.0, 0.1), (9, 0.0, 0.1)])])
    (line,) = (s for s in figure.shapes if isinstance(s, Line) and s.color
               and s.points[0][1] != s.points[1][1])  # fmt: skip
    middle = np.mean(line.points, axis=0) * SCALE

    with Image.open(io.BytesIO(figure_png(figure))) as picture:
        x, y = middle.round().astype(int).tolist()
        assert "#{:02x}{:02x}{:02x}".format(*picture.convert("RGB").getpixel((x, y))) == COLORS[0]
