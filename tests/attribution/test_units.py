"""Units as measures compare them."""

import numpy as np
import pytest

from onnxattr.attribution.units import MOST, POOLED, arranged, joined
from onnxattr.types import InputSpec

NCHW, NHWC = InputSpec("x", "NCHW", 8, 8), InputSpec("x", "NHWC", 8, 8)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_channels_come_first_whatever_the_layout():
    units = draw(5, 4, 6, 7)
    np.testing.assert_array_equal(arranged(units, NCHW, 5).values, units)
    turned = units.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(arranged(turned, NHWC, 5).values, units)
    # What the graph shows counts before the layout of the input.
    np.testing.assert_array_equal(arranged(units, NHWC, 5, channels=1).values, units)
    np.testing.assert_array_equal(arranged(turned, NCHW, 5, channels=3).values, units)


def test_rows_stay_rows_and_tokens_have_their_channels_first():
    rows, tokens = draw(5, 9), draw(5, 3, 9)
    np.testing.assert_array_equal(arranged(rows, NCHW, 5).values, rows)
    np.testing.assert_array_equal(arranged(tokens, NCHW, 5).values, tokens.transpose(0, 2, 1))
    assert arranged(draw(5), NCHW, 5).values.shape == (5, 1)
    assert arranged(draw(5, 2, 3, 4, 5), NCHW, 5).values.shape == (5, 120)


def test_a_batch_that_the_graph_fixes_or_does_not_have():
    units = draw(4, 3, 2, 2)
    fixed = InputSpec("x", "NCHW", 8, 8, batch=4)
    np.testing.assert_array_equal(arranged(units, fixed, 3).values, units[:3])
    alone = InputSpec("x", "CHW", 8, 8, batch=1)
    np.testing.assert_array_equal(arranged(units[0], alone, 1).values, units[:1])


def test_integers_are_numbers():
    found = arranged(np.arange(6).reshape(3, 2), NCHW, 3)
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, np.arange(6).reshape(3, 2))


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        (np.float32(3), "they are not one row a probe"),
        (draw(2, 5), "they are not one row a probe"),
        (draw(3, 0), "there are none"),
        (np.array([["a"]] * 3, object), "they hold no numbers"),
        (np.array([[1], [np.nan], [2]], np.float32), "some are not finite"),
        (np.array([[1], [np.inf], [2]], np.float32), "some are not finite"),
        (np.zeros((3, MOST + 1), np.int8), f"they are {MOST + 1:,} a probe"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_compared(units, reason):
    found = arranged(units, NCHW, 3)
    assert found.values is None
    assert reason in found.lacking


def test_large_maps_are_averaged_by_area_and_say_so():
    units = draw(2, 5, 256, 240)
    assert units[0].size > POOLED
    found = arranged(units, NCHW, 2)
    assert found.whole == (5, 256, 240)
    expected = units.reshape(2, 5, 8, 32, 8, 30).mean(axis=(3, 5))
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_large_maps_that_are_narrow_and_long_rows_of_tokens():
    assert arranged(draw(1, 2, 4, 40_000), NCHW, 1).values.shape == (1, 2, 4, 8)
    tokens = draw(1, 6400, 64)
    expected = tokens.reshape(1, 64, 100, 64).mean(axis=2).transpose(0, 2, 1)
    np.testing.assert_allclose(arranged(tokens, NCHW, 1).values, expected, atol=1e-6)


def test_maps_that_just_fit_are_whole():
    side = int(POOLED**0.5)
    units = draw(1, 1, side, side)
    np.testing.assert_array_equal(arranged(units, NCHW, 1).values, units)


def test_batches_are_put_together_unless_they_differ():
    one, two = (arranged(draw(n, 4), NCHW, n) for n in (3, 2))
    whole = joined([one, two])
    np.testing.assert_array_equal(whole.values, np.concatenate([one.values, two.values]))
    assert whole.whole == (4,)
    assert (
        joined([one, arranged(draw(2, 5), NCHW, 2)]).lacking == "their number depends on the probe"
    )
    bad = arranged(draw(1, 4), NCHW, 2)
    assert joined([one, bad]).lacking == bad.lacking
