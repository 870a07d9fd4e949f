"""The affinity arithmetic against plain loops, and the properties that it must have."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxattr.space import similarity as module
from onnxattr.space.canvas import to_canvas
from onnxattr.space.similarity import paper_distance, similarity


def naive(maps: list[np.ndarray], centred: bool) -> np.ndarray:
    """Mean cosines as the paper's code computes them: three loops; centred as the docs say."""

    def unit(v: np.ndarray) -> np.ndarray:
        return v / math.sqrt(sum(float(x) ** 2 for x in v.ravel()))

    models = [[unit(m.astype(np.float64)) for m in model] for model in maps]
    if centred:
        means = [sum(model) / len(model) for model in models]
        models = [[m - mean for m in model] for model, mean in zip(models, means, strict=True)]
    result = np.zeros((len(maps), len(maps)))
    for i, one in enumerate(models):
        for j, two in enumerate(models):
            for a, b in zip(one, two, strict=True):
                norms = math.sqrt(float((a * a).sum())) * math.sqrt(float((b * b).sum()))
                result[i, j] += float((a * b).sum()) / norms / len(one)
    return result


def random_maps(models: int = 4, count: int = 5, size: int = 6, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(count, size, size)).astype(np.float32) for _ in range(models)]


NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize("centred", [True, False])
def test_equals_a_naive_loop(centred: bool) -> None:
    maps = random_maps()
    result = similarity(maps, NAMES, centred=centred)
    np.testing.assert_allclose(result.matrix, naive(maps, centred), atol=1e-12)
    np.testing.assert_allclose(result.per_probe.mean(axis=2), result.matrix, atol=1e-12)


finite = st.floats(-10, 10, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)


@given(
    hnp.arrays(np.float32, (3, 4, 3, 3), elements=finite),
    st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    st.permutations(range(3)),
    st.booleans(),
)
def test_symmetric_bounded_and_indifferent_to_scale_and_order(
    maps: np.ndarray, scales: list[float], order: list[int], centred: bool
) -> None:
    names = ["a", "b", "c"]
    result = similarity(list(maps), names, centred=centred)
    np.testing.assert_array_equal(result.per_probe, result.per_probe.transpose(1, 0, 2))
    usable = result.per_probe[~np.isnan(result.per_probe)]
    assert (np.abs(usable) <= 1).all()
    diagonal = result.per_probe[range(3), range(3)]
    np.testing.assert_allclose(diagonal[~np.isnan(diagonal)], 1.0, atol=1e-9)

    scaled = [m.astype(np.float64) * s for m, s in zip(maps, scales, strict=True)]
    np.testing.assert_allclose(
        similarity(scaled, names, centred=centred).per_probe, result.per_probe, atol=1e-5
    )
    permuted = similarity([maps[i] for i in order], names, centred=centred)
    np.testing.assert_allclose(permuted.matrix, result.matrix[np.ix_(order, order)], atol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-44, 1e30])
@pytest.mark.parametrize("centred", [True, False])
def test_faint_and_strong_maps_are_as_alike_as_any(scale: float, centred: bool) -> None:
    """torch's cosine_similarity clamps norms at 1e-8: identical faint maps come out near zero."""
    maps = np.round(random_maps(1)[0] * 8) + 0.5
    # float32, as the engine returns it; subnormal values keep few digits: a coarser map.
    faint = (maps.astype(np.float64) * scale).astype(np.float32)
    rescaled = faint.astype(np.float64) / scale
    result = similarity([maps, faint], NAMES[:2], centred=centred)
    assert result.unusable == (0, 0)
    np.testing.assert_allclose(result.matrix, naive([maps, rescaled], centred), atol=1e-9)
    assert result.matrix[0, 1] > 0.9


def test_zero_and_infinite_maps_are_counted_and_left_out() -> None:
    maps = random_maps(3)
    maps[0][1] = 0.0
    maps[1][2, 0, 0] = np.nan
    maps[1][3, 0, 0] = np.inf
    result = similarity(maps, NAMES[:3], centred=False)
    assert result.unusable == (1, 2, 0)
    assert np.isnan(result.per_probe[0, 2]).tolist() == [False, True, False, False, False]
    assert np.isnan(result.per_probe[0, 1]).tolist() == [False, True, True, True, False]
    clean = similarity([m[[0, 4]] for m in maps], NAMES[:3], centred=False)
    assert result.matrix[0, 1] == pytest.approx(clean.matrix[0, 1], abs=1e-15)
    assert np.isfinite(result.matrix).all()


