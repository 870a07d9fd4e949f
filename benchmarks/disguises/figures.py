"""From scores of pairs to what a table says: shares found, areas under curves, accusations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.disguises.pairs import Suspect


@dataclass(frozen=True)
class Scored:
    """A suspect with its numbers.

    Attributes:
        suspect: Who.
        values: By the name of the score; higher is closer to the victim. NaN where the score says
            nothing, which accuses nobody; a score that was not made is not there, and not counted.
        verdict: What an audit says; '' where there was none.
    """

    suspect: Suspect
    values: Mapping[str, float]
    verdict: str = ""


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
        verdicts: By verdict, the share that an audit gives it.
    """

    group: str
    truth: str
    count: int
    made: Mapping[str, int] = field(default_factory=dict)
    area: Mapping[str, float] = field(default_factory=dict)
    accused: Mapping[str, float] = field(default_factory=dict)
    verdicts: Mapping[str, float] = field(default_factory=dict)


def area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the chance that a positive score is above a negative one, ties half (AUC).

    A missing score is below all others: nothing is found by it.
    """
    if not len(positive) or not len(negative):
        return math.nan
    high, low = (np.nan_to_num(np.asarray(v, float), nan=-np.inf) for v in (positive, negative))
    above = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    return float(above)


def thresholds(tuning: Iterable[Scored], scores: Sequence[str]) -> dict[str, float]:
    """Return, for each score, the highest of any independent model of a tuning victim, or NaN."""
    highest = dict.fromkeys(scores, math.nan)
    for one in tuning:
        if one.suspect.truth == "independent":
            for name in scores:
                highest[name] = float(np.fmax(highest[name], one.values.get(name, math.nan)))
    return highest


def rows(scored: Sequence[Scored], limits: Mapping[str, float]) -> list[Row]:
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
            {n: sum(n in one.values for one in found) for n in limits},
            {} if truth == "independent" else {n: _area(found, scored, n) for n in limits},
            {
                n: _share(
                    one.values[n] > limit
                    for one in found
                    if n in one.values and not math.isnan(limit)
                )
                for n, limit in limits.items()
            },
            _verdicts(found),
        )
        for (truth, group), found in groups.items()
    ]


def _area(found: Sequence[Scored], scored: Sequence[Scored], name: str) -> float:
    areas = []
    for victim in dict.fromkeys(one.suspect.victim for one in found):
        positive = _values(found, victim, name)
        apart = [one for one in scored if one.suspect.truth == "independent"]
        if not all(map(math.isnan, positive)):
            areas.append(area(positive, _values(apart, victim, name)))
    return float(np.mean(areas)) if areas else math.nan


def _values(some: Sequence[Scored], victim: str, name: str) -> list[float]:
    return [one.values[name] for one in some if one.suspect.victim == victim and name in one.values]


def _share(flags: Iterable[bool]) -> float:
    known = list(flags)
    return float(np.mean(known)) if known else math.nan


def _verdicts(found: Sequence[Scored]) -> dict[str, float]:
    names = [one.verdict for one in found if one.verdict]
    return {name: names.count(name) / len(names) for name in sorted(set(names))}
