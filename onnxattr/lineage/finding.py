"""What follows from how weights agree, held against pairs that are known to be independent.

Three things look alike. A *derived* model keeps the reference's filters, and what its training had
made of every channel. A model of the *same initialisation*, trained apart, keeps much of the first
layers and, where both were trained shortly, much of the last ones too, but what training made of
its channels is its own. An *independent* model keeps neither. So nothing is decided by the first
layers, and likeness of the last layers alone does not make a derivation: `late` + 2 · `marks` does
(see `lineage.marks`).

Measured on six-layer networks with batch normalisation, 500 steps each on four tasks: 13 derived by
up to 500 steps on another task came to 1.69 and more, 10 trained apart from one start to 1.41 and
less, an independent one of the same task to 1.2. `tests/lineage/test_finding.py` trains smaller
ones.

Nothing here tells which of two models came first, nor two that come from a third.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxattr.types import WeightFinding, WeightMatch
from onnxattr.types.weights import (
    DERIVED,
    IDENTICAL,
    PARTIAL,
    SHARED_START,
    UNDECIDABLE,
    UNRELATED,
)

#: What `late` must be above chance, as a share of what there is between chance and 1.
HEADROOM = 0.25

#: `late` + 2 · `marks` of a derived model; from `DOUBT` on, a shared start is not said either.
DERIVED_FROM, DOUBT = 1.6, 1.45

#: The same of `late` alone where nothing is known of the marks of training.
ALONE = 0.9

#: Similarity of the first layers from which a shared start is named.
START = 0.6

#: Cosine that rounding to few bits leaves and separate training does not; numbers that count.
COPY, FEW = 0.9995, 1000

#: Share of the suspect's weights below which it is derived in part.
WHOLE = 0.5


def finding_of(match: WeightMatch, independent: Sequence[WeightMatch] = ()) -> WeightFinding:
    """Returns what the weights say of a pair.

    Args:
        match: The pair.
        independent: Pairs of models that are known to be trained apart, of other references or of
            twins among each other; their order changes nothing.
    """
    null = sorted(pair.late for pair in independent if pair.late is not None)
    floor = 1 / (len(null) + 1)
    p_value = None
    if match.late is not None:
        # Vovk et al. 2005, equation 2.20.
        p_value = (1 + sum(value >= match.late for value in null)) / (len(null) + 1)
    kind, evidence = _decided(match, null)
    return WeightFinding(kind, p_value, floor, len(null), tuple(evidence))


def _decided(match: WeightMatch, null: Sequence[float]) -> tuple[str, list[str]]:
    if match.identical:
        return IDENTICAL, ["all layers hold the same numbers, up to rounding"]
    copies = _copies(match)
    if match.late is None or match.chance is None:
        if copies:
            return PARTIAL, [copies]
        return UNDECIDABLE, [f"no similarity of weights: {match.reason}"]
    evidence = [
        f"the last layers agree by {match.late:.2f}; by chance that is {match.chance:.2f}"
        + (f", of independent pairs {null[-1]:.2f} at most" if null else "")
    ]
    headroom = (match.late - match.chance) / max(1e-9, 1 - match.chance)
    if headroom < HEADROOM or (null and match.late <= null[-1]):
        if copies:
            return PARTIAL, [*evidence, copies]
        return UNRELATED, [*evidence, "low similarity does not prove independence"]
    if not null:
        evidence.append("no independent pairs were given to hold that against")
    kind, reason = _origin(match)
    if kind == DERIVED and match.covered < WHOLE:
        kind = PARTIAL
        reason += f"; that is {match.covered:.0%} of the suspect's weights"
    elif kind in (SHARED_START, UNDECIDABLE) and copies:
        kind, reason = PARTIAL, f"{copies}; {reason}"
    return kind, [*evidence, reason]


def _origin(match: WeightMatch) -> tuple[str, str]:
    """Tells derivation from a shared start, of weights that have more in common than by chance."""
    assert match.late is not None
    start = max((layer.similarity for layer in match.profile[:2]), default=0.0)
    if match.marks is None:
        if match.late >= ALONE:
            return DERIVED, (
                f"training apart was not seen to leave {match.late:.2f}, though biases do not tell"
            )
        return UNDECIDABLE, "a shared initialisation would explain it, and biases do not tell"
    told = f"what training made of the channels agrees by {match.marks:.2f}"
    strength = match.late + 2 * match.marks
    if strength >= DERIVED_FROM:
        return DERIVED, f"{told}: that is inherited, too, from the reference or from what it is of"
    if strength >= DOUBT:
        return UNDECIDABLE, f"{told}: between a shared initialisation and a long training away"
    if start >= START:
        return SHARED_START, (
            f"{told}, and the first layers by {start:.2f}: both began with the same numbers and "
            "were trained apart, or the suspect was trained away for long"
        )
    return UNDECIDABLE, f"{told}, and the first layers by {start:.2f}: neither explains it"


def _copies(match: WeightMatch) -> str:
    """Returns what is said of layers that were copied as they are, behind the first ones."""
    first = {layer.reference for layer in match.profile if layer.depth <= 1}
    found = [
        t
        for t in match.tensors
        if t.similarity >= COPY and t.parameters >= FEW and t.reference not in first
    ]
    if not found:
        return ""
    count = sum(t.parameters for t in found)
    exact = sum(t.exact for t in found)
    return f"{len(found)} layers of {count:,} numbers are copies, {exact} of them to the last bit"
