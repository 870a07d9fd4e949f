"""Trees, heat maps and planes: every line and colour is where SciPy and the palette say."""

import io
import re
from itertools import pairwise
from xml.dom import minidom

import maps
import numpy as np
import pytest
from PIL import Image
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from onnxattr.drawing import palette
from onnxattr.report.dendrogram import gaps, scale
from onnxattr.report.figure import Box, Line, Mark, Picture, Words, to_svg
from onnxattr.report.map_figures import _CELLS, _EDGE, _GAP, _TREE, plane_figure, tree_figure
from onnxattr.report.raster import SCALE, figure_png
from onnxattr.report.tree_text import tree_lines
from onnxattr.space.tree import LINKAGES

TOP = 48
CELL = _CELLS[0][1]


def linked(result):
    """SciPy's tree of the same matrix, with our order of leaves."""
    matrix = result.similarity.matrix
    return hierarchy.optimal_leaf_ordering(
        hierarchy.linkage(pdist(matrix), result.linkage), pdist(matrix)
    )


@pytest.mark.parametrize("linkage", LINKAGES)
def test_joins_are_scipys(linkage):
    result = maps.twenty(linkage=linkage)
    merges = linked(result)
    ours = [(*sorted((j.first, j.second)), j.distance, j.size) for j in result.joins]
    theirs = [(*sorted(row[:2]), *row[2:]) for row in merges]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert list(result.leaves) == hierarchy.leaves_list(merges).tolist()
    np.testing.assert_allclose(result.distances, squareform(pdist(result.similarity.matrix)))


@pytest.mark.parametrize("linkage", LINKAGES)
def test_a_gap_is_closed_by_the_join_of_both_leaves(linkage):
    result = maps.twenty(linkage=linkage)
    apart = squareform(hierarchy.cophenet(linked(result)))
    expected = [apart[a, b] for a, b in pairwise(result.leaves)]
    np.testing.assert_allclose(gaps(result), expected, rtol=1e-12)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_lines_of_the_tree_stand_where_scipy_draws_them(linkage):
    result = maps.twenty(linkage=linkage)
    drawn = hierarchy.dendrogram(linked(result), no_plot=True)
    low, high = scale(result.joins)

    def x(distance):
        return _EDGE + _TREE - _TREE * (max(distance, low) - low) / (high - low)

    expected = sorted(
        [(x(d), TOP + i / 10 * CELL) for i, d in zip(rows, distances, strict=True)]
        for rows, distances in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    )
    lines = [s for s in tree_figure(result).shapes if isinstance(s, Line) and s.ink == "ink"]
    np.testing.assert_allclose(sorted([list(line.points) for line in lines]), expected)


def test_cells_are_distances_in_the_order_of_the_leaves():
    result = maps.twenty()
    cells = [s for s in tree_figure(result).shapes if isinstance(s, Box) and ", " in s.title]
    assert len(cells) == 20 * 20
    left, limit = _EDGE + _TREE + _GAP, result.distances.max()
    for box in cells:
        i, j = round((box.y - TOP) / CELL), round((box.x - left) / CELL)
        one, other = result.leaves[i], result.leaves[j]
        distance = np.sqrt(
            ((result.similarity.matrix[one] - result.similarity.matrix[other]) ** 2).sum()
        )
        red, green, blue = palette.palette(False)[int(np.floor(distance / limit * 255 + 0.5))]
        assert box.fill == f"#{red:02x}{green:02x}{blue:02x}"
        names = f"{result.models[one].name}, {result.models[other].name}"
        assert box.title.startswith(f"{names}: distance {distance:.3f}, cosine ")
    assert {box.fill for box in cells if round((box.y - TOP) / CELL) == round(
        (box.x - left) / CELL
    )} == {"#ffffff"}  # fmt: skip


