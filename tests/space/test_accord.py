"""Whether two sets of probes make the same models alike."""

import numpy as np
import pytest
from scipy import stats

from onnxattr.space.domain import accord


def test_it_is_pearsons_of_the_pairs_that_both_know() -> None:
    rng = np.random.default_rng(0)
    one, other = (m + m.T for m in rng.normal(size=(2, 6, 6)))
    one[0, 3] = one[3, 0] = np.nan
    rows, columns = np.triu_indices(6, 1)
    kept = ~np.isnan(one[rows, columns])
    expected = stats.pearsonr(one[rows, columns][kept], other[rows, columns][kept]).statistic
    assert accord(one, other) == pytest.approx(expected, abs=1e-12)
    assert accord(one, 3 * one + 1) == pytest.approx(1.0)


def test_there_is_none_where_nothing_is_known_or_all_is_equal() -> None:
    rng = np.random.default_rng(0)
    some = rng.normal(size=(4, 4))
    assert accord(some, np.ones((4, 4))) == 0.0
    assert accord(some, np.full((4, 4), np.nan)) == 0.0
    assert accord(np.eye(2), np.eye(2)) == 0.0
