"""What an audit says of each suspect, from scores that are kept: nothing is run here.

The victim is the reference. Independent models are given to it as they would be: those that were
trained apart, from other seeds, and never the suspect or what the suspect is a disguise of.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.disguises import pairs
from benchmarks.disguises.figures import Scored
from benchmarks.disguises.pairs import SAME_TASK, Suspect
from onnxattr.lineage import calibration
from onnxattr.lineage.finding import finding_of
from onnxattr.lineage.verdict import decide
from onnxattr.types import LayerMatch, Relation, TensorMatch, WeightMatch

STRANGERS = 5
"""Models of other tasks that stand for what any two have in common, as in an audit."""

Rows = Mapping[str, Mapping[str, Any]]


def scored(stored: Mapping[str, Rows]) -> list[Scored]:
    """Return all suspects of some victims with all their scores, and the verdict.

    Args:
        stored: By victim, then by the suspect's name: what `scoring.read` returns.
    """
    likeness = {
        (victim, name): row["behaviour"]
        for victim, rows in stored.items()
        for name, row in rows.items()
        if "behaviour" in row and _complete(victim, rows)
    }
    twins = {v: _given(v, SAME_TASK, likeness) for v in stored}
    strangers = {v: _given(v, ("another task",), likeness)[:STRANGERS] for v in stored}
    found = []
    for victim, rows in stored.items():
        for suspect in pairs.suspects(victim):
            row = rows.get(suspect.name)
            if row is None:
                continue
            relation = _weighed(suspect, rows)
            relation = _behaved(relation, suspect, likeness, twins, strangers)
            numbers = _plain(row)
            if relation.finding is not None:
                numbers["weights p"] = relation.finding.p_value or math.nan
                numbers["weights floor"] = relation.finding.floor
            if (victim, suspect.name) in likeness:
                numbers |= {"behaviour": relation.score, "p": relation.p, "floor": relation.floor}
            verdict = decide([relation]).kind if relation.finding is not None else ""
            found.append(Scored(suspect, numbers, verdict))
    return found


def _complete(victim: str, rows: Rows) -> bool:
    """Return whether all independent models of a victim were run: no baseline is known before."""
    return all(
        "behaviour" in rows.get(one.name, {}) or "reason" in rows.get(one.name, {})
        for one in pairs.suspects(victim)
        if one.truth == "independent"
    )


def _given(
    victim: str, groups: Sequence[str], likeness: Mapping[tuple[str, str], Any]
) -> list[str]:
    """Return the independent models of some groups that are not disguised and share no start."""
    return [
        one.name
        for one in pairs.suspects(victim)
        if one.group in groups and not one.shares_start and (victim, one.name) in likeness
    ]


def _weighed(suspect: Suspect, rows: Rows) -> Relation:
    """Return what the weights say of a suspect, and whether it computes the same."""
    row = rows[suspect.name]
    same = "function" if row.get("function") else ""
    if "match" not in row:
        return Relation(suspect.victim, identical=same)
    apart = [
        _match(rows[other.name]["match"])
        for other in pairs.suspects(suspect.victim)
        if other.truth == "independent"
        and not (other.base or other.shares_start)
        and other.name not in _own(suspect)
        and "match" in rows.get(other.name, {})
    ]
    match = _match(row["match"])
    return Relation(suspect.victim, identical=same, match=match, finding=finding_of(match, apart))


def _behaved(
    relation: Relation,
    suspect: Suspect,
    likeness: calibration.Likeness,
    twins: Mapping[str, Sequence[str]],
    strangers: Mapping[str, Sequence[str]],
) -> Relation:
    """Return the relation with what behaviour says, the suspect not among the independent."""
    victim = suspect.victim
    if (victim, suspect.name) not in likeness:
        return relation
    left = {v: [name for name in names if name not in _own(suspect)] for v, names in twins.items()}
    null = calibration.null_scores(likeness, left, strangers)
    value = calibration.score(likeness, victim, suspect.name, left[victim], strangers[victim])
    return dataclasses.replace(
        relation,
        behaviour=value.evidence,
        score=value.combined,
        p=calibration.conformal(value.combined, null),
        floor=calibration.floor(null),
        twins=tuple(left[victim]),
    )


def _own(suspect: Suspect) -> set[str]:
    """Return the names of the suspect, and of what it is a disguise of."""
    return {suspect.name} | ({pairs.name_of(suspect.base)} if suspect.base else set())


def _match(stored: Mapping[str, Any]) -> WeightMatch:
    """Return what `dataclasses.asdict` and JSON made of it, as it was."""
    profile = tuple(
        LayerMatch(**{**layer, "shape": tuple(layer["shape"])}) for layer in stored["profile"]
    )
    tensors = tuple(
        TensorMatch(**{**one, "shape": tuple(one["shape"])}) for one in stored["tensors"]
    )
    return WeightMatch(**{**stored, "profile": profile, "tensors": tensors})


def _plain(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a stored row by name; NaN where a score says nothing."""
    found: dict[str, Any] = {}
    if match := row.get("match"):
        found = {"weights": match["late"], "early": match["early"], "marks": match["marks"]}
    found |= {name: row[name] for name in ("zest", "zest, matched", "modeldiff") if name in row}
    found |= row.get("behaviour", {})
    return {name: math.nan if value is None else float(value) for name, value in found.items()}
