"""Orders, intervals and ties."""

import dataclasses

import numpy as np
import pytest

from onnxattr.arrays import Float64
from onnxattr.space.ranking import (
    CONFIDENCE,
    bootstrap_means,
    interval,
    pair_scores,
    rank_by,
    rank_sources,
)
from onnxattr.space.similarity import mean_cosines
from onnxattr.types import Pairs, Similarity


def space(cosines: dict[tuple[str, str], np.ndarray], names: list[str]) -> Similarity:
    """A similarity with these cosines between pairs, and 1 on the diagonal."""
    count = len(next(iter(cosines.values())))
    per_probe = np.ones((len(names), len(names), count))
    for (one, two), values in cosines.items():
        i, j = names.index(one), names.index(two)
        per_probe[i, j] = per_probe[j, i] = values
    return Similarity(
        tuple(names), mean_cosines(per_probe), per_probe, True, (1, 1), (0,) * len(names)
    )


def noisy(mean: float, seed: int, spread: float = 0.1, count: int = 64) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(size=count) * spread


def test_bootstrap_equals_a_slow_loop_over_the_same_draws() -> None:
    cosines = np.random.default_rng(1).normal(size=(3, 10))
    cosines[1, 4] = np.nan
    means = bootstrap_means(cosines, seed=7, resamples=50)
    draws = np.random.default_rng(7).multinomial(10, [0.1] * 10, size=50)
    for row in range(3):
        for resample, counts in enumerate(draws):
            drawn = [p for p, n in enumerate(counts) for _ in range(n) if row != 1 or p != 4]
            assert means[row, resample] == pytest.approx(np.mean(cosines[row, drawn]), abs=1e-12)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        low, high = interval(bootstrap_means(rng.normal(0.3, 0.2, (1, 64)), seed=trial)[0])
        covered += low <= 0.3 <= high
    # The percentile interval is a little narrow at 64 probes; four standard errors of 300 trials.
    assert abs(covered / 300 - CONFIDENCE) < 0.05


def test_closest_first_and_self_is_dropped_by_identity() -> None:
    names = ["target", "near", "far", "copy"]
    result = space(
        {
            ("target", "near"): noisy(0.6, 0),
            ("target", "far"): noisy(0.2, 1),
            ("target", "copy"): np.ones(64),
            ("near", "far"): noisy(0.1, 2),
            ("near", "copy"): noisy(0.6, 0),
            ("far", "copy"): noisy(0.2, 1),
        },
        names,
    )
    ranked = rank_sources(result, 0, hashes=["h", "i", "j", "h"])
    assert [s.name for s in ranked.sources] == ["copy", "near", "far"]
    assert [s.rank for s in ranked.sources] == [1, 2, 3]
    assert [s.duplicate for s in ranked.sources] == [True, False, False]
    for source in ranked.sources[1:]:
        assert source.low < source.similarity < source.high


def test_sources_that_the_probes_cannot_tell_apart_share_a_rank() -> None:
    one = noisy(0.5, 0)
    result = space(
        {
            ("t", "a"): one,
            ("t", "b"): one + noisy(0.0, 1, spread=0.3),
            ("t", "c"): noisy(0.1, 2),
            ("t", "d"): noisy(0.1, 3),
        },
        ["t", "a", "b", "c", "d"],
    )
    sources = rank_sources(result, 0).sources
    assert sorted(s.name for s in sources[:2]) == ["a", "b"]
    assert [s.rank for s in sources] == [1, 1, 3, 3]
    assert all(s.tied for s in sources)


def test_differences_are_paired() -> None:
    """Two sources far less apart than each one spreads are told apart if they move together."""
    shared = noisy(0.5, 0, spread=0.3)
    result = space({("t", "a"): shared, ("t", "b"): shared - 0.01}, ["t", "a", "b"])
    first, second = rank_sources(result, 0).sources
    assert first.low < second.similarity
    assert (first.rank, second.rank, first.tied, second.tied) == (1, 2, False, False)


def test_equal_similarities_are_ordered_by_name_and_tied() -> None:
    same = noisy(0.5, 0)
    result = space({("t", "b"): same, ("t", "a"): same}, ["t", "b", "a"])
    assert [(s.name, s.rank, s.tied) for s in rank_sources(result, 0).sources] == [
        ("a", 1, True),
        ("b", 1, True),
    ]


def test_a_seed_decides_the_interval() -> None:
    result = space({("t", "a"): noisy(0.5, 0)}, ["t", "a"])
    first, again, other = (rank_sources(result, 0, seed=s).sources[0] for s in (0, 0, 1))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.similarity == other.similarity


def test_a_source_without_a_common_probe_is_left_out() -> None:
    result = space({("t", "a"): np.full(4, np.nan), ("t", "b"): np.full(4, 0.5)}, ["t", "a", "b"])
    assert [s.name for s in rank_sources(result, 0).sources] == ["b"]


def directed(values: Float64, name: str = "predictability") -> Pairs:
    """A measure, [source, target, probe], of models a, b, c, …."""
    names = tuple("abcdefgh"[: len(values)])
    return Pairs(name, names, values.mean(axis=2), values, directed=True)


