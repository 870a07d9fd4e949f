"""Hostile and broken model files, made anew on every run, each with one thing wrong."""

from corpus import arguments, bombs, external, files, numerics, strings, structure, tensors
from corpus.base import EITHER, EXECUTED, RANKED, REFUSED, SECRET, Case

__all__ = [
    "CATEGORIES", "EITHER", "EXECUTED", "RANKED", "REFUSED", "SECRET", "Case", "cases", "spread",
]  # fmt: skip

CATEGORIES = (
    "not-a-model",
    "structure",
    "tensors",
    "external-data",
    "bombs",
    "names-and-strings",
    "code-execution",
    "numerics",
)

#: Seconds beyond which a case is kept for the long form.
_QUICK = 10.0


def cases() -> list[Case]:
    """Returns all cases, always the same and in the same order, category by category."""
    modules = (files, structure, arguments, tensors, external, bombs, strings, numerics)
    found = [case for module in modules for case in module.CASES]
    return sorted(found, key=lambda case: CATEGORIES.index(case.category))


def spread(every: int = 15) -> list[Case]:
    """Returns one in so many cases of each category and outcome, without those that take long."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases():
        if case.seconds <= _QUICK:
            groups.setdefault((case.category, case.expected), []).append(case)
    return [case for group in groups.values() for case in group[::every]]
