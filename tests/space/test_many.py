"""However many models there are, the numbers are those of `similarity`."""

import numpy as np
import pytest

from onnxattr.space import many
from onnxattr.space.many import OnCanvas, compare, neighbours
from onnxattr.space.similarity import similarity

NAMES = tuple("abcdef")


def some_maps(sizes=((6, 8), (12, 8), (3, 4), (6, 8), (6, 4), (12, 8)), probes=5):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(probes, 12, 8))
    maps = []
    for number, (height, width) in enumerate(sizes):
        part = shared[:, :: 12 // height, :: 8 // width][:, :height, :width]
        noise = rng.normal(size=(probes, height, width)) * (0.3 + number / 3)
        maps.append((part + noise).astype(np.float32))
    maps[1][2] = 0.0
    maps[4][0, 0, 0] = np.nan
    return maps


@pytest.mark.parametrize("centred", [True, False])
def test_in_blocks_as_with_every_cosine(centred, monkeypatch):
    maps = some_maps()
    expected = similarity(maps, NAMES, centred=centred)
    monkeypatch.setattr(many, "COSINES", 0)
    result = compare(maps, NAMES, centred=centred)
    np.testing.assert_allclose(result.matrix, expected.matrix, rtol=0, atol=1e-12)
    assert result.per_probe.shape == (6, 6, 0)
    assert (result.names, result.unusable) == (expected.names, expected.unusable)
    assert expected.unusable == (0, 1, 0, 0, 1, 0)
    assert (result.canvas, result.centred) == (expected.canvas, centred)


@pytest.mark.parametrize("centred", [True, False])
def test_arrays_of_any_axes(centred, monkeypatch):
    rng = np.random.default_rng(1)
    maps = [rng.normal(size=(4, 3, 2, 5)).astype(np.float32) for _ in range(6)]
    expected = similarity(maps, NAMES, centred=centred, images=False)
    monkeypatch.setattr(many, "COSINES", 0)
    result = compare(maps, NAMES, centred=centred, images=False)
    np.testing.assert_allclose(result.matrix, expected.matrix, rtol=0, atol=1e-12)
    assert result.canvas == expected.canvas == (3, 2, 5)


def test_few_models_keep_the_cosines_of_single_probes():
    maps = some_maps()
    result, expected = compare(maps, NAMES), similarity(maps, NAMES)
    np.testing.assert_array_equal(result.per_probe, expected.per_probe)


def test_the_nearest_are_those_of_the_matrix(monkeypatch):
    maps = some_maps()
    full = compare(maps, NAMES)
    near = neighbours(full, maps, 3)
    for row, (others, values) in enumerate(zip(near.models, near.similarity, strict=True)):
        expected = sorted((i for i in range(6) if i != row), key=lambda i: -full.matrix[row, i])
        assert others.tolist() == expected[:3]
        np.testing.assert_array_equal(values, full.matrix[row, others])
    monkeypatch.setattr(many, "COSINES", 0)
    monkeypatch.setattr(many, "MODELS", 5)
    none = compare(maps, NAMES)
    assert none.matrix.shape == (0, 0)
    assert none.unusable == full.unusable
    without = neighbours(none, maps, 3)
    np.testing.assert_array_equal(without.models, near.models)
    np.testing.assert_allclose(without.similarity, near.similarity, rtol=0, atol=1e-12)


def test_a_model_is_no_neighbour_of_its_own():
    matrix = np.full((3, 3), np.nan)
    np.fill_diagonal(matrix, 1.0)
    matrix[0, 1] = matrix[1, 0] = -0.5
    near = many._from(matrix, 10)
    assert near.models.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert near.similarity.tolist() == [[-0.5, -np.inf], [-0.5, -np.inf], [-np.inf, -np.inf]]


def test_maps_on_a_canvas_are_made_as_they_are_asked_for():
    maps = some_maps()
    on_canvas = OnCanvas(maps)
    assert on_canvas.shape == (6, 5, 96)
    whole = on_canvas[:, :]
    np.testing.assert_array_equal(on_canvas[np.array([4, 1]), 1:3], whole[[4, 1], 1:3])
    np.testing.assert_array_equal(on_canvas[2:4, 0:1], whole[2:4, 0:1])
    # Area interpolation to a whole multiple repeats pixels.
    np.testing.assert_allclose(
        whole[2].reshape(5, 12, 8), maps[2].repeat(4, axis=1).repeat(2, axis=2)
    )