def test_a_directed_measure_ranks_sources_by_what_they_are_for_the_target() -> None:
    values = np.zeros((3, 3, 20)) + np.linspace(-1e-6, 1e-6, 20)
    values[1, 0], values[2, 0] = values[1, 0] + 0.2, values[2, 0] + 0.9  # b → a, c → a
    values[0, 1], values[0, 2] = values[0, 1] + 0.7, values[0, 2] + 0.7  # And back.
    measure = directed(values)
    cosines = Similarity(measure.names, np.eye(3), np.zeros((3, 3, 20)), True, (1, 1), (0,) * 3)

    target = rank_by([measure], cosines, 0)

    assert [(s.name, s.rank, round(s.similarity, 3)) for s in target.sources] == [
        ("c", 1, 0.9),
        ("b", 2, 0.2),
    ]
    assert all(s.measures["predictability"].value == s.similarity for s in target.sources)


def test_the_first_measure_orders_and_ranks_that_exclude_each_other_are_disputed() -> None:
    noise = np.random.default_rng(0).normal(size=40)
    noise -= noise.mean()

    def one(levels: dict[str, float], spread: float, name: str) -> Pairs:
        values = np.zeros((5, 5, 40))
        for place, source in enumerate("abcde"):
            # Each source has noise of its own, so that close ones are tied.
            values[place, 0] = levels.get(source, 0.0) + spread * np.roll(noise, 7 * place)
        return directed(values, name)

    first = one({"b": 0.9, "c": 0.6, "d": 0.3, "e": 0.0}, 1e-3, "attribution")
    same = one({"b": 9.0, "c": 6.0, "d": 3.0, "e": 0.0}, 1e-3, "cka")
    swapped = one({"b": 0.6, "c": 0.9, "d": 0.3, "e": 0.0}, 1e-3, "rsa")
    vague = one({"b": 0.6, "c": 0.9, "d": 0.3, "e": 0.0}, 20.0, "svcca")
    cosines = Similarity(first.names, np.eye(5), np.zeros((5, 5, 40)), True, (1, 1), (0,) * 5)

    def disputed(*measures: Pairs) -> list[str]:
        target = rank_by(measures, cosines, 0)
        assert [s.name for s in target.sources] == list("bcde")
        return [s.name for s in target.sources if s.disputed]

    assert disputed(first) == []
    assert disputed(first, same) == []
    assert disputed(first, same, swapped) == ["b", "c"]
    # By one that cannot tell them apart, each may have any place.
    assert disputed(first, vague) == []
    found = rank_by([swapped, first], cosines, 0).sources
    assert [s.name for s in found] == list("cbde")
    assert found[0].measures["attribution"].rank == 2


def test_a_measure_that_says_nothing_of_a_source_is_left_out_of_it() -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 10))
    other = values.copy()
    other[1, 0] = np.nan
    cosines = Similarity(("a", "b", "c"), np.eye(3), values, True, (1, 1), (0,) * 3)
    measures = [directed(values, "attribution"), directed(other, "cka")]

    sources = {s.name: s for s in rank_by(measures, cosines, 0).sources}

    assert list(sources["b"].measures) == ["attribution"]
    assert list(sources["c"].measures) == ["attribution", "cka"]
    assert [s.name for s in rank_by(measures[::-1], cosines, 0).sources] == ["c"]


def test_a_pair_is_told_both_ways_where_that_makes_a_difference() -> None:
    values = np.random.default_rng(0).normal(size=(2, 2, 30))
    both = pair_scores(directed(values))
    assert [(p.source, p.target) for p in both] == [("a", "b"), ("b", "a")]
    assert [p.value for p in both] == pytest.approx([values[0, 1].mean(), values[1, 0].mean()])
    assert all(p.low <= p.value <= p.high for p in both)

    symmetric = dataclasses.replace(directed(values + values.transpose(1, 0, 2)), directed=False)
    (one,) = pair_scores(symmetric)
    assert one.value == pytest.approx((values[0, 1] + values[1, 0]).mean())


def test_the_probability_of_each_place_is_how_often_a_draw_says_so() -> None:
    names = ["target", "a", "b", "c", "none"]
    cosines = {("target", n): noisy(mean, k) for k, (n, mean) in enumerate(
        [("a", 0.40), ("b", 0.41), ("c", 0.35), ("none", np.nan)]
    )}  # fmt: skip
    result = space(cosines, names)
    pairs = Pairs("attribution", result.names, result.matrix, result.per_probe, directed=False)
    target = rank_by([pairs], result, 0, seed=3, probabilities=True)

    order = [source.name for source in target.sources]
    assert "none" not in order
    draws = np.random.default_rng(3).multinomial(64, [1 / 64] * 64, size=2000)
    rows = np.array([result.per_probe[0, names.index(n)] for n in order])
    counted = np.zeros((3, 3))
    for draw in draws:
        means = rows @ draw / 64
        for place, source in enumerate(np.argsort(-means)):
            counted[source, place] += 1
    np.testing.assert_allclose(target.probabilities, counted / 2000, atol=1e-12)
    assert 0.1 < target.probabilities[0][1] < 0.9
    assert rank_by([pairs], result, 0, seed=3).probabilities == ()