def test_many_models_are_a_picture_of_the_same_colours():
    count = 150
    summaries = [maps.summary(f"m{i}") for i in range(count)]
    result = maps.model_map(maps.cosines(count), summaries)
    figure = tree_figure(result)
    (picture,) = [s for s in figure.shapes if isinstance(s, Picture)]
    with Image.open(io.BytesIO(picture.png)) as image:
        pixels = np.asarray(image)
    order = list(result.leaves)
    values = result.distances[order][:, order].astype(np.float32)
    np.testing.assert_array_equal(
        pixels, palette.colour(values, float(result.distances.max()), signed=False)
    )
    # Names are too small to be read, and it is said where they are.
    words = [s.text for s in figure.shapes if isinstance(s, Words)]
    assert not {"m0", "m1"} & set(words)
    assert any("tree.nwk" in text for text in words)
    assert len(to_svg(figure).encode()) < 500_000


def test_clusters_are_marked_by_number_and_colour():
    result = maps.twenty(groups=4)
    figure = tree_figure(result)
    strip = [s for s in figure.shapes if isinstance(s, Box) and ": cluster " in s.title]
    assert [int(box.title.rsplit(" ", 1)[1]) for box in strip] == [
        result.clusters[leaf] for leaf in result.leaves
    ]
    assert len({box.fill for box in strip}) == 4
    assert sum(isinstance(s, Line) and s.ink == "edge" for s in figure.shapes) == 2 * 3
    # The four tasks that the cosines were made of.
    tasks = {(result.models[i].name[:5], result.clusters[i]) for i in range(20)}
    assert len(tasks) == 4


def test_points_keep_their_distances_on_one_scale():
    result = maps.twenty()
    marks = [s for s in plane_figure(result).shapes if isinstance(s, Mark)][:20]
    assert [mark.title for mark in marks] == [model.name for model in result.models]
    drawn = pdist([(mark.x, mark.y) for mark in marks])
    ratio = drawn / pdist(result.points)
    np.testing.assert_allclose(ratio, ratio[0])
    # Upward is more.
    ups = np.argsort([mark.y for mark in marks])
    np.testing.assert_array_equal(ups, np.argsort(-result.points[:, 1]))


def test_the_variance_that_is_kept_is_stated():
    result = maps.twenty()
    figure = plane_figure(result)
    centred = result.similarity.matrix - result.similarity.matrix.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    powers = np.sort(np.abs(np.linalg.eigvalsh(centred)))[::-1]
    share = powers[:2].sum() / powers.sum()
    assert figure.title.endswith(f"two dimensions keep {share:.0%} of the variance")
    words = [s.text for s in figure.shapes if isinstance(s, Words)]
    assert any(f"dimension 1: {powers[0] / powers.sum():.0%}" in text for text in words)


def test_no_name_covers_another():
    summaries = [maps.summary(f"a-rather-long-name-{i}") for i in range(60)]
    figure = plane_figure(maps.model_map(maps.cosines(60), summaries))
    names = [s for s in figure.shapes if isinstance(s, Words) and s.title]
    rows = sorted((name.y, name.x) for name in names)
    assert 5 < len(names) < 60
    assert f"{60 - len(names)} names have no room" in [
        s.text for s in figure.shapes if isinstance(s, Words)
    ]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("groups", [None, 3])
@pytest.mark.parametrize("draw", [tree_figure, plane_figure])
def test_svg_is_whole_and_asks_nothing_of_the_network(draw, groups):
    figure = draw(maps.twenty(groups=groups))
    text = to_svg(figure)
    document = minidom.parseString(text).documentElement
    assert document.getAttribute("viewBox") == f"0 0 {figure.width} {figure.height}"
    assert document.getElementsByTagName("title")[0].firstChild.data == figure.title
    assert not re.search(r"(href|src|url)\s*[=(]\s*[\"']?(?!data:)", text)
    for shape in figure.shapes:
        x = shape.points[0][0] if isinstance(shape, Line) else shape.x
        assert 0 <= x <= figure.width
    assert text == to_svg(draw(maps.twenty(groups=groups)))


