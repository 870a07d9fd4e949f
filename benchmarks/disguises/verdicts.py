"""What an audit says of each suspect, from scores that are kept: nothing is run here.

The references are all of zoo A, as an auditor may have them, without the suspect; of models with
heads all victims. Independent models are given as they would be, with their tasks: zoo B, models of
other kinds and other seeds, and never the suspect or what it is a disguise of.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.disguises import pairs, plan
from benchmarks.disguises.figures import Scored
from benchmarks.disguises.making import WHOLE
from benchmarks.disguises.pairs import Suspect, name_of, reference_of
from onnxattr.lineage.finding import finding_of
from onnxattr.lineage.twins import assign
from onnxattr.lineage.verdict import decide
from onnxattr.pipeline.relations import Matches, relations
from onnxattr.types import LayerMatch, Relation, TensorMatch, WeightMatch
from samples.miniature.zoo import CONTROL, OTHERS, TASK_NAMES, ZOO_B

SEEDS = ("another seed", "a third seed", "a fourth seed", "same task, another seed")
"""Independent models that were made for the victims, beside zoo B and the other kinds."""

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Kept:
    """What behaviour says of pairs, as `pipeline.relations.Pairs` does, from kept scores."""

    rows: Rows
    references: Collection[str]

    def __call__(self, reference: str, other: str) -> Mapping[str, float] | None:
        """Return what each measure says, or None where it was not asked."""
        found: Mapping[str, float] | None = self._of(other, "behaviour").get(reference)
        if found is None:
            return None
        return {name: math.nan if value is None else value for name, value in found.items()}

    def has(self, reference: str, other: str) -> bool:
        """Return whether both were run."""
        return reference in self.references and reference in self._of(other, "alike")

    def alike(self, reference: str, other: str) -> float:
        """Return RSA of two models; NaN if unknown."""
        value = self._of(other, "alike").get(reference)
        return math.nan if value is None else float(value)

    def _of(self, other: str, part: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.rows.get(other, {}).get(part, {})
        return found


def scored(stored: Mapping[str, Rows], behaviour: Rows) -> list[Scored]:
    """Return all suspects of some victims with all their scores, and the verdicts.

    Args:
        stored: By victim, then by the suspect's name: what `scoring.read` returns.
        behaviour: What `scoring.behaviour` returns.
    """
    found = []
    given = {whole: independent(whole) for whole in (False, True)}
    for victim, rows in stored.items():
        matches = {name: _match(row["match"]) for name, row in rows.items() if "match" in row}
        for suspect in pairs.suspects(victim):
            row = rows.get(suspect.name)
            if row is None:
                continue
            numbers = _plain(row)
            weighed = _weighed(suspect, matches, behaviour)
            behaved = _behaved(suspect, behaviour, given[suspect.whole])
            if weighed.finding is not None:
                numbers["weights p"] = weighed.finding.p_value or math.nan
                numbers["weights floor"] = weighed.finding.floor
            blind = decide(list(behaved.values())) if behaved else None
            if about := behaved.get(weighed.reference):
                numbers |= {"behaviour": about.score, "p": about.p, "floor": about.floor}
                numbers |= {e.measure: e.headroom for e in about.behaviour}
            both = dict(behaved)
            both[weighed.reference] = dataclasses.replace(
                both.get(weighed.reference, weighed),
                match=weighed.match,
                finding=weighed.finding,
                identical=weighed.identical,
            )
            verdict = decide(list(both.values()))
            found.append(
                Scored(
                    suspect,
                    numbers,
                    verdict.kind if weighed.finding is not None else "",
                    verdict.reference,
                    blind.kind if blind else "",
                    blind.reference if blind else "",
                )
            )
    return found


def references(whole: bool) -> list[Path]:
    """Return what suspects with or without heads are held against."""
    victims = (*plan.TUNING, *plan.HELD_OUT) if whole else TASK_NAMES
    return [pairs.victim_of(task, whole) for task in victims]


def independent(whole: bool) -> dict[str, str]:
    """Return models that are given as independent, with the reference whose task they share."""
    found = {}
    if not whole:
        found = {f"zoo/{e.name}": f"zoo/{e.task}-a" for e in (*ZOO_B, *OTHERS) if e != CONTROL}
    for victim in (*plan.TUNING, *plan.HELD_OUT):
        for suspect in pairs.suspects(victim):
            if suspect.whole == whole and suspect.group.removesuffix(WHOLE) in SEEDS:
                found[suspect.name] = reference_of(victim, whole)
    return found


def _behaved(suspect: Suspect, rows: Rows, given: Mapping[str, str]) -> dict[str, Relation]:
    """Return the relation to each reference from behaviour alone, as in an audit."""
    own = _own(suspect)
    known = [name_of(path) for path in references(suspect.whole)]
    known = [name for name in known if name not in own]
    tasks = {name: task for name, task in given.items() if name not in own and name in rows}
    if suspect.name not in rows or any(name not in rows for name in known):
        return {}
    kept = Kept(rows, known)
    alike = {(r, t): kept.alike(r, t) for r in known for t in tasks}
    said = {name: (task,) for name, task in tasks.items() if task in known}
    _, of = assign(alike, known, list(said), declared=said)
    made = relations(suspect.name, known, of, kept, Matches({}), {}, {})
    return {each.reference: each for each in made if each.behaviour}


def _weighed(suspect: Suspect, matches: Mapping[str, WeightMatch], behaviour: Rows) -> Relation:
    """Return what the weights say of a suspect, and whether it computes the same."""
    reference = reference_of(suspect.victim, suspect.whole)
    function = reference in behaviour.get(suspect.name, {}).get("function", ())
    relation = Relation(reference, identical="function" if function else "")
    if (match := matches.get(suspect.name)) is None:
        return relation
    apart = [
        matches[other.name]
        for other in pairs.suspects(suspect.victim)
        if other.truth == "independent"
        and other.whole == suspect.whole
        and not (other.base or other.shares_start)
        and other.name not in _own(suspect)
        and other.name in matches
    ]
    return dataclasses.replace(relation, match=match, finding=finding_of(match, apart))


def _own(suspect: Suspect) -> set[str]:
    """Return the names of the suspect, and of what it is a disguise of."""
    return {suspect.name} | ({name_of(suspect.base)} if suspect.base else set())


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
    return {name: math.nan if value is None else float(value) for name, value in found.items()}
