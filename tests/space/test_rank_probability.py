"""Probabilities of ranks against a loop over the draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxattr.space.rank_probability import (
    order_probability,
    rank_probabilities,
    top_probabilities,
)


def slow(draws: np.ndarray) -> np.ndarray:
    """Each draw in turn; sources that tie take the mean over all orders of theirs."""
    count, size = draws.shape
    result = np.zeros((count, count))
    for draw in draws.T:
        values = [-np.inf if np.isnan(v) else v for v in draw]
        for i, value in enumerate(values):
            before = sum(other > value for other in values)
            same = sum(other == value for other in values)
            for rank in range(before, before + same):
                result[i, rank] += 1 / same / size
    return result


@given(hnp.arrays(np.float64, (4, 6), elements=st.sampled_from([0.1, 0.2, 0.3, 0.4, float("nan")])))
def test_equals_a_loop_and_sums_to_one(draws: np.ndarray) -> None:
    probabilities = rank_probabilities(draws)
    np.testing.assert_allclose(probabilities, slow(draws), atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_normal_sources() -> None:
    """Two sources half a standard deviation of their difference apart: Φ(½)."""
    draws = np.random.default_rng(0).normal(size=(2, 20000)) / np.sqrt(2) + [[0.5], [0.0]]
    assert rank_probabilities(draws)[0, 0] == pytest.approx(0.691, abs=0.012)
    assert order_probability(draws, [0, 1], 1) == pytest.approx(0.691, abs=0.012)


def test_top_and_order() -> None:
    draws = np.array([[3.0, 3, 1, 1], [2, 2, 3, 2], [1, 1, 2, 2]])
    np.testing.assert_allclose(top_probabilities(draws, 2), [0.5, 1.0, 0.5])
    assert order_probability(draws, [0, 1, 2], 1) == 0.5
    assert order_probability(draws, [1, 0, 2], 2) == 0.0
    assert order_probability(draws, [1, 2, 0], 3) == 0.25
    # A tie is no order.
    assert order_probability(draws[:, 3:], [1, 2, 0], 3) == 0.0


def test_none_and_one() -> None:
    assert rank_probabilities(np.empty((0, 5))).shape == (0, 0)
    assert rank_probabilities(np.ones((1, 5))).tolist() == [[1.0]]
