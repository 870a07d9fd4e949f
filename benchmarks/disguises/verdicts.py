"""What an audit says of each suspect, from scores that are kept: nothing is run here.

The victim is the reference. Independent models are given to it as they would be: those that were
trained apart, from other seeds, and never the suspect or what the suspect is a disguise of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.disguises import pairs
from benchmarks.disguises.figures import Scored
from benchmarks.disguises.pairs import SAME_TASK, Suspect
from onnxattr.lineage import calibration

STRANGERS = 5
"""Models of other tasks that stand for what any two have in common, as in an audit."""

Rows = Mapping[str, Mapping[str, Any]]


def scored(stored: Mapping[str, Rows]) -> list[Scored]:
    """Return all suspects of some victims with all their scores.

    Args:
        stored: By victim, then by the suspect's name: what `scoring.read` returns.
    """
    likeness, twins, strangers = {}, {}, {}
    for victim, rows in stored.items():
        for name, row in rows.items():
            if "behaviour" in row:
                likeness[victim, name] = row["behaviour"]
        twins[victim] = _given(victim, SAME_TASK, likeness)
        strangers[victim] = _given(victim, ("another task",), likeness)[:STRANGERS]
    found = []
    for victim, rows in stored.items():
        for suspect in pairs.suspects(victim):
            if suspect.name in rows:
                behaviour = _behaviour(suspect, likeness, twins, strangers)
                found.append(Scored(suspect, {**_plain(rows[suspect.name]), **behaviour}))
    return found


def _given(
    victim: str, groups: Sequence[str], likeness: Mapping[tuple[str, str], Any]
) -> list[str]:
    """Return the independent models of some groups that are not disguised and share no start."""
    return [
        one.name
        for one in pairs.suspects(victim)
        if one.group in groups and not one.shares_start and (victim, one.name) in likeness
    ]


def _behaviour(
    suspect: Suspect,
    likeness: calibration.Likeness,
    twins: Mapping[str, Sequence[str]],
    strangers: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Return the score of behaviour and its p-value, without the suspect among the independent."""
    if (suspect.victim, suspect.name) not in likeness:
        return {"behaviour": math.nan, "p": math.nan}
    own = {suspect.name} | ({pairs.name_of(suspect.base)} if suspect.base else set())
    left = {victim: [name for name in names if name not in own] for victim, names in twins.items()}
    null = calibration.null_scores(likeness, left, strangers)
    value = calibration.score(
        likeness, suspect.victim, suspect.name, left[suspect.victim], strangers[suspect.victim]
    )
    return {
        "behaviour": value.combined,
        "p": calibration.conformal(value.combined, null),
        "floor": calibration.floor(null),
    }


def _plain(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a stored row by name, NaN for what there is not."""
    match = row.get("match", {})
    found = {"weights": match.get("late"), "early": match.get("early"), "marks": match.get("marks")}
    found |= {name: row.get(name) for name in ("zest", "zest, matched", "modeldiff")}
    found |= row.get("behaviour", {})
    return {name: math.nan if value is None else float(value) for name, value in found.items()}
