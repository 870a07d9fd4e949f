"""What is known of a suspect and each reference, put together from weights and behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxattr.lineage import calibration
from onnxattr.lineage.behaviour import MEASURES, Traces, compare, release, representations
from onnxattr.lineage.calibration import LEAST_TWINS, conformal, floor, null_scores
from onnxattr.lineage.finding import finding_of
from onnxattr.lineage.twins import UNLIKE
from onnxattr.lineage.twins import likeness as likeness_of
from onnxattr.lineage.weights import match_weights
from onnxattr.types import BehaviourEvidence, Relation, Weighed, WeightMatch

#: Other references that stand for what any two models have in common.
STRANGERS = 5

#: Two models compute the same if all numbers agree to this, as a part of the largest.
SAME_FUNCTION = 1e-5

#: And if these are so many, not counting zeros: half of them, but no less than the first, and the
#: second are enough. Independent models that say one of ten things of a probe may well agree.
VALUES = (8, 64)


class Pairs:
    """What behaviour says of pairs of models, each computed once.

    Args:
        own: Traces of the references, by name.
        others: Traces of other models, as they are fed for a reference, by its name and theirs.
    """

    def __init__(self, own: Mapping[str, Traces], others: Mapping[tuple[str, str], Traces]) -> None:
        self._own, self._others = own, others
        self._known: dict[tuple[int, int], dict[str, float]] = {}
        self._last: Traces | None = None

    def __call__(self, reference: str, other: str) -> dict[str, float] | None:
        """Returns what each measure says, or None where one of the two was not run."""
        one = self._own.get(reference)
        two = self._other(reference, other)
        if one is None or two is None:
            return None
        key = (id(one), id(two))
        if key not in self._known:
            self._known[key] = compare(one, two)
            # References come one after another, each with all models: only the last one is kept.
            for done in {two, self._last or two} - {one}:
                release(done)
            self._last = one
        return self._known[key]

    def has(self, reference: str, other: str) -> bool:
        """Returns whether both were run."""
        return reference in self._own and self._other(reference, other) is not None

    def alike(self, reference: str, other: str) -> float:
        """Returns how much two seem to do the same task, see `twins.likeness`; NaN if unknown."""
        one, two = self._own.get(reference), self._other(reference, other)
        value = None if one is None or two is None else representations(one, two)
        return float("nan") if value is None else value

    def _other(self, reference: str, other: str) -> Traces | None:
        return self._others.get((reference, other)) or self._own.get(other)


class Matches:
    """How weights of pairs of models agree, each computed once.

    Args:
        weighed: Weights by name, of the models that have any.
    """

    def __init__(self, weighed: Mapping[str, Weighed]) -> None:
        self._weighed = weighed
        self._known: dict[tuple[str, str], WeightMatch] = {}

    def __call__(self, suspect: str, reference: str) -> WeightMatch | None:
        """Returns how they agree, or None where one of the two has none."""
        pair = (suspect, reference)
        if any(name not in self._weighed for name in pair):
            return None
        if pair not in self._known:
            one, other = (self._weighed[name].weights for name in pair)
            self._known[pair] = match_weights(one, other, pair)
        return self._known[pair]


def relations(
    suspect: str,
    references: Sequence[str],
    twins: Mapping[str, Sequence[str]],
    pairs: Pairs,
    matches: Matches,
    identical: Mapping[str, str],
    fed: Mapping[str, str],
    independent: Sequence[str] = (),
) -> tuple[Relation, ...]:
    """Returns what is known of the suspect and each reference.

    Args:
        suspect: Its name.
        references: Their names.
        twins: Of each reference, the independent models of its task that could be run.
        pairs: What behaviour says.
        matches: How weights agree.
        identical: By what a reference is the same as the suspect.
        fed: How the suspect was fed to be compared with a reference.
        independent: All models that are given as independent of the references.
    """
    run = [r for r in references if pairs.has(r, r)]
    counted = {r: [t for t in twins.get(r, ()) if pairs.has(r, t)] for r in run}
    judging = [r for r in run if len(counted[r]) >= LEAST_TWINS]
    strangers = {r: [o for o in run if o != r][:STRANGERS] for r in judging}
    given = dict.fromkeys(name for reference in judging for name in counted[reference])
    likeness = {}
    for reference in run:
        others = [suspect]
        if reference in judging:
            known = counted[reference]
            others += [t for t in given if t in known or pairs.alike(reference, t) >= UNLIKE]
            others += strangers[reference]
        for other in others:
            if (found := pairs(reference, other)) is not None:
                likeness[reference, other] = found
    null = null_scores(likeness, counted, strangers)
    apart = _independent_matches(references, independent, matches)
    made = []
    for reference in references:
        match = matches(suspect, reference)
        rest = [pair for pair in apart if reference in (pair.suspect, pair.reference)] or apart
        concluded = finding_of(match, rest) if match else None
        relation = Relation(
            reference=reference,
            identical=identical.get(reference, ""),
            match=match,
            finding=concluded,
            fed=fed.get(reference, ""),
        )
        if (reference, suspect) in likeness:
            relation = _judged(relation, suspect, likeness, counted, strangers, null)
        made.append(relation)
    return tuple(made)


def same_function(one: Traces, other: Traces) -> bool:
    """Whether two models made the same of every probe, up to rounding.

    Where they make the same of all probes, or say one of a few things as classes and trees do,
    agreement tells nothing: see `VALUES`.
    """
    if one.representation is None or other.representation is None:
        return False
    pairs = [(one.representation, other.representation)]
    told = one.representation[one.representation != 0]
    least, enough = VALUES
    if len(np.unique(told)) < min(enough, max(least, told.size // 2)):
        return False
    if (one.outputs is None) != (other.outputs is None):
        return False
    if one.outputs is not None and other.outputs is not None:
        pairs.append((one.outputs, other.outputs))
    for a, b in pairs:
        if a.shape != b.shape or (a == a[:1]).all():
            return False
        if float(np.abs(a - b).max()) > SAME_FUNCTION * float(np.abs(a).max()):
            return False
    return True


def _judged(
    relation: Relation,
    suspect: str,
    likeness: calibration.Likeness,
    twins: Mapping[str, Sequence[str]],
    strangers: Mapping[str, Sequence[str]],
    null: Sequence[float],
) -> Relation:
    """Returns a relation with what behaviour says; a score only where there are twins."""
    reference = relation.reference
    known = twins[reference]
    if len(known) < LEAST_TWINS or not likeness_of(likeness[reference, suspect]) >= UNLIKE:
        nothing = float("nan")
        values = likeness[reference, suspect]
        evidence = tuple(
            BehaviourEvidence(name, values[name], nothing, nothing, measure.decides)
            for name, measure in MEASURES.items()
        )
        return replace(relation, behaviour=evidence, twins=tuple(known))
    found = calibration.score(likeness, reference, suspect, known, strangers[reference])
    return replace(
        relation,
        behaviour=found.evidence,
        score=found.combined,
        p=conformal(found.combined, null),
        floor=floor(null),
        twins=tuple(known),
    )


def _independent_matches(
    references: Sequence[str], independent: Sequence[str], matches: Matches
) -> list[WeightMatch]:
    """Returns how weights of models agree that are known to have been trained apart."""
    return [
        match
        for reference in references
        for other in independent
        if (match := matches(other, reference)) is not None
    ]