@pytest.mark.parametrize("draw", [tree_figure, plane_figure])
def test_png_shows_the_same_shapes(draw):
    figure = draw(maps.twenty(groups=3))
    data = figure_png(figure, {"linkage": "average"})
    assert data == figure_png(figure, {"linkage": "average"})
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (figure.width * SCALE, figure.height * SCALE)
        assert image.text["Title"] == figure.title
        assert image.text["onnxattr:linkage"] == "average"
        for shape in figure.shapes:
            if isinstance(shape, Box) and ", " in shape.title:
                middle = (shape.x + shape.width / 2, shape.y + shape.height / 2)
            elif isinstance(shape, Mark):
                middle = (shape.x, shape.y)
            else:
                continue
            found = image.getpixel(tuple(round(side * SCALE) for side in middle))
            if isinstance(shape, Box):  # Marks may cover each other.
                assert "#{:02x}{:02x}{:02x}".format(*found) == shape.fill
            else:
                assert found != (255, 255, 255)


#: Directions in which each character is connected: left, right, up, down.
CONNECTED = {
    "─": "lr", "│": "ud", "┌": "rd", "└": "ru", "┐": "ld", "┘": "lu", "┬": "lrd", "┴": "lru",
    "├": "rud", "┤": "lud", "┼": "lrud", " ": "",
}  # fmt: skip


def components(lines, column):
    """The leaves that are connected by what stands right of a column of a drawn tree."""
    group = list(range(len(lines)))
    labels = {}

    def find(cell):
        while labels.setdefault(cell, cell) != cell:
            cell = labels[cell]
        return cell

    for row, line in enumerate(lines):
        for place, character in enumerate(line):
            if place <= column:
                continue
            ways = CONNECTED[character]
            if "r" in ways and place + 1 < len(line):
                assert "l" in CONNECTED[line[place + 1]]
                labels[find((row, place))] = find((row, place + 1))
            if "d" in ways:
                assert "u" in CONNECTED[lines[row + 1][place]]
                labels[find((row, place))] = find((row + 1, place))
    return [find((row, len(lines[0]) - 1)) for row in group]


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("width", [10, 24, 48, 200])
def test_the_tree_in_characters_is_the_tree(linkage, width):
    """Cut at any column without a join, it falls into the groups of SciPy at that distance."""
    result = maps.twenty(linkage=linkage)
    lines = [line for line, _ in tree_lines(result, width)]
    assert {len(line) for line in lines} == {width}
    merges = linked(result)
    low, high = scale(result.joins)
    columns = {min(round((high - d) / (high - low) * (width - 1)), width - 2) for d in merges[:, 2]}
    cuts = [c for c in range(width - 1) if c not in columns]
    assert cuts
    for column in cuts:
        distance = high - (column) / (width - 1) * (high - low)
        groups = hierarchy.fcluster(merges, distance, criterion="distance")
        drawn = components(lines, column)
        pairs = {(groups[leaf], drawn[row]) for row, leaf in enumerate(result.leaves)}
        assert len(pairs) == len({g for g, _ in pairs}) == len({d for _, d in pairs})


def test_models_that_are_all_alike_have_a_tree_and_figures():
    matrix = np.ones((4, 4))
    result = maps.model_map(matrix, [maps.summary(n) for n in "abcd"])
    assert gaps(result) == [0.0] * 3
    assert len(tree_lines(result, 10)) == 4
    for draw in (tree_figure, plane_figure):
        assert "nan" not in to_svg(draw(result)).lower()
        assert figure_png(draw(result))


def test_an_axis_that_does_not_begin_at_zero_says_so():
    near = maps.model_map(np.eye(5) * 0.9 + 0.1, [maps.summary(n) for n in "abcde"])
    assert scale(near.joins)[0] > 0
    texts = [s.text for s in tree_figure(near).shapes if isinstance(s, Words)]
    assert "(not from 0)" in texts
    far = maps.twenty()
    assert scale(far.joins)[0] == 0
    assert "(not from 0)" not in [s.text for s in tree_figure(far).shapes if isinstance(s, Words)]
