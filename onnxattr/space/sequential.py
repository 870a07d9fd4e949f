"""When the probes seen so far decide the best sources of a target, looked at after each one."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64
from onnxattr.errors import UsageError

Truths = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.integer[Any]]

#: Probes at least before anything is decided. The sequence is valid as the number of probes grows;
#: with few, a variance that came out too small by chance decides.
MINIMUM = 30


@dataclass(frozen=True)
class Decision:
    """Whether and when the order of the best sources was decided.

    Attributes:
        probes: Number of probes after which it was, or None.
        order: The best sources, best first; of an undecided one, those of all probes.
        confidence: At which it was decided: over all looks, the probability of any order but the
            true one is at most 1 − confidence, as the number of probes grows.
        seen: Number of probes that were looked at.
    """

    probes: int | None
    order: tuple[int, ...]
    confidence: float
    seen: int


def until_stable(
    scores: Float64,
    *,
    top: int = 1,
    confidence: float = 0.95,
    minimum: int = MINIMUM,
    ordered: bool = True,
) -> Decision:
    """Returns after which probe the order of the best sources is decided.

    The rule may be asked after every probe: differences between two sources on the same probe are
    held against an asymptotic confidence sequence (`margin`). The order is decided once each of the
    best is above all that come behind it. It is wrong only if one of the truly best was found below
    one that is truly behind it: of n sources these are Σ (n − r) pairs, r = 1..top, among which the
    error is divided.

    Probes must come in random order, and each score must be of its probe alone: cosines of
    uncentred maps are; of centred ones nearly, if the mean map is of the probes so far;
    pseudo-values are not.

    Args:
        scores: Of each source on each probe for one target, [source, probe]; NaN where there is
            none: two sources are compared on the probes that both have.
        top: How many of the best are to be told, 1 to all.
        confidence: 0..1, exclusive.
        minimum: Probes before which nothing is decided.
        ordered: Whether the best must be told apart from each other as well.

    Raises:
        UsageError: `top`, `confidence` or `minimum` is out of range.
    """
    count, probes = scores.shape
    _check(count, top, confidence, minimum)
    means = _running_means(scores)
    final = sorted(range(count), key=lambda i: (-means[i, -1], i))[:top] if probes else []
    undecided = Decision(None, tuple(final), confidence, probes)
    if count == 1 or probes < minimum:
        done = count == 1 and probes >= minimum
        return Decision(minimum, (0,), confidence, probes) if done else undecided
    pairs = sum(count - r for r in range(1, min(top, count - 1) + 1))
    # Sources that were never among the best by their mean are compared with these, not among each
    # other: of thousands of sources few are left, and no decision is made that would not be.
    firsts = np.argpartition(-means[:, minimum - 1 :], top - 1, axis=0)[:top]
    candidates = np.unique(firsts)
    tuned = max(minimum, probes // 4)
    above = leads(scores, candidates, (1 - confidence) / pairs, minimum, tuned)
    for look in range(minimum, probes + 1):
        best = _first(above[look - 1], candidates, top, ordered)
        if best is not None:
            return Decision(look, best, confidence, probes)
    return undecided


def leads(scores: Float64, candidates: Indices, error: float, minimum: int, tuned: int) -> Truths:
    """Returns whether a candidate is above a source for certain, [probe, candidate, source].

    Once it is, it remains so: a confidence sequence holds at all times at once.

    Args:
        scores: [source, probe]; NaN where there is none.
        candidates: Sources whose differences from all others are looked at, [candidate].
        error: Probability that a source is ever found above another that it is not above.
        minimum: Probes that two have in common before anything is decided.
        tuned: Number of probes at which to decide with the smallest difference.
    """
    above = np.zeros((scores.shape[1], len(candidates), len(scores)), bool)
    for place, candidate in enumerate(candidates):
        difference = scores[candidate] - scores
        usable = ~np.isnan(difference)
        filled = np.where(usable, difference, 0.0)
        seen = usable.cumsum(axis=1)
        count = np.maximum(seen, 1)
        mean = filled.cumsum(axis=1) / count
        variance = np.clip((filled**2).cumsum(axis=1) / count - mean**2, 0.0, None)
        # Two sources that differ by a constant have no variance, and are decided at once.
        variance[variance <= 1e-12 * mean**2] = 0.0
        deviation = np.sqrt(variance * count / np.maximum(count - 1, 1))
        decided = (seen >= minimum) & (mean > deviation * margin(count, error, tuned))
        above[:, place] = np.logical_or.accumulate(decided, axis=1).T
    return above


def margin(seen: Float64 | Indices, error: float, tuned: int) -> Float64:
    """Returns the half-width of a one-sided confidence sequence, in standard deviations.

    Waudby-Smith et al. 2024 (*Time-uniform central limit theory and asymptotic confidence
    sequences*): √(2 (tρ² + 1) / (t²ρ²) · log(1 + √(tρ² + 1) / 2α)) after t probes, from the
    one-sided normal mixture of Howard et al. 2021. The probability that the mean ever lies outside
    is at most α, whenever one looks, as the number of probes before the first look grows.

    Args:
        seen: t, number of probes, 1 or more.
        error: α, 0..½.
        tuned: The t at which the margin is about as narrow as it can be.
    """
    t = np.maximum(np.asarray(seen, np.float64), 1.0)
    scaled = t * _rho_squared(error, tuned) + 1
    result: Float64 = np.sqrt(
        2 * scaled / (t * (scaled - 1)) * np.log1p(np.sqrt(scaled) / (2 * error))
    )
    return result


@lru_cache(maxsize=64)
def _rho_squared(error: float, tuned: int) -> float:
    """Returns ρ² for the narrowest two-sided margin of error 2α at a time."""
    twice = -2 * np.log(2 * error)
    return float((twice + np.log(twice + 1)) / tuned)


def _first(above: Truths, candidates: Indices, top: int, ordered: bool) -> tuple[int, ...] | None:
    """Returns the best sources, best first, or None where they are not decided.

    Args:
        above: Whether a candidate is above a source, [candidate, source].
        candidates: The sources that they are.
        top: How many are asked for.
        ordered: Whether in order.
    """
    wins = above.sum(axis=1)
    order = sorted(range(len(candidates)), key=lambda c: (-int(wins[c]), c))[:top]
    behind = np.ones(above.shape[1], bool)
    if not ordered:
        behind[candidates[order]] = False
    for place in order:
        behind[candidates[place]] = False
        if not above[place, behind].all():
            return None
    return tuple(int(candidates[place]) for place in order)


def _running_means(scores: Float64) -> Float64:
    """Returns the mean of each source over the first probes, [source, probe]; −∞ of none."""
    usable = ~np.isnan(scores)
    total, seen = np.where(usable, scores, 0.0).cumsum(axis=1), usable.cumsum(axis=1)
    means: Float64 = np.divide(total, seen, out=np.full(scores.shape, -np.inf), where=seen > 0)
    return means


def _check(count: int, top: int, confidence: float, minimum: int) -> None:
    if not 1 <= top <= max(count, 1):
        raise UsageError(f"the top `{top}` of `{count}` sources cannot be told")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"a confidence of `{confidence}` cannot be kept", hint="0.5 to below 1")
    if minimum < 2:
        raise UsageError(f"`{minimum}` probes at least decide nothing", hint="2 or more do")
