"""Streamed similarities and nearest models, against loops and the matrix itself."""

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from onnxattr.errors import InputError, UsageError
from onnxattr.space.blocks import Numpy, pair_means, pairs, streamed
from onnxattr.space.nearest import nearest, search, sketch
from onnxattr.space.similarity import similarity


def random_maps(models: int = 5, probes: int = 7, pixels: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(1, probes, pixels)) + rng.normal(size=(1, 1, pixels))
    return (shared + rng.normal(size=(models, probes, pixels))).astype(np.float32)


def naive(maps: np.ndarray) -> np.ndarray:
    """(1/N) Σₖ cos(Aₖⁱ, Aₖʲ), a pair and a probe at a time, with sums in Python."""
    models, probes, _ = maps.shape
    result = np.zeros((models, models))
    for i in range(models):
        for j in range(models):
            for k in range(probes):
                a, b = ([float(v) for v in maps[m, k]] for m in (i, j))
                dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
                norms = math.fsum(x * x for x in a) * math.fsum(y * y for y in b)
                result[i, j] += dot / math.sqrt(norms) / probes
    return result


def matrix(maps: np.ndarray, centred: bool) -> np.ndarray:
    images = [m[:, None] for m in maps]
    return similarity(images, [str(i) for i in range(len(maps))], centred=centred).matrix


#: Bytes of a block: one probe at a time, a few, all.
BLOCKS = (1, 8 * 5 * 12 * 3, 2**28)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_papers_affinity_equals_the_naive_loop(block: int) -> None:
    maps = random_maps()
    np.testing.assert_allclose(
        streamed(maps, centred=False, block=block), naive(maps), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("centred", [True, False])
def test_equals_the_matrix_of_all_cosines(block: int, centred: bool) -> None:
    maps = random_maps()
    maps[0, 2] = 0.0
    maps[1, 3, 4] = np.nan
    maps[2, 2, 0] = np.inf
    maps[3] = 0.0
    result = streamed(maps, centred=centred, block=block)
    np.testing.assert_allclose(result, matrix(maps, centred), rtol=0, atol=1e-12)
    assert np.isnan(result[3]).all()
    np.testing.assert_array_equal(result, result.T)


def test_maps_that_never_change_have_nothing_left_once_centred() -> None:
    maps = random_maps()
    maps[2] = maps[2, :1]
    assert np.isnan(streamed(maps)[2]).all()


def test_single_precision_is_near() -> None:
    maps = random_maps(pixels=400)
    quick = streamed(maps, kernel=Numpy(np.float32))
    np.testing.assert_allclose(quick, streamed(maps), rtol=0, atol=2e-6)
    assert (quick != streamed(maps)).any()


class Read:
    """Maps that count what is asked of them."""

    def __init__(self, maps: np.ndarray) -> None:
        self.shape = maps.shape
        self._maps = maps
        self.largest = self.read = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self._maps[key]
        self.largest = max(self.largest, part.size)
        self.read += part.size
        return part


def test_maps_are_read_in_blocks_and_twice_at_most() -> None:
    maps = Read(random_maps(6, 20, 30))
    streamed(maps, block=8 * 6 * 30 * 4)
    assert maps.largest == 6 * 30 * 4
    assert maps.read == 2 * 6 * 20 * 30


def test_memory_is_bounded_by_the_block() -> None:
    """Four times as many probes, and no more memory."""

    def peak(probes: int) -> int:
        maps = np.lib.stride_tricks.as_strided(
            random_maps(20, 1, 256), (20, probes, 256), (1024, 0, 4)
        )
        tracemalloc.start()
        streamed(maps, centred=False, block=2**19)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(50)
    assert peak(800) < 1.3 * peak(200) < 1.3 * 6 * 2**19


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("centred", [True, False])
def test_pairs(block: int, centred: bool) -> None:
    maps = random_maps()
    maps[4, 1] = 0.0
    images = [m[:, None] for m in maps]
    expected = similarity(images, list("abcde"), centred=centred).per_probe
    one, other = np.array([1, 0, 4, 1]), np.array([3, 0, 2, 3])
    kept = pairs(maps, one, other, centred=centred, block=block)
    np.testing.assert_allclose(kept, expected[one, other], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        pair_means(maps, one, other, centred=centred, block=block),
        np.nanmean(expected[one, other], axis=1),
        atol=1e-12,
    )


def test_pairs_without_a_probe_in_common() -> None:
    maps = random_maps()
    maps[0] = 0.0
    assert np.isnan(pair_means(maps, np.array([0]), np.array([1]))).all()


@pytest.mark.parametrize("block", [16 * 36, 2**20])
def test_search_is_a_sort_of_the_products(block: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(23, 8)).astype(np.float32)
    products = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(products, -np.inf)
    order = np.argsort(-products, axis=1)[:, :5]
    found = search(vectors, 5, block=block)
    np.testing.assert_array_equal(found.models, order)
    np.testing.assert_allclose(
        found.similarity, np.take_along_axis(products, order, axis=1), rtol=1e-5
    )


def test_equal_models_are_in_their_order_and_never_the_model_itself() -> None:
    found = search(np.ones((4, 2), np.float32), 3)
    assert found.models.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_products_of_sketches_are_cosines_but_for_chance() -> None:
    maps = random_maps(6, 10, 50)
    vectors = sketch(maps, 2000, block=8 * 50 * 10 * 2).astype(np.float64)
    np.testing.assert_allclose(vectors @ vectors.T, streamed(maps), atol=5 / math.sqrt(2000))
    np.testing.assert_array_equal(vectors, sketch(maps, 2000))
    assert (sketch(maps, 2000, seed=1) != vectors).any()


@pytest.mark.parametrize("centred", [True, False])
def test_nearest_models_are_those_of_the_matrix(centred: bool) -> None:
    """Groups of four that are alike among 60, from vectors far too short to tell them apart."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(15, 1, 8, 40))
    maps = (groups + 0.8 * rng.normal(size=(15, 4, 8, 40))).reshape(60, 8, 40)
    maps = maps.astype(np.float32)
    exact = streamed(maps, centred=centred)
    np.fill_diagonal(exact, -np.inf)
    order = np.argsort(-exact, axis=1)[:, :3]
    found = nearest(maps, 3, centred=centred, dimensions=256, block=8 * 40 * 60)
    np.testing.assert_array_equal(found.models, order)
    np.testing.assert_allclose(
        found.similarity, np.take_along_axis(exact, order, axis=1), atol=1e-12
    )


def test_fewer_models_than_are_asked_for() -> None:
    maps = random_maps(3)
    assert nearest(maps, 10).models.shape == (3, 2)
    assert nearest(maps[:1], 10).models.shape == (1, 0)
    maps[0] = 0.0
    found = nearest(maps, 2)
    assert found.models[1].tolist() == [2, 0]
    assert found.similarity[1, 1] == -np.inf


def test_wrong_requests() -> None:
    with pytest.raises(InputError, match=r"not `\(5, 7\)`"):
        streamed(random_maps()[:, :, 0])
    with pytest.raises(InputError, match="model, probe, pixel"):
        streamed(random_maps()[:, :, :0])
    with pytest.raises(UsageError, match="`0` nearest models"):
        nearest(random_maps(), 0)
