"""Models that are given as independent of the references, and are not: copies among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxattr.lineage.behaviour import Traces
from onnxattr.lineage.finding import finding_of
from onnxattr.pipeline.audited_models import Cast, same_by
from onnxattr.pipeline.relations import Matches, same_function
from onnxattr.types import Weighed
from onnxattr.types.weights import DERIVED, PARTIAL


def false_twins(
    roles: Cast, weighed: Mapping[str, Weighed], matches: Matches
) -> tuple[dict[str, str], list[str]]:
    """Returns why models that are given as independent are not, by their names, and doubts.

    A copy among them, of a reference or of the suspect, would hide what they are given to show.
    One whose weights only seem derived is told of and used: the null must not be cleaned by the
    very rule that it is to calibrate.

    Args:
        roles: All models.
        weighed: Weights and identities, of the models that have any.
        matches: How weights of two models agree.
    """
    found: dict[str, str] = {}
    doubts = []
    for twin in roles.twins:
        for other in (roles.suspect, *roles.references):
            if same := _same(twin, other, weighed, matches):
                role = "the suspect" if other == roles.suspect else f"the reference {other}"
                found[twin] = f"it {same} {role}, and so it is not independent"
                break
        if twin in found:
            continue
        for reference in roles.references:
            match = matches(twin, reference)
            if match and finding_of(match).kind in (DERIVED, PARTIAL):
                doubts.append(
                    f"{twin}: it is given as independent, and its weights look derived from "
                    f"{reference}: if they are, it hides what else is derived from that"
                )
    return found, doubts


def same_functions(
    twins: Sequence[str], references: Mapping[str, Traces], others: Mapping[tuple[str, str], Traces]
) -> dict[str, str]:
    """Returns which models given as independent compute what a reference does, and that they do.

    Args:
        twins: Their names.
        references: Traces of the references.
        others: Traces of models as they are fed for a reference, by its name and theirs.
    """
    return {
        twin: f"it computes the same as the reference {reference} on every probe, and so it is not "
        "independent"
        for twin in twins
        for reference, one in references.items()
        if (reference, twin) in others and same_function(one, others[reference, twin])
    }


def _same(one: str, other: str, weighed: Mapping[str, Weighed], matches: Matches) -> str:
    by = same_by(weighed, one, other)
    if by:
        return {"file": "is the same file as", "weights": "has the same weights as"}[by]
    match = matches(one, other)
    return "has the same weights as" if match and match.identical else ""
