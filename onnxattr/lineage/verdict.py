"""What the evidence comes to: one of five verdicts, with its reasons and what it does not say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxattr.lineage.calibration import LEAST_TWINS
from onnxattr.lineage.twins import UNLIKE, likeness
from onnxattr.types.audit import (
    CLOSER,
    DERIVED,
    IDENTICAL,
    INDEPENDENT,
    UNDECIDABLE,
    Relation,
    Twin,
    Verdict,
)
from onnxattr.types.weights import DERIVED as WEIGHTS_DERIVED
from onnxattr.types.weights import IDENTICAL as SAME_WEIGHTS
from onnxattr.types.weights import PARTIAL, SHARED_START
from onnxattr.types.weights import UNDECIDABLE as WEIGHTS_UNDECIDABLE

#: A p-value of behaviour up to this lets a verdict be `CLOSER`.
ALPHA = 0.05

#: And a score from this on: of what independent models leave, so much must be reached.
LEAST_SCORE = 0.25

#: By what two models are the same, the strongest first.
_SAME = ("file", "weights", "function")

#: Digits of numbers by which relations are put in order.
_DIGITS = 6

#: References that one line names.
_NAMED = 10

#: What weights say of a model that has some of another's.
_INHERITED = (SAME_WEIGHTS, WEIGHTS_DERIVED, PARTIAL)

#: What no verdict may be read without.
NO_PROOF = "low similarity never proves independence: a distilled or retrained copy may show none"


def decide(
    relations: Sequence[Relation],
    twins: Sequence[Twin] = (),
    *,
    missing: Sequence[str] = (),
    interrupted: bool = False,
    alpha: float = ALPHA,
    least: float = LEAST_SCORE,
) -> Verdict:
    """Returns what an audit comes to. The order of the relations changes nothing.

    Identity comes first, then weights, then behaviour. Behaviour alone never makes a model
    derived, and says nothing at all without independent models of the same task: with these, a
    suspect is called closer only if its score is `least` or more and p `alpha` or less.

    Args:
        relations: One a reference that could be compared.
        twins: What became of the models that were given as independent.
        missing: References that could not be compared at all.
        interrupted: Whether the work ended early: what was found stands, and nothing follows from
            what was not.
        alpha: Largest p-value that makes a model closer.
        least: Smallest score that does.
    """
    ordered = order(relations)
    same = [each for each in ordered if each.identical]
    if same:
        return _verdict(IDENTICAL, same[0], _identical(same), [])
    derived = [each for each in ordered if _weights(each) in _INHERITED]
    caveats = _caveats(ordered, twins, missing)
    if derived:
        return _verdict(DERIVED, derived[0], _derived(derived[0]), caveats)
    if interrupted:  # A score that lacks some of its null would be too high.
        return _verdict(UNDECIDABLE, None, ["the audit ended before all was compared"], caveats)
    judged = [each for each in ordered if each.p == each.p]
    closer = [each for each in judged if each.p <= alpha and each.score >= least]
    if closer:
        return _verdict(CLOSER, closer[0], _closer(closer[0]), caveats)
    doubts = list(_doubts(ordered, judged, alpha, least))
    if doubts:
        about = doubts[0][0]
        return _verdict(UNDECIDABLE, about, [line for _, line in doubts], caveats)
    return _verdict(INDEPENDENT, None, list(_independent(judged)), caveats)


def order(relations: Sequence[Relation]) -> list[Relation]:
    """Returns relations, the closest first: the same, then by weights, then by behaviour."""

    def key(each: Relation) -> tuple[float | str, ...]:
        late = each.match.late if each.match and each.match.late is not None else -1.0
        found = _weights(each)
        derived = found in _INHERITED
        likeness = [e.value for e in each.behaviour if e.decides and e.value == e.value]
        mean = sum(likeness) / len(likeness) if likeness else -1.0
        rank = _SAME.index(each.identical) if each.identical else len(_SAME) + (not derived)
        numbers = (late if derived else 0.0, mean, _number(each.score))
        # What differs by rounding alone goes by name.
        return (rank, *(-round(value, _DIGITS) for value in numbers), each.reference)

    return sorted(relations, key=key)


def _weights(each: Relation) -> str:
    return each.finding.kind if each.finding else WEIGHTS_UNDECIDABLE


def _identical(same: Sequence[Relation]) -> list[str]:
    words = {
        "file": "the files of {} and the suspect are the same, byte for byte",
        "weights": "{} has the same weights, and a graph of the same structure",
        "function": "{} computes the same on every probe, but for rounding",
    }
    return [words[each.identical].format(each.reference) for each in same]


def _derived(each: Relation) -> list[str]:
    assert each.finding
    lines = [f"{each.reference}: {line}" for line in each.finding.evidence]
    return lines or [f"the weights of {each.reference} are found in the suspect"]


def _closer(each: Relation) -> list[str]:
    best = max((e for e in each.behaviour if e.decides), key=lambda e: _number(e.headroom))
    return [
        f"it behaves more like {each.reference} than all but {_share(each.p)} of independent "
        f"models of the same task do like theirs: score {each.score:.2f}, p = {each.p:.3g}",
        f"most of all by {best.measure}: {best.value:.2f}, and {best.baseline:.2f} is the best of "
        f"{_count(len(each.twins), 'independent model')}",
        "its weights do not show a derivation: it may be distilled, or trained on what "
        f"{each.reference} says",
    ]


def _doubts(
    ordered: Sequence[Relation], judged: Sequence[Relation], alpha: float, least: float
) -> Iterator[tuple[Relation | None, str]]:
    """Yields why nothing can be told, and of which reference, if nothing can."""
    for each in judged:
        if each.floor > alpha and each.score >= least:
            n = round(1 / each.floor) - 1
            yield (
                each,
                f"it is closer to {each.reference} than independent models are (score "
                f"{each.score:.2f}), but with {_count(n, 'comparison')} of independent models p "
                f"cannot be below {each.floor:.2g}, and {alpha:g} is asked for",
            )
    for each in ordered:
        if _open(each):
            reason = each.finding.evidence[-1] if each.finding and each.finding.evidence else ""
            yield each, f"{_of_weights(each)}: {reason}" if reason else _of_weights(each)
    for each in ordered:
        if each.p == each.p or _unlike(each) or _open(each):
            continue
        yield each, f"{_of_weights(each)}, and {_of_behaviour(each)}"
    if not ordered:
        yield None, "there is nothing to compare it with"


def _open(each: Relation) -> bool:
    """Whether weights have more in common than by chance, and it cannot be told by what."""
    late = each.match.late if each.match else None
    return _weights(each) == WEIGHTS_UNDECIDABLE and late is not None


def _of_weights(each: Relation) -> str:
    """Returns why the weights of a reference say nothing, in words."""
    if _weights(each) != WEIGHTS_UNDECIDABLE:
        return f"its weights show no derivation from {each.reference}"
    if each.match is None:
        return f"the weights of {each.reference} and the suspect cannot be compared"
    if each.match.reason:
        return f"the weights of {each.reference} cannot be compared ({each.match.reason})"
    return f"its weights leave open whether it is derived from {each.reference}"


def _of_behaviour(each: Relation) -> str:
    """Returns why its behaviour does not tell either."""
    known = {e.measure: e.value for e in each.behaviour}
    if not known or likeness(known) != likeness(known):
        return "its behaviour cannot be compared"
    if len(each.twins) >= LEAST_TWINS:
        return "no measure has anything to say of its behaviour beside that of independent models"
    few = f"one independent model of the task and not {LEAST_TWINS}"
    few = few if each.twins else "no independent model of the task"
    return (
        "it may do what the reference does (the same probes are alike to both, rsa "
        f"{likeness(known):.2f}), with {few} to hold that against: a distilled copy would look the "
        "same"
    )


def _unlike(each: Relation) -> bool:
    """Whether the two do not even do the same, so that no independent model is needed to see it."""
    known = {e.measure: e.value for e in each.behaviour}
    return bool(known) and likeness(known) < UNLIKE


def _independent(judged: Sequence[Relation]) -> Iterator[str]:
    yield "no reference's weights are found in it, beyond what independent models share"
    for each in judged:
        yield (
            f"it is as like {each.reference} as independent models of the same task are: score "
            f"{each.score:.2f}, p = {each.p:.2g}"
        )
    if not judged:
        yield "it does nothing that a reference does"


def _caveats(
    ordered: Sequence[Relation], twins: Sequence[Twin], missing: Sequence[str]
) -> list[str]:
    lines = [
        f"its first layers are those of {each.reference} and its later ones are not: both may have "
        "started from the same weights, which is no derivation"
        for each in ordered
        if _weights(each) == SHARED_START
    ]
    if (unused := [twin for twin in twins if not twin.reference]) and len(unused) == len(twins):
        lines.append("none of the models given as independent is used: it is said of each why")
    if missing:
        some = ", ".join(sorted(missing)[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        lines.append(f"it was not compared with {some}{more}")
    return lines


def _verdict(
    kind: str, about: Relation | None, reasons: Sequence[str], caveats: Sequence[str]
) -> Verdict:
    return Verdict(
        kind=kind,
        reference=about.reference if about else "",
        reasons=tuple(reasons),
        p=about.p if about else float("nan"),
        floor=about.floor if about else 1.0,
        caveats=tuple(caveats) if kind == IDENTICAL else (*caveats, NO_PROOF),
    )


def _number(value: float) -> float:
    return value if value == value else -1.0


def _share(p: float) -> str:
    return f"{100 * p:.2g} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
