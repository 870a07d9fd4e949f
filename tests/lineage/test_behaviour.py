"""Measures of behaviour, held against plain arithmetic of their own."""

import itertools

import numpy as np
import pytest

from onnxattr.lineage.behaviour import (
    MEASURES,
    Traces,
    combined,
    compare,
    headroom,
    matched,
)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def best_of_all_orders(one, other):
    """The mean |r| of the best assignment, by trying all of them."""
    first, second = (np.moveaxis(v, 1, 0).reshape(v.shape[1], -1) for v in (one, other))
    found = np.abs(np.corrcoef(first, second)[: len(first), len(first) :])
    columns = range(found.shape[1])
    return max(
        np.mean([found[row, column] for row, column in enumerate(order)])
        for order in itertools.permutations(columns, len(first))
    )


@pytest.mark.parametrize("channels", [(3, 3), (3, 5)])
def test_channels_are_matched_in_the_best_of_all_orders(channels):
    one = draw(20, channels[0], 4, 4)
    other = draw(20, channels[1], 4, 4, seed=1)
    other[:, :2] += one[:, 1:3]
    assert matched(one, other) == pytest.approx(best_of_all_orders(one, other), abs=1e-12)


def test_neither_order_nor_scale_nor_sign_nor_offset_of_channels_counts():
    one = draw(20, 6, 4, 4)
    scale = np.array([1, -2, 3, 0.1, -5, 7]).reshape(1, -1, 1, 1)
    other = (one * scale + 3)[:, [4, 2, 0, 5, 1, 3]]
    assert matched(one, other) == pytest.approx(1.0, abs=1e-12)


def test_dead_channels_are_left_out():
    one = draw(20, 4, 4, 4)
    other = one.copy()
    one[:, 3] = 2.0
    other[:, 0] = -1.0
    assert matched(one, other[:, [1, 2, 0, 3]]) == pytest.approx(
        best_of_all_orders(one[:, :3], other[:, 1:]), abs=1e-12
    )
    assert matched(np.ones((5, 2)), draw(5, 2)) == 0.0


def test_maps_of_two_sides_meet_on_one_grid():
    one = draw(20, 3, 8, 8)
    other = one.reshape(20, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    assert matched(one, other) == pytest.approx(1.0, abs=1e-12)
    assert matched(one, one.mean(axis=(2, 3))) == pytest.approx(1.0, abs=1e-12)


def test_headroom_is_what_is_left_above_the_baseline():
    assert headroom(0.9, 0.8) == pytest.approx(0.5)
    assert headroom(1.0, 0.3) == 1.0
    assert headroom(0.3, 0.3) == 0.0
    assert headroom(-50.0, 0.9) == -1.0
    assert np.isnan(headroom(1.0, 1.0))
    assert np.isnan(headroom(0.5, float("nan")))


def test_the_two_largest_headrooms_count():
    names = [name for name, measure in MEASURES.items() if measure.decides]
    values = dict(zip(names, [0.1, 0.9, float("nan"), 0.5, -1.0, 0.2], strict=True))
    assert combined(values) == pytest.approx(0.7)
    # A layer near the input is alike in models that merely share a seed.
    assert combined({**values, "early channels": 1.0}) == pytest.approx(0.7)
    assert np.isnan(combined(dict.fromkeys(names, float("nan"))))


def traces(name, seed=0, **changes):
    hidden = draw(24, 5, seed=seed)
    made = {
        "gradients": draw(24, 6, 6, seed=seed).astype(np.float32),
        "representation": hidden.astype(np.float32),
        "early": (draw(24, 4, 3, 3, seed=seed).astype(np.float32),),
        "late": (draw(24, 4, 3, 3, seed=seed + 50).astype(np.float32),),
    }
    return Traces(name, **{**made, **changes})


def test_a_model_and_itself_are_one_by_every_measure():
    found = compare(traces("a"), traces("b"))
    assert set(found) == set(MEASURES)
    assert found == pytest.approx(dict.fromkeys(MEASURES, 1.0), abs=1e-6)


def test_a_rotation_of_the_representation_leaves_what_it_should():
    one = traces("a")
    rotation, _ = np.linalg.qr(draw(5, 5, seed=9))
    turned = (one.representation @ rotation).astype(np.float32)
    found = compare(one, traces("b", representation=turned))
    for name in ("cka", "reference predicts", "suspect predicts"):
        assert found[name] == pytest.approx(1.0, abs=1e-5)


def test_what_is_missing_has_no_value_and_costs_nothing_else():
    bare = Traces("bare", representation=traces("a").representation)
    found = compare(traces("a"), bare)
    assert np.isnan([found[n] for n in ("whitened gradients", "late channels")]).all()
    assert found["rsa"] == pytest.approx(1.0)
    assert np.isnan(list(compare(Traces("a"), Traces("b")).values())).all()


def test_maps_are_compared_by_plain_cosines():
    one, other = traces("a"), traces("b", seed=3)
    a, b = (t.gradients.reshape(24, -1).astype(float) for t in (one, other))
    plain = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    assert compare(one, other)["whitened gradients"] == pytest.approx(np.mean(plain), abs=1e-6)


def test_one_of_several_layers_may_be_the_one():
    one = traces("a")
    shifted = traces("b", late=(draw(24, 4, 3, 3, seed=8).astype(np.float32), *one.late))
    assert compare(one, shifted)["late channels"] == pytest.approx(1.0, abs=1e-6)
