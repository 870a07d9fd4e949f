"""Assignments, against every one there is."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from onnxattr.lineage.channels import Classes, Labels, reshaped, transposed
from onnxattr.lineage.order import assign


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (5, 3), (1, 4)])
def test_assignments_are_the_best_of_all(seed, shape):
    worth = np.random.default_rng(seed).normal(size=shape)
    rows, columns = assign(worth)
    assert len(rows) == len(set(rows)) == len(set(columns)) == min(shape)
    wide = worth if shape[0] <= shape[1] else worth.T
    best = max(
        sum(wide[i, j] for i, j in enumerate(tried))
        for tried in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert worth[rows, columns].sum() == pytest.approx(best)


def test_large_assignments_are_those_of_scipy():
    draw = np.random.default_rng(0)
    worth = draw.normal(size=(80, 80))
    hidden = draw.permutation(80)
    worth[np.arange(80), hidden] += 10  # Each row's best column is another one: the short way.
    np.testing.assert_array_equal(assign(worth)[1], hidden)
    noise = draw.normal(size=(80, 80))
    expected = noise[linear_sum_assignment(noise, maximize=True)].sum()
    assert noise[assign(noise)].sum() == pytest.approx(expected)


def labels(count: int, axis: int) -> Labels:
    channels = np.arange(count)
    return Labels((axis,), channels, np.zeros(count, np.int64), channels, np.ones(count))


def test_flattened_channels_are_numpys_own_order_in_both_layouts():
    # What stands at each place of a tensor, channel · 100 + place, is moved by NumPy itself.
    tensor = np.arange(5)[:, None, None] * 100 + np.arange(6).reshape(2, 3)
    first = reshaped(labels(5, 1), (1, 5, 2, 3), (1, 30))
    np.testing.assert_array_equal(first.channel * 100 + first.place, tensor.reshape(-1))
    turned = transposed(labels(5, 1), (0, 2, 3, 1))
    last = reshaped(turned, (1, 2, 3, 5), (1, 30))
    np.testing.assert_array_equal(
        last.channel * 100 + last.place, tensor.transpose(1, 2, 0).reshape(-1)
    )


def test_heads_that_are_split_and_joined_are_where_they_were():
    split = reshaped(labels(12, 2), (1, 7, 12), (1, 7, 3, 4))
    assert split.axes == (2, 3)
    turned = transposed(split, (0, 2, 1, 3))
    back = transposed(turned, (0, 2, 1, 3))
    joined = reshaped(back, (1, 7, 3, 4), (1, 7, 12))
    np.testing.assert_array_equal(joined.channel, np.arange(12))


def test_channels_that_are_added_are_the_same():
    classes = Classes()
    a, b, c = classes.make(3), classes.make(3), classes.make(3)
    classes.join(b, c[::-1])
    classes.join(a, b)
    roots = classes.roots()
    np.testing.assert_array_equal(roots, [0, 1, 2, 0, 1, 2, 2, 1, 0])
