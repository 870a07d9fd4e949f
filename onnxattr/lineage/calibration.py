"""What a likeness is worth: measured against independent models of the same task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxattr.lineage.behaviour import MEASURES, combined, headroom
from onnxattr.types.audit import BehaviourEvidence

#: Independent models of a reference's task from which on a model is judged against it: a single one
#: may be an odd one, and would itself have none to be measured by.
LEAST_TWINS = 2

#: What `behaviour.compare` says of a reference and another model, by the names of the two.
Likeness = Mapping[tuple[str, str], Mapping[str, float]]


@dataclass(frozen=True)
class Score:
    """One model against one reference, with what independent models leave.

    Attributes:
        evidence: Each measure.
        combined: All that decide, in one number; NaN where there is no baseline.
    """

    evidence: tuple[BehaviourEvidence, ...]
    combined: float


def score(
    likeness: Likeness, reference: str, other: str, twins: Sequence[str], strangers: Sequence[str]
) -> Score:
    """Returns how much closer a model is to a reference than independent models are.

    The baseline of each measure is the best of the twins, and not below the mean of the strangers.

    Args:
        likeness: Of all pairs that are asked for.
        reference: A known model.
        other: The model that is judged.
        twins: Independent models of the reference's task, `other` not among them.
        strangers: Other models that are not derived from the reference, as of other tasks.
    """
    found, headrooms = [], {}
    for name, measure in MEASURES.items():
        value = likeness[reference, other][name]
        baseline = _baseline(likeness, reference, name, twins, strangers)
        above = headroom(value, baseline)
        headrooms[name] = above
        found.append(BehaviourEvidence(name, value, baseline, above, measure.decides))
    return Score(tuple(found), combined(headrooms))


def null_scores(
    likeness: Likeness, twins: Mapping[str, Sequence[str]], strangers: Mapping[str, Sequence[str]]
) -> tuple[float, ...]:
    """Returns the scores of all independent models, each as if it were the suspect, ascending.

    A suspect is held against every reference, and its highest score is what speaks against it. So
    each independent model is held against every reference, too, and its highest score is what
    counts: however many references there are, they make no suspect more suspicious than it is. Of a
    reference whose twin it is, it is measured by the other twins, by one less than the suspect; so
    its score is rather too high than too low, and the p-value that is made of these errs to the
    side of the suspect. References with fewer than two twins judge nobody, and their twins
    have no score: what they would reach against their own reference is not known.

    Args:
        likeness: Of all pairs of a reference and its twins and its strangers, and of those of a
            reference and another reference's twins that may be alike.
        twins: By the name of the reference.
        strangers: Likewise.
    """
    found = []
    judging = {r: known for r, known in twins.items() if len(known) >= LEAST_TWINS}
    for twin in dict.fromkeys(name for known in judging.values() for name in known):
        scores = [
            score(
                likeness,
                reference,
                twin,
                [other for other in known if other != twin],
                strangers.get(reference, ()),
            ).combined
            for reference, known in judging.items()
            if (reference, twin) in likeness
        ]
        if reached := [value for value in scores if not np.isnan(value)]:
            found.append(max(reached))
    return tuple(sorted(found))


def conformal(value: float, null: Sequence[float]) -> float:
    """Returns (1 + #{null ≥ value}) / (n + 1), the conformal p-value (Vovk et al. 2005).

    If the suspect is as independent as the models of the null, p ≤ α happens with a probability of
    at most α. It cannot fall below `floor`. NaN for a value that is NaN, 1 without a null.
    """
    if np.isnan(value):
        return float("nan")
    return (1 + sum(other >= value for other in null)) / (len(null) + 1)


def floor(null: Sequence[float]) -> float:
    """Returns the least that `conformal` may be, 1 / (n + 1)."""
    return 1 / (len(null) + 1)


def _baseline(
    likeness: Likeness, reference: str, name: str, twins: Sequence[str], strangers: Sequence[str]
) -> float:
    close = [likeness[reference, twin][name] for twin in twins]
    far = [likeness[reference, other][name] for other in strangers]
    candidates = [v for v in close if not np.isnan(v)]
    if known := [v for v in far if not np.isnan(v)]:
        candidates.append(float(np.mean(known)))
    return max(candidates, default=float("nan"))
