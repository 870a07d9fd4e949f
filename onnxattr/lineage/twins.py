"""Which of the models that are given as independent share the task of which reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxattr.types.audit import Twin

#: Two models of one task are at least so much alike; see `likeness`. Of eleven sample models, pairs
#: of one task have .88 or more, and all others but one (of two tasks that give back the picture)
#: .74 or less.
SAME_TASK = 0.8

#: Two models that are less alike than this do not do the same; see `likeness`.
UNLIKE = 0.5

#: Of its best, that a model must reach for a second reference to count as of its task, too.
_ALSO = 0.9


def likeness(found: Mapping[str, float]) -> float:
    """Returns how much two models seem to do the same task, −1..1; NaN where that is not known.

    It is RSA: whether the same probes are alike to both. It finds the same task in another
    architecture as well as in another seed, and needs representations of no common shape.

    Args:
        found: From `behaviour.compare`.
    """
    return found["rsa"]


def assign(
    alike: Mapping[tuple[str, str], float],
    references: Sequence[str],
    given: Sequence[str],
    misfits: Mapping[str, str] | None = None,
    declared: Mapping[str, Sequence[str]] | None = None,
    *,
    least: float = SAME_TASK,
) -> tuple[tuple[Twin, ...], dict[str, tuple[str, ...]]]:
    """Returns what becomes of each model, and the twins of each reference.

    One that is said to be of a reference's task counts for that reference, unless the two do not do
    the same. Another counts for the reference that it is most like, if it is enough alike to share
    its task, and for others that it is about as much like. A model of another task would make any
    model of the reference's look derived from it, and is not used.

    Args:
        alike: `likeness` of a reference and a model, by the names of the two.
        references: Names.
        given: Names of models that are given as independent.
        misfits: Why a model cannot be used, by name.
        declared: References of whose task a model is said to be, by its name.
        least: Likeness from which on two models share a task, if nobody says so.
    """
    twins: dict[str, list[str]] = {name: [] for name in references}
    outcome = []
    for name in given:
        if misfits and name in misfits:
            outcome.append(Twin(name, "", float("nan"), misfits[name]))
            continue
        said = (declared or {}).get(name, ())
        values = {
            reference: value
            for reference in said or references
            if not np.isnan(value := alike.get((reference, name), float("nan")))
        }
        if not values:
            outcome.append(Twin(name, "", float("nan"), "nothing tells whose task it shares"))
            continue
        best = max(sorted(values), key=lambda reference: values[reference])
        bound = UNLIKE if said else least
        if values[best] < bound:
            outcome.append(Twin(name, "", values[best], _unlike(best, values[best], bound, said)))
            continue
        outcome.append(Twin(name, best, values[best]))
        for reference, value in values.items():
            if value >= (bound if said else max(least, _ALSO * values[best])):
                twins[reference].append(name)
    return tuple(outcome), {name: tuple(sorted(found)) for name, found in twins.items()}


def _unlike(best: str, value: float, least: float, said: Sequence[str]) -> str:
    if said:
        return (
            f"it is given as of the task of {best} and does not look like it: the same probes are "
            f"alike to both by {value:.2f}, and {least:g} is the least"
        )
    return (
        "it does not look like a model of the same task as any reference: the same probes are "
        f"alike to it and {best} by {value:.2f}, and {least:g} is the least"
    )
