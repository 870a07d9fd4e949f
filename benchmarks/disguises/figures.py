"""From scores of pairs to what a table says: shares found, areas under curves, accusations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from benchmarks.disguises.pairs import Suspect, reference_of
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL

CAUGHT = (IDENTICAL, DERIVED)

Limits: TypeAlias = Mapping[bool, Mapping[str, float]]
"""Thresholds by whether models have their heads, and by the name of the score."""


@dataclass(frozen=True)
class Scored:
    """A suspect with its numbers.

    Attributes:
        suspect: Who.
        values: By the name of the score; higher is closer to the victim. NaN where the score says
            nothing, which accuses nobody; a score that was not made is not there, and not counted.
        verdict: What an audit says of it and all references; '' where there was none.
        about: The reference that the verdict is about.
        alone: What it says from behaviour alone.
        alone_about: The reference that this is about.
    """

    suspect: Suspect
    values: Mapping[str, float]
    verdict: str = ""
    about: str = ""
    alone: str = ""
    alone_about: str = ""

    @property
    def caught(self) -> bool:
        """Whether the audit says that it comes from its victim."""
        return self.verdict in (*CAUGHT, CLOSER) and self._is_right(self.about)

    @property
    def caught_alone(self) -> bool:
        """Whether behaviour alone says that it is closer to its victim."""
        return self.alone == CLOSER and self._is_right(self.alone_about)

    @property
    def wronged(self) -> bool:
        """Whether the audit says that it comes from what it does not come from."""
        return self.verdict in (*CAUGHT, CLOSER) and not self._is_right(self.about)

    @property
    def wronged_alone(self) -> bool:
        """Whether behaviour alone says that it is closer to what it does not come from."""
        return self.alone == CLOSER and not self._is_right(self.alone_about)

    def _is_right(self, about: str) -> bool:
        victim = self.suspect.victim if self.suspect.truth != "independent" else ""
        whole = self.suspect.whole
        return about in {reference_of(v, whole) for v in (victim, self.suspect.ancestor) if v}


@dataclass(frozen=True)
class Row:
    """One group of suspects.

    Attributes:
        group: The disguise, or the kind of independent model.
        truth: What they are.
        count: How many.
        made: By score, how many of them have it, be it NaN.
        area: By score, the chance that one of them is closer than an independent model is, the
            mean over the victims; NaN where none has the score. There is none of independent ones.
        accused: By score, the share that is above the threshold.
        audited: How many have a verdict.
        alone: How many have one from behaviour alone.
        caught, caught_alone: How many are rightly said to come from a victim.
        wronged, wronged_alone: How many are said to come from what they do not come from.
    """

    group: str
    truth: str
    count: int
    made: Mapping[str, int] = field(default_factory=dict)
    area: Mapping[str, float] = field(default_factory=dict)
    accused: Mapping[str, float] = field(default_factory=dict)
    audited: int = 0
    alone: int = 0
    caught: int = 0
    caught_alone: int = 0
    wronged: int = 0
    wronged_alone: int = 0


def area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the chance that a positive score is above a negative one, ties half (AUC).

    A missing score is below all others: nothing is found by it.
    """
    if not len(positive) or not len(negative):
        return math.nan
    high, low = (np.nan_to_num(np.asarray(v, float), nan=-np.inf) for v in (positive, negative))
    above = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    return float(above)


def thresholds(tuning: Iterable[Scored], scores: Sequence[str]) -> Limits:
    """Return, for each score, the highest of any independent model of a tuning victim, or NaN.

    Models with and without heads have thresholds of their own: answers to one task are alike.
    """
    highest = {whole: dict.fromkeys(scores, math.nan) for whole in (False, True)}
    for one in tuning:
        if one.suspect.truth == "independent":
            known = highest[one.suspect.whole]
            for name in scores:
                known[name] = float(np.fmax(known[name], one.values.get(name, math.nan)))
    return highest


def rows(scored: Sequence[Scored], limits: Limits) -> list[Row]:
    """Return a row for each group, in the order in which they come.

    Args:
        scored: Suspects of the victims that are reported on.
        limits: From `thresholds`; what is above is accused.
    """
    groups: dict[tuple[str, str], list[Scored]] = {}
    for one in scored:
        groups.setdefault((one.suspect.truth, one.suspect.group), []).append(one)
    return [
        Row(
            group,
            truth,
            len(found),
            {n: sum(n in one.values for one in found) for n in bounds},
            {} if truth == "independent" else {n: _area(found, scored, n) for n in bounds},
            {
                n: _share(
                    one.values[n] > limit
                    for one in found
                    if n in one.values and not math.isnan(limit)
                )
                for n, limit in bounds.items()
            },
            sum(bool(one.verdict) for one in found),
            sum(bool(one.alone) for one in found),
            sum(one.caught for one in found),
            sum(one.caught_alone for one in found),
            sum(one.wronged for one in found),
            sum(one.wronged_alone for one in found),
        )
        for (truth, group), found in groups.items()
        for bounds in [limits[found[0].suspect.whole]]
    ]


def _area(found: Sequence[Scored], scored: Sequence[Scored], name: str) -> float:
    areas = []
    for victim in dict.fromkeys(one.suspect.victim for one in found):
        positive = _values(found, victim, name)
        apart = [
            one
            for one in scored
            if one.suspect.truth == "independent" and one.suspect.whole == found[0].suspect.whole
        ]
        if not all(map(math.isnan, positive)):
            areas.append(area(positive, _values(apart, victim, name)))
    return float(np.mean(areas)) if areas else math.nan


def _values(some: Sequence[Scored], victim: str, name: str) -> list[float]:
    return [one.values[name] for one in some if one.suspect.victim == victim and name in one.values]


def _share(flags: Iterable[bool]) -> float:
    known = list(flags)
    return float(np.mean(known)) if known else math.nan
