"""What evidence comes to: a false accusation is the worst outcome."""

import itertools
from dataclasses import replace

import pytest

from onnxattr.lineage.behaviour import MEASURES
from onnxattr.lineage.verdict import ALPHA, LEAST_SCORE, NO_PROOF, decide, order
from onnxattr.types import BehaviourEvidence, Relation, Twin, WeightFinding, WeightMatch
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL, INDEPENDENT, UNDECIDABLE
from onnxattr.types.weights import FINDINGS


def match(reference, late=0.1, **changes):
    made = WeightMatch(
        suspect="s",
        reference=reference,
        profile=(),
        late=late,
        early=late,
        chance=0.05,
        marks=None,
        covered=1.0,
        tensors=(),
        copied=0.0,
        identical=False,
    )
    return replace(made, **changes)


def finding(kind, *evidence):
    return WeightFinding(kind, None, 1.0, 0, evidence)


def behaviour(value, baseline=float("nan")):
    above = (value - baseline) / (1 - baseline)
    return tuple(
        BehaviourEvidence(name, value, baseline, above, measure.decides)
        for name, measure in MEASURES.items()
    )


def relation(reference="r", kind="no sign of derivation", value=0.6, **changes):
    made = Relation(
        reference,
        match=match(reference),
        finding=finding(kind),
        behaviour=behaviour(value),
    )
    return replace(made, **changes)


def judged(reference="r", score=0.0, p=0.5, floor=0.01, kind="no sign of derivation", **changes):
    return relation(
        reference,
        kind,
        behaviour=behaviour(0.9, 0.8),
        score=score,
        p=p,
        floor=floor,
        twins=("t", "u"),
        **changes,
    )


def test_identity_comes_before_all_else():
    found = decide([judged("a", score=0.9, p=0.01), relation("b", identical="file")])
    assert (found.kind, found.reference) == (IDENTICAL, "b")
    assert "byte for byte" in found.reasons[0]
    # Of a copy there is no doubt that could be left.
    assert found.caveats == ()


@pytest.mark.parametrize("kind", FINDINGS)
def test_weights_alone_make_a_model_derived(kind):
    found = decide([relation(kind=kind, value=0.1)])
    assert (found.kind == DERIVED) == (kind in ("identical", "derived", "partly copied"))


def test_the_strongest_of_several_derivations_is_named():
    some = [
        relation(name, "derived", match=match(name, late))
        for name, late in (("a", 0.6), ("b", 0.9), ("c", 0.7))
    ]
    for turned in itertools.permutations(some):
        assert decide(turned).reference == "b"


def test_a_shared_initialisation_is_no_derivation_and_is_named():
    found = decide([judged(kind="shared initialisation")])
    assert found.kind == INDEPENDENT
    assert any("started from the same weights" in line for line in found.caveats)


def test_behaviour_without_independent_models_never_accuses():
    for value in (0.0, 0.5, 0.99, 1.0):
        found = decide([relation(value=value)])
        assert found.kind in (INDEPENDENT, UNDECIDABLE)
    assert decide([relation(value=0.99)]).kind == UNDECIDABLE
    assert "no independent model" in decide([relation(value=0.99)]).reasons[0]


def test_behaviour_beyond_independent_models_is_closer_and_not_derived():
    found = decide([judged(score=0.8, p=0.01)])
    assert (found.kind, found.reference, found.p) == (CLOSER, "r", 0.01)
    assert found.caveats[-1] == NO_PROOF


@pytest.mark.parametrize(
    ("score", "p"), [(LEAST_SCORE - 0.01, 0.01), (0.9, ALPHA + 0.001), (-0.5, 1.0)]
)
def test_neither_a_small_score_nor_a_large_p_is_closer(score, p):
    found = decide([judged(score=score, p=p)])
    assert found.kind == INDEPENDENT
    assert NO_PROOF in found.caveats


def test_too_few_comparisons_are_said_to_be_too_few():
    found = decide([judged(score=0.9, p=1 / 3, floor=1 / 3)])
    assert found.kind == UNDECIDABLE
    assert "with 2 comparisons of independent models p cannot be below 0.33" in found.reasons[0]


def test_a_suspect_that_does_something_else_needs_no_independent_model():
    found = decide([relation(value=0.2)])
    assert found.kind == INDEPENDENT
    assert found.reasons[-1] == "it does nothing that a reference does"


def test_weights_that_cannot_be_compared_leave_it_undecided():
    found = decide([relation(match=None, finding=None, value=0.7)])
    assert found.kind == UNDECIDABLE
    assert "cannot be compared" in found.reasons[0]


def test_nothing_to_compare_with_is_undecidable():
    assert decide([]).kind == UNDECIDABLE


def test_twins_of_no_reference_are_told_of():
    twin = Twin("t", "", 0.1, "it is of another task")
    found = decide([relation(value=0.9)], [twin])
    assert any("none of the models given as independent" in line for line in found.caveats)


def test_weights_in_common_that_nothing_explains_are_no_independence():
    """Between a shared start and a long training away, also where it does something else."""
    found = decide([relation(kind="undecidable", value=0.1, match=match("r", 0.7))])
    assert found.kind == UNDECIDABLE
    assert "leave open whether it is derived from r" in found.reasons[0]


def test_without_behaviour_nothing_is_said_of_what_it_does():
    found = decide([relation(behaviour=())])
    assert found.kind == UNDECIDABLE
    assert found.reasons == (
        "its weights show no derivation from r, and its behaviour cannot be compared",
    )


def test_a_score_that_could_not_be_had_is_no_sign_of_independence():
    nothing = float("nan")
    found = decide([judged(score=nothing, p=nothing)])
    assert found.kind == UNDECIDABLE
    assert "no measure has anything to say" in found.reasons[0]


def test_nothing_follows_from_what_was_not_reached():
    found = decide([judged(score=0.0, p=0.5)], missing=["z", "y"], interrupted=True)
    assert (found.kind, found.reasons) == (
        UNDECIDABLE,
        ("the audit ended before all was compared",),
    )
    assert "it was not compared with y, z" in found.caveats
    # What was found stands.
    assert decide([relation(kind="derived")], interrupted=True).kind == DERIVED


def test_references_that_were_left_out_are_named():
    found = decide([relation(value=0.1)], missing=[f"m{i:02}" for i in range(12)])
    assert found.kind == INDEPENDENT
    assert "m08, m09 and 2 more" in found.caveats[-2]


def test_the_order_of_references_changes_nothing():
    some = [
        relation("a", value=0.9),
        judged("b", score=0.1, p=0.4),
        judged("c", score=0.8, p=0.02),
        relation("d", "derived", match=match("d", 0.8)),
        relation("e", "derived", match=match("e", 0.8)),
    ]
    verdicts = {decide(turned) for turned in itertools.permutations(some)}
    assert len(verdicts) == 1
    orders = {tuple(r.reference for r in order(turned)) for turned in itertools.permutations(some)}
    assert orders == {("d", "e", "c", "b", "a")}
