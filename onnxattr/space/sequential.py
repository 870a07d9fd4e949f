"""When the probes seen so far decide the best sources of a target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import UsageError
from onnxattr.space.looks import bounds, planned_looks

#: Probes at least before anything is decided: means of fewer are too far from normal.
MINIMUM = 24

#: Two sources are tied when the probes that are left will tell them apart with less than this
#: probability, by what has been seen of them.
HOPELESS = 0.1

#: Cosines that differ by no more than this are equal, but for rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class StoppingRule:
    """What is to be decided before a ranking stops taking probes.

    Attributes:
        top: How many of the closest sources are to be told, in order.
        confidence: 0.5 to below 1: the probability of ever deciding on a wrong order is at most
            1 − confidence, for each target.
        minimum: Probes before which nothing is decided, 4 or more.

    Raises:
        UsageError: One of them is out of range.
    """

    top: int = 1
    confidence: float = 0.95
    minimum: int = MINIMUM

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UsageError(f"--top takes a whole number from 1, not `{self.top}`")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(
                f"--confidence takes a number from 0.5 to below 1, not `{self.confidence}`"
            )
        if self.minimum < 4:
            raise UsageError(f"`{self.minimum}` probes at least decide nothing", hint="4 or more")


@dataclass(frozen=True)
class Standing:
    """What is known of the sources of one target after so many probes.

    Attributes:
        probes: How many.
        order: The best sources, best first, by their means.
        decided: Whether each of these is above all that come behind.
        ties: Pairs, a place's source and one behind, that the probes left will hardly tell apart.
        playing: Sources that may still be among the best, best first.
        settled: Whether each place is decided or tied: there is nothing to wait for.
    """

    probes: int
    order: tuple[int, ...]
    decided: tuple[bool, ...]
    ties: tuple[tuple[int, int], ...]
    playing: tuple[int, ...]
    settled: bool


class Contest:
    """The sources of one target, looked at as the probes grow.

    Sources are compared by their differences on the same probes, in standard errors; Student's t
    is brought to the normal deviate of the same probability. The order is wrong only if one of the
    truly best was ever found below one that is truly behind it: of n sources these are Σ (n − r)
    pairs, r = 1..top, among which the error is divided (`bounds` divides it among the looks). A
    source that all of the best are found above is out, and need not be shown any further probes.

    A place is tied where its source and one behind will hardly be told apart by all the probes that
    there are: the predictive probability of that, from a mean of which nothing was known before
    (Spiegelhalter, Freedman & Blackburn 1986), is below `HOPELESS`. To stop for that costs
    decisions that would have been made, and never makes one.

    Args:
        sources: How many there are.
        looks: Planned numbers of probes, from `planned_looks`.
        wanted: What is to be decided.
    """

    def __init__(self, sources: int, looks: tuple[int, ...], wanted: StoppingRule) -> None:
        self._top = min(wanted.top, sources)
        pairs = sum(sources - r for r in range(1, min(self._top, sources - 1) + 1))
        self._looks = looks
        self._bounds = bounds(looks, (1 - wanted.confidence) / max(pairs, 1)) if looks else ()
        self._playing: tuple[int, ...] = tuple(range(sources))

    def look(self, scores: Float64, without: Sequence[int] = ()) -> Standing:
        """Returns what the probes so far say.

        Args:
            scores: Of all sources on the probes so far, [source, probe], as many as a planned look
                has, or any other number: then nothing is decided. NaN where there is none; two
                sources are compared on the probes that both have. Rows of sources that are out are
                not looked at.
            without: Sources that are gone for good.
        """
        count = scores.shape[1]
        means = _means(scores)
        # One that has no score on so many probes will have none.
        self._playing = tuple(i for i in self._playing if i not in without and means[i] > -np.inf)
        rest = sorted(self._playing, key=lambda i: (-means[i], i))
        place = self._looks.index(count) if count in self._looks else None
        decided, ties, settled = [], [], True
        beaten = dict.fromkeys(rest, 0)
        for position, leader in enumerate(rest[: self._top]):
            behind = rest[position + 1 :]
            if place is None:
                above = np.zeros(len(behind), bool)
                tied = above
            else:
                clear = _clear(scores[leader] - scores[behind])
                above = clear > self._bounds[place]
                tied = ~above & (self._chance(clear, place) < HOPELESS)
            for source, certain in zip(behind, above, strict=True):
                beaten[source] += bool(certain)
            decided.append(bool(above.all()) and place is not None)
            ties += [(leader, behind[i]) for i in np.flatnonzero(tied)]
            settled &= decided[-1] or bool(tied.any())
        self._playing = tuple(source for source in rest if beaten[source] < self._top)
        order = tuple(rest[: self._top])
        return Standing(count, order, tuple(decided), tuple(ties), self._playing, settled)

    def _chance(self, clear: Float64, place: int) -> Float64:
        """Returns the predictive probability to pass the last bound, of each difference."""
        from scipy.special import ndtr

        share = self._looks[place] / self._looks[-1]
        if share == 1:
            return np.zeros(len(clear))
        # Of √share · z after all probes: normal about z, with variance 1 − share.
        wanted = self._bounds[-1] * np.sqrt(share)
        chance: Float64 = ndtr((clear - wanted) / np.sqrt(1 - share))
        # Two files of the same bytes are never told apart.
        chance[clear == 0] = 0.0
        chance[np.isneginf(clear)] = 1.0  # Nothing is known of these yet.
        return chance


def until_stable(scores: Float64, wanted: StoppingRule | None = None) -> Standing:
    """Returns what is known of the best sources at the look after which nothing is to wait for.

    Probes must come in random order, and each score be of its probe alone: cosines of uncentred
    maps are; of centred ones nearly, if the mean map is of the probes so far; pseudo-values are
    not.

    Args:
        scores: Of each source on each probe for one target, [source, probe]; NaN where there is
            none.
        wanted: What is to be decided.
    """
    wanted = wanted or StoppingRule()
    sources, probes = scores.shape
    looks = planned_looks(wanted.minimum, probes)
    contest = Contest(sources, looks, wanted)
    for count in looks or (probes,):
        standing = contest.look(scores[:, :count])
        if standing.settled:
            break
    return standing


def _clear(difference: Float64) -> Float64:
    """Returns how many standard errors the mean of each row lies above zero, [row].

    0 of a row that is zero; ±∞ of one that is another constant; −∞ of one with fewer than two
    probes, of which nothing is known.
    """
    from scipy.special import ndtri, stdtr

    usable = ~np.isnan(difference)
    count = usable.sum(axis=1)
    filled = np.where(usable, difference, 0.0)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    squares = (np.where(usable, difference - mean[:, None], 0.0) ** 2).sum(axis=1)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    constant = deviation <= _ROUNDING
    mean[constant & (np.abs(mean) <= _ROUNDING)] = 0.0
    error = np.where(constant, 0.0, deviation / np.sqrt(np.maximum(count, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        student = np.where(mean == 0, 0.0, mean / error)
    # By the smaller tail, which is the exact one.
    clear: Float64 = -np.sign(student) * ndtri(stdtr(np.maximum(count - 1, 1), -np.abs(student)))
    clear[count < 2] = -np.inf
    return clear


def _means(scores: Float64) -> Float64:
    """Returns the mean of each source, [source]; −∞ of none."""
    usable = ~np.isnan(scores)
    total, seen = np.where(usable, scores, 0.0).sum(axis=1), usable.sum(axis=1)
    means: Float64 = np.divide(total, seen, out=np.full(len(scores), -np.inf), where=seen > 0)
    return means
