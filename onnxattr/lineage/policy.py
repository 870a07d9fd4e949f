"""Conditions under which an audit fails: `derived`, `similarity>0.9`. A parser and a judge."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnxattr.errors import UsageError
from onnxattr.registry import closest
from onnxattr.types.audit import (
    CLOSER,
    DERIVED,
    IDENTICAL,
    UNDECIDABLE,
    Gate,
    Relation,
    Verdict,
)
from onnxattr.types.rankings import Target

#: Verdicts by which each name of a condition is met.
VERDICTS_OF: Mapping[str, tuple[str, ...]] = {
    "identical": (IDENTICAL,),
    "derived": (IDENTICAL, DERIVED),
    "closer": (IDENTICAL, DERIVED, CLOSER),
    "undecidable": (UNDECIDABLE,),
}

#: Numbers that a condition may compare, and what they are.
NUMBERS: Mapping[str, str] = {
    "similarity": "the largest cosine of maps to a reference",
    "weights": "the largest aligned similarity of late layers to a reference",
    "copied": "the largest share of the suspect's weights that are a reference's",
    "score": "the largest behavioural score",
    "p": "the p-value of the verdict",
}

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_CONDITION = re.compile(r"(?P<name>[^<>=\s]+)\s*(?:(?P<sign>>=|<=|>|<)\s*(?P<number>\S+))?")


@dataclass(frozen=True)
class Condition:
    """What a policy forbids.

    Attributes:
        text: As it was given.
        name: Of `VERDICTS_OF`, or of `NUMBERS`.
        sign: How a number is compared; '' of a verdict.
        bound: With what.
    """

    text: str
    name: str
    sign: str = ""
    bound: float = 0.0


def parse_condition(text: str) -> Condition:
    """Returns the condition that a text means: `derived`, or `similarity>0.9`.

    Raises:
        UsageError: It means none; the message says what is wrong with it.

    Example:
        >>> parse_condition("similarity > 0.9")
        Condition(text='similarity > 0.9', name='similarity', sign='>', bound=0.9)
    """
    found = _CONDITION.fullmatch(text.strip())
    names = (*VERDICTS_OF, *(f"{name}>NUMBER" for name in NUMBERS))
    if found is None:
        raise UsageError(
            f"`{text}` is no condition to fail by", hint=f"as in {' or '.join(names[1::4])}"
        )
    name, sign, number = found["name"].lower(), found["sign"] or "", found["number"]
    if name not in VERDICTS_OF and name not in NUMBERS:
        raise UsageError(
            f"there is no condition `{name}` to fail by",
            hint=closest(name, [*VERDICTS_OF, *NUMBERS]),
        )
    if name in VERDICTS_OF:
        if sign:
            raise UsageError(
                f"`{name}` is a verdict and compared with no number, and `{text}` gives one"
            )
        return Condition(text, name)
    try:
        bound = float(number) if number else math.nan
    except ValueError:
        bound = math.nan
    if not sign or not math.isfinite(bound):
        raise UsageError(
            f"`{text}` says nothing that `{name}` is compared with",
            hint=f"as in --fail-if '{name}>0.9'",
        )
    return Condition(text, name, sign, bound)


def judge(
    conditions: Sequence[Condition],
    verdict: Verdict,
    relations: Sequence[Relation],
    nearest: Target | None,
) -> tuple[Gate, ...]:
    """Returns whether each condition is met.

    A number that there is not, as of a suspect that has no maps, meets every condition: a gate that
    cannot be checked must not open.
    """
    numbers = {
        "similarity": _largest(s.similarity for s in nearest.sources) if nearest else math.nan,
        "weights": _largest(
            r.match.late for r in relations if r.match and r.match.late is not None
        ),
        "copied": _largest(r.match.copied for r in relations if r.match),
        "score": _largest(r.score for r in relations),
        "p": verdict.p,
    }
    gates = []
    for each in conditions:
        if each.name in VERDICTS_OF:
            crossed = verdict.kind in VERDICTS_OF[each.name]
            about = f" ({verdict.reference})" if verdict.reference else ""
            gates.append(Gate(each.text, crossed, f"the verdict is: {verdict.kind}{about}"))
            continue
        value = numbers[each.name]
        if math.isnan(value):
            reason = f"{NUMBERS[each.name]} could not be had, and a gate stays shut then"
            gates.append(Gate(each.text, crossed=True, reason=reason))
            continue
        crossed = _COMPARE[each.sign](value, each.bound)
        gates.append(Gate(each.text, crossed, f"{NUMBERS[each.name]} is {value:.4g}"))
    return tuple(gates)


def _largest(values: object) -> float:
    known = [v for v in values if not math.isnan(v)]  # type: ignore[attr-defined]
    return max(known, default=math.nan)
