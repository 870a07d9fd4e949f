"""The stopping rule, and that it may be asked at every planned look."""

import numpy as np
import pytest
from scipy import special, stats

from onnxattr.errors import UsageError
from onnxattr.space.looks import bounds, planned_looks
from onnxattr.space.sequential import HOPELESS, MINIMUM, Contest, StoppingRule, until_stable


def scores(means: list[float], probes: int, rng: np.random.Generator) -> np.ndarray:
    """Sources that move together, as they do: most of the noise is that of the probe."""
    shared = rng.normal(size=probes)
    return np.array(means)[:, None] + 0.5 * shared + 0.2 * rng.normal(size=(len(means), probes))


def test_a_source_that_is_behind_is_rarely_taken_for_the_best() -> None:
    """Two sources as good as equal, 400 times: at most 5 %, and three standard errors."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        standing = until_stable(rng.normal(size=(2, 200)))
        wrong += standing.decided[0] and standing.order == (1,)
    assert wrong / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_errors_of_many_sources_share_what_is_allowed() -> None:
    rng = np.random.default_rng(1)
    wanted = StoppingRule(top=3, confidence=0.8)
    wrong = sum(any(until_stable(scores([0] * 6, 200, rng), wanted).decided) for _ in range(60))
    # Of equal sources any decision is wrong.
    assert wrong / 60 < 0.2 + 3 * np.sqrt(0.2 * 0.8 / 60)


def test_what_is_clear_is_decided_early_and_right() -> None:
    rng = np.random.default_rng(0)
    means = [0.6, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0]
    for top in (1, 3):
        for _ in range(10):
            standing = until_stable(scores(means, 200, rng), StoppingRule(top))
            assert standing.order == (0, 1, 2)[:top]
            assert all(standing.decided)
            assert standing.ties == ()
            assert MINIMUM <= standing.probes <= 200 / 2


def test_a_difference_is_held_against_the_bound_by_students_t() -> None:
    """The first look at which the deviate of SciPy's paired t-test passes is that of the rule."""
    values = scores([0.1, 0.0], 200, np.random.default_rng(3))
    looks = planned_looks(MINIMUM, 200)
    limits = bounds(looks, 0.05)
    deviates = [
        stats.norm.isf(stats.ttest_rel(values[0, :n], values[1, :n], alternative="greater").pvalue)
        for n in looks
    ]
    first = next(n for n, z, b in zip(looks, deviates, limits, strict=True) if z > b)
    assert looks[0] < first < 200
    standing = until_stable(values)
    assert (standing.probes, standing.order, standing.decided) == (first, (0,), (True,))


def test_a_tie_is_one_by_the_predictive_probability() -> None:
    """By drawing what is left: the mean about what was seen, with all its error, and the rest."""
    rng = np.random.default_rng(0)
    values = scores([0.5, 0.5, 0.0], 200, rng)
    standing = until_stable(values)
    assert not any(standing.decided)
    assert [set(pair) for pair in standing.ties] == [{0, 1}]
    assert standing.settled
    n = standing.probes
    assert n < 200
    one, other = standing.ties[0]
    difference = values[one, :n] - values[other, :n]
    t = stats.ttest_1samp(difference, 0.0, alternative="greater")
    seen = stats.norm.isf(t.pvalue)
    error = 0.05 / 2
    last = bounds(planned_looks(MINIMUM, 200), error)[-1]
    mean = seen / np.sqrt(n) + rng.normal(size=200_000) / np.sqrt(n)
    rest = (200 - n) * mean + np.sqrt(200 - n) * rng.normal(size=200_000)
    chance = ((np.sqrt(n) * seen + rest) / np.sqrt(200) > last).mean()
    assert chance < HOPELESS
    assert chance == pytest.approx(
        special.ndtr((seen - last * np.sqrt(n / 200)) / np.sqrt(1 - n / 200)), abs=0.003
    )


def test_a_place_may_be_decided_where_another_is_tied() -> None:
    values = scores([0.9, 0.5, 0.5, 0.0], 200, np.random.default_rng(0))
    standing = until_stable(values, StoppingRule(top=2))
    assert standing.order[0] == 0
    assert standing.decided == (True, False)
    assert [set(pair) for pair in standing.ties] == [{1, 2}]


def test_a_source_that_is_out_is_not_looked_at_again() -> None:
    values = scores([0.6, 0.55, 0.0], 200, np.random.default_rng(0))
    contest = Contest(3, planned_looks(MINIMUM, 200), StoppingRule())
    standing = contest.look(values[:, :24])
    assert set(standing.playing) == {0, 1}
    values[2] = 99.0
    assert contest.look(values[:, :32]).order == (0,)


def test_copies_are_tied_at_the_first_look() -> None:
    one = np.random.default_rng(0).normal(size=200)
    standing = until_stable(np.stack([one, one + 1e-16, one - 1.0]))
    assert (standing.probes, standing.settled) == (MINIMUM, True)
    assert [set(pair) for pair in standing.ties] == [{0, 1}]
    assert set(standing.playing) == {0, 1}


def test_sources_a_constant_apart_are_decided_at_the_first_look() -> None:
    shared = np.random.default_rng(0).normal(size=50)
    standing = until_stable(np.stack([shared, shared + 1.0]))
    assert (standing.probes, standing.order, standing.decided) == (MINIMUM, (1,), (True,))
    assert until_stable(shared[None]).decided == (True,)


def test_the_order_of_sources_does_not_matter() -> None:
    values = scores([0.1, 0.7, 0.3, 0.5], 400, np.random.default_rng(0))
    shuffled = [2, 0, 3, 1]
    plain, other = (until_stable(v, StoppingRule(2)) for v in (values, values[shuffled]))
    assert (plain.probes, plain.order) == (other.probes, (1, 3))
    assert [shuffled[i] for i in other.order] == [1, 3]


def test_too_few_probes_decide_nothing() -> None:
    values = np.array([[0.0], [1.0]]) + np.zeros(MINIMUM - 1)
    standing = until_stable(values)
    assert (standing.order, standing.decided, standing.settled) == ((1,), (False,), False)


def test_all_probes_end_it_with_ties() -> None:
    values = scores([0.03, 0.0], 200, np.random.default_rng(9))
    standing = until_stable(values)
    assert standing.settled
    assert standing.decided[0] or standing.ties


def test_probes_without_a_score_do_not_count() -> None:
    values = scores([0.9, 0.1, 0.0], 200, np.random.default_rng(0))
    values[:2, ::2] = np.nan
    assert until_stable(values[:2]).order == (0,)
    values[1] = np.nan
    # One that never has a score is not in it.
    assert until_stable(values).playing == (0,)
    # Two that share no probe with a score are not compared.
    values[1, ::2] = 5.0
    standing = until_stable(values[:2])
    assert standing.probes == 200
    assert not standing.decided[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "--top takes a whole number from 1, not `0`"),
        ({"confidence": 1.0}, "--confidence takes a number from 0.5 to below 1, not `1.0`"),
        ({"confidence": 0.2}, "not `0.2`"),
        ({"confidence": float("nan")}, "not `nan`"),
        ({"minimum": 3}, "`3` probes at least"),
    ],
)
def test_wrong_requests(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StoppingRule(**options)
