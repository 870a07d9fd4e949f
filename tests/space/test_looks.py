"""Planned looks, and the bounds of a test that is asked at each of them."""

import itertools

import numpy as np
import pytest
from scipy import stats

from onnxattr.space.looks import bounds, planned_looks


def test_looks_begin_at_the_minimum_grow_by_a_quarter_and_end_with_all() -> None:
    assert planned_looks(24, 200) == (24, 32, 40, 56, 72, 96, 120, 152, 192, 200)
    assert planned_looks(24, 24) == (24,)
    assert planned_looks(24, 23) == ()
    far = planned_looks(24, 10_000)
    assert len(far) < 30
    assert all(8 <= b - a <= max(8, a / 4 + 8) for a, b in itertools.pairwise(far[:-1]))


def test_one_look_is_a_normal_quantile() -> None:
    for error in (0.2, 0.05, 0.001):
        assert bounds((50,), error)[0] == pytest.approx(stats.norm.isf(error), abs=2e-4)


def test_two_looks_spend_what_the_bivariate_normal_says() -> None:
    """P(below the first bound, above the second) of two correlated sums, by SciPy's integral."""
    first, second = bounds((40, 100), 0.05)
    assert first == pytest.approx(stats.norm.isf(0.025), abs=2e-4)
    correlation = np.sqrt(40 / 100)
    both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    spent = stats.norm.cdf(first) - both.cdf([first, second])
    assert spent == pytest.approx(0.025, abs=2e-5)


def test_sums_of_normals_pass_as_often_as_allowed() -> None:
    looks = planned_looks(24, 200)
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(100_000, len(looks))) * np.sqrt(np.diff((0, *looks)))
    deviates = steps.cumsum(axis=1) / np.sqrt(looks)
    passed = (deviates > np.array(bounds(looks, 0.05))).any(axis=1).mean()
    # Three standard errors of 100,000 trials.
    assert passed == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 100_000))
    # What must not be done: the bound of one look, at all of them.
    assert (deviates > stats.norm.isf(0.05)).any(axis=1).mean() > 0.12