def test_a_model_without_any_usable_map_has_no_similarity() -> None:
    maps = random_maps(2)
    maps[1][:] = 0
    assert np.isnan(similarity(maps, NAMES[:2]).matrix).tolist() == [[False, True], [True, True]]


def test_centring_removes_what_is_the_same_on_every_probe() -> None:
    rng = np.random.default_rng(0)
    imprint = rng.normal(size=(1, 6, 6)) * 5
    maps = [(imprint + rng.normal(size=(200, 6, 6)) * 0.5).astype(np.float32) for _ in range(2)]
    assert similarity(maps, NAMES[:2], centred=False).matrix[0, 1] > 0.9
    assert abs(similarity(maps, NAMES[:2], centred=True).matrix[0, 1]) < 0.05


def test_maps_that_never_change_have_nothing_left_once_centred() -> None:
    maps = np.repeat(random_maps(1, count=1)[0], 5, axis=0)
    assert similarity([maps, *random_maps(1)], NAMES[:2]).unusable == (5, 0)


def test_the_papers_distance() -> None:
    assert paper_distance(np.array([0.5, 0.25, np.nan])) == pytest.approx(2 / 0.75)
    assert paper_distance(np.array([0.5, -0.5])) is None
    assert paper_distance(np.array([np.nan])) is None


def area(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area interpolation by definition: repeat to the common multiple, then average blocks."""
    rows = np.lcm(values.shape[0], height)
    columns = np.lcm(values.shape[1], width)
    fine = values.repeat(rows // values.shape[0], 0).repeat(columns // values.shape[1], 1)
    blocks = fine.reshape(height, rows // height, width, columns // width)
    return blocks.mean(axis=(1, 3))


@pytest.mark.parametrize("size", [(3, 5), (4, 4), (8, 12), (7, 9), (1, 1), (6, 4)])
def test_canvas_equals_area_interpolation_by_definition(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    expected = np.stack([area(m.astype(np.float64), *size) for m in maps])
    np.testing.assert_allclose(to_canvas(maps, *size), expected, atol=1e-12)


@pytest.mark.parametrize("centred", [True, False])
def test_a_larger_model_does_not_change_how_alike_the_others_are(centred: bool) -> None:
    """Enlarging by a whole factor repeats pixels, so every cosine stays."""
    small, large = random_maps(2, size=6), random_maps(1, size=18, seed=1)
    before = similarity(small, NAMES[:2], centred=centred)
    after = similarity([*small, *large], NAMES[:3], centred=centred)
    assert after.canvas == (18, 18)
    np.testing.assert_allclose(after.matrix[:2, :2], before.matrix, atol=1e-12)


@pytest.mark.parametrize("centred", [True, False])
def test_the_size_of_a_block_does_not_matter(monkeypatch, centred):
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(7, 5, 6)).astype(np.float32) for _ in range(3)]
    maps[1][2] = 0
    maps[2][4, 0, 0] = np.nan
    whole = similarity(maps, list("abc"), centred=centred)
    for rows, size in ((1, 2**28), (3, 2**28), (64, 1)):
        monkeypatch.setattr(module, "_ROWS", rows)
        monkeypatch.setattr(module, "_BLOCK", size)
        parts = similarity(maps, list("abc"), centred=centred)
        np.testing.assert_allclose(parts.per_probe, whole.per_probe, atol=1e-13)
        assert parts.unusable == whole.unusable == (0, 1, 1)


def test_no_model_makes_the_canvas_of_all_as_large_as_it_likes(monkeypatch):
    """A tall map and a wide one meet on a canvas of both sizes; beyond the bound they shrink."""
    rng = np.random.default_rng(1)
    tall, wide = rng.random((4, 24, 2), np.float32), rng.random((4, 2, 24), np.float32)
    monkeypatch.setattr(module, "MAX_CANVAS", 12)
    result = similarity([tall, wide, tall], list("abc"))
    assert result.canvas == (12, 12)
    halved = tall.reshape(4, 12, 2, 2).mean(axis=2)
    np.testing.assert_allclose(
        result.per_probe[0, 1],
        similarity([halved, wide.reshape(4, 2, 12, 2).mean(axis=3)], list("ab")).per_probe[0, 1],
        atol=1e-6,
    )
    np.testing.assert_allclose(result.per_probe[0, 2], 1)
