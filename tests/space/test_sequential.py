"""The stopping rule, and that it may be asked after every probe."""

import numpy as np
import pytest
from scipy import optimize, stats

from onnxattr.errors import UsageError
from onnxattr.space.sequential import MINIMUM, _rho_squared, margin, until_stable


def scores(means: list[float], probes: int, rng: np.random.Generator) -> np.ndarray:
    """Sources that move together, as they do: most of the noise is that of the probe."""
    shared = rng.normal(size=probes)
    return np.array(means)[:, None] + 0.5 * shared + 0.2 * rng.normal(size=(len(means), probes))


def peeking(difference: np.ndarray, error: float) -> bool:
    """What must not be done: whether a normal interval ever says that the first one is behind."""
    look = np.arange(1, len(difference) + 1)
    mean = difference.cumsum() / look
    deviation = np.sqrt((difference**2).cumsum() / look - mean**2)
    bound = stats.norm.ppf(1 - error) * deviation / np.sqrt(look)
    return bool((mean < -bound)[MINIMUM - 1 :].any())


@pytest.mark.parametrize("skewed", [False, True])
def test_errors_stay_rare_under_peeking_and_those_of_a_normal_interval_do_not(
    skewed: bool,
) -> None:
    """Two sources as good as equal, looked at after each of 400 probes; 250 times."""
    rng = np.random.default_rng(0)
    wrong = naive = 0
    for _ in range(250):
        noise = rng.exponential(size=(2, 400)) ** 1.5 if skewed else rng.normal(size=(2, 400))
        values = noise + np.array([[1e-9], [0.0]])
        decision = until_stable(values)
        wrong += decision.probes is not None and decision.order != (0,)
        naive += peeking(values[0] - values[1], 0.05)
    # At most 5 %, and three standard errors of 250 trials.
    assert wrong / 250 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 250)
    assert naive / 250 > 0.15


def test_errors_of_many_sources_share_what_is_allowed() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        decision = until_stable(scores([0.0] * 6, 200, rng), top=3, confidence=0.8)
        wrong += decision.probes is not None
    # Of equal sources any order is wrong.
    assert wrong / 100 < 0.2 + 3 * np.sqrt(0.2 * 0.8 / 100)


def test_what_is_clear_is_decided_early_and_right() -> None:
    rng = np.random.default_rng(0)
    means = [0.6, 0.5, 0.4, 0.1, 0.1, 0.0, 0.0]
    one = [until_stable(scores(means, 1000, rng), top=1) for _ in range(20)]
    three = [until_stable(scores(means, 1000, rng), top=3) for _ in range(20)]
    assert {d.order for d in one} == {(0,)}
    assert {d.order for d in three} == {(0, 1, 2)}
    assert np.median([d.probes or 1000 for d in one]) < 1000 / 3
    assert np.median([d.probes or 1000 for d in three]) < 1000 / 2
    assert all(d.probes >= MINIMUM for d in [*one, *three] if d.probes)


def test_differences_are_paired() -> None:
    shared = np.random.default_rng(0).normal(size=100)
    values = np.stack([shared, shared - 0.01 + 0.01 * np.random.default_rng(1).normal(size=100)])
    assert until_stable(values).order == (0,)
    assert until_stable(values).probes < 60


def test_a_set_is_decided_before_its_order() -> None:
    rng = np.random.default_rng(0)
    values = scores([0.500, 0.499, 0.0, 0.0], 400, rng)
    assert until_stable(values, top=2).probes is None
    decision = until_stable(values, top=2, ordered=False)
    assert decision.probes is not None
    assert set(decision.order) == {0, 1}


def test_the_order_of_sources_does_not_matter() -> None:
    values = scores([0.1, 0.6, 0.3, 0.5], 600, np.random.default_rng(0))
    shuffled = [2, 0, 3, 1]
    plain, other = until_stable(values, top=2), until_stable(values[shuffled], top=2)
    assert plain.probes == other.probes
    assert plain.order == (1, 3)
    assert [shuffled[i] for i in other.order] == [1, 3]


def test_later_probes_do_not_change_a_decision() -> None:
    values = scores([0.6, 0.3], 400, np.random.default_rng(0))
    decision = until_stable(values)
    assert decision.probes is not None
    flipped = values.copy()
    flipped[:, decision.probes :] = flipped[::-1, decision.probes :]
    assert until_stable(flipped) == decision


def test_undecided() -> None:
    values = scores([0.2, 0.1], MINIMUM - 1, np.random.default_rng(0)) * 1e-9
    decision = until_stable(values + np.array([[0.0], [1.0]]))
    assert (decision.probes, decision.order, decision.seen) == (None, (1,), MINIMUM - 1)
    assert until_stable(np.full((3, 50), 0.5)).probes is None


def test_sources_a_constant_apart_are_decided_at_the_first_look() -> None:
    shared = np.random.default_rng(0).normal(size=50)
    assert until_stable(np.stack([shared, shared + 1.0])).probes == MINIMUM
    assert until_stable(shared[None]).probes == MINIMUM


def test_probes_without_a_score_do_not_count() -> None:
    values = scores([0.9, 0.1], 200, np.random.default_rng(0))
    full = until_stable(values)
    gaps = np.full((2, 400), np.nan)
    gaps[:, ::2] = values
    assert until_stable(gaps).order == (0,)
    assert until_stable(gaps).probes >= 2 * MINIMUM - 1 > full.probes / 2
    values[1] = np.nan
    assert until_stable(values).probes is None


def test_all_may_be_asked_for() -> None:
    values = scores([0.9, 0.5, 0.1], 400, np.random.default_rng(0))
    assert until_stable(values, top=3).order == (0, 1, 2)


def test_the_margin_is_the_papers() -> None:
    rho = _rho_squared(0.025, 100)
    for t in (1, 30, 5000):
        expected = np.sqrt(
            2 * (t * rho + 1) / (t**2 * rho) * np.log(1 + np.sqrt(t * rho + 1) / 0.05)
        )
        assert margin(np.array([t]), 0.025, 100)[0] == pytest.approx(expected)
    # Wider than an interval for one look, and narrowest about where it was tuned.
    assert margin(np.array([100]), 0.025, 100)[0] > stats.norm.ppf(0.975) / 10
    best = optimize.minimize_scalar(
        lambda r: (100 * r + 1) / (100**2 * r) * np.log(np.sqrt(100 * r + 1) / 0.05),
        bounds=(1e-3, 1.0),
        method="bounded",
    ).x
    assert rho == pytest.approx(best, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top `0` of `2`"),
        ({"top": 3}, "top `3` of `2`"),
        ({"confidence": 1.0}, "confidence of `1.0`"),
        ({"confidence": 0.2}, "confidence of `0.2`"),
        ({"minimum": 1}, "`1` probes at least"),
    ],
)
def test_wrong_requests(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        until_stable(np.zeros((2, 50)), **options)
