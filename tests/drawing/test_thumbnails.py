"""Maps made small: what is left is the map, in multiples of its own strength."""

import numpy as np
import pytest

from onnxattr.drawing.thumbnails import LONG, SIDE, thumbnails


def some(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_how_strong_a_map_is_does_not_matter(factor):
    values = some((2, 16, 16))

    np.testing.assert_allclose(
        thumbnails((values * np.float32(factor)).astype(np.float32)), thumbnails(values), rtol=1e-4
    )
    strength = np.sqrt((values.astype(np.float64) ** 2).mean(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(thumbnails(values), values / strength, rtol=1e-5)


def test_a_large_map_is_shown_by_means_of_blocks():
    values = some((1, 256, 128))

    small = thumbnails(values)

    assert small.shape == (1, SIDE, SIDE // 2)
    means = values.reshape(1, SIDE, 4, SIDE // 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(small, means / np.sqrt((values**2).mean()), atol=1e-5)


def test_a_long_row_keeps_its_extremes():
    values = some((2, 10 * LONG))
    values[0, 777] = -50

    small = thumbnails(values)

    assert small.shape == (2, LONG)
    strength = np.sqrt((values[0].astype(np.float64) ** 2).mean())
    assert small[0].min() == pytest.approx(-50 / strength, rel=1e-5)
    parts = values[1].reshape(LONG, 10)
    expected = parts[np.arange(LONG), np.abs(parts).argmax(axis=1)]
    strength = np.sqrt((values[1].astype(np.float64) ** 2).mean())
    np.testing.assert_allclose(small[1], expected / strength, rtol=1e-5)


def test_zero_stays_zero_and_what_is_not_finite_stays_so():
    values = np.zeros((2, 4, 4), np.float32)
    values[1] = 1
    values[1, 0, 0] = np.nan

    small = thumbnails(values)

    assert not small[0].any()
    assert np.isnan(small[1, 0, 0])
    assert np.isfinite(small[1]).sum() == 15
