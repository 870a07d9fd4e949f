"""p-values against enumeration, and who counts as independent for whom."""

import itertools
import math

import numpy as np
import pytest

from onnxattr.lineage.behaviour import MEASURES, combined, headroom
from onnxattr.lineage.calibration import conformal, floor, null_scores, score
from onnxattr.lineage.twins import SAME_TASK, assign


def values(number):
    return dict.fromkeys(MEASURES, number)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_p_is_uniform_over_all_ranks_that_a_suspect_may_have(count):
    """Of exchangeable scores, in whatever order: each p of 1/(n + 1), …, 1 comes up as often."""
    scores = np.arange(count + 1.0)
    found = []
    for order in itertools.permutations(scores):
        suspect, *null = order
        found.append(conformal(suspect, null))
    expected = [k / (count + 1) for k in range(1, count + 2)]
    counts = [found.count(p) for p in expected]
    assert len(set(counts)) == 1
    assert sum(counts) == len(found)
    assert min(found) == floor(scores[1:])


def test_ties_count_for_the_suspect():
    assert conformal(0.5, [0.5, 0.5, 0.1]) == 3 / 4
    assert conformal(0.6, []) == 1.0
    assert math.isnan(conformal(float("nan"), [0.1]))


def test_a_score_is_the_headroom_over_the_best_of_the_twins():
    likeness = {
        ("r", "s"): {**values(0.9), "cka": 0.7, "rsa": 0.6},
        ("r", "t1"): values(0.5),
        ("r", "t2"): {**values(0.4), "rsa": 0.55},
        ("r", "x"): values(0.2),
    }
    found = score(likeness, "r", "s", ["t1", "t2"], ["x"])
    by_name = {e.measure: e for e in found.evidence}
    assert by_name["rsa"].baseline == 0.55
    assert by_name["rsa"].headroom == pytest.approx(headroom(0.6, 0.55))
    assert by_name["cka"].headroom == pytest.approx((0.7 - 0.5) / 0.5)
    assert found.combined == pytest.approx(0.8)
    assert not by_name["early channels"].decides


def test_strangers_are_a_floor_and_no_more():
    likeness = {
        ("r", "s"): values(0.6),
        ("r", "t"): values(0.1),
        ("r", "x"): values(0.2),
        ("r", "y"): values(0.6),
    }
    found = score(likeness, "r", "s", ["t"], ["x", "y"])
    assert found.evidence[0].baseline == pytest.approx(0.4)
    assert math.isnan(score(likeness, "r", "s", [], []).combined)


def test_each_twin_is_judged_against_the_others():
    closeness = {"t1": 0.5, "t2": 0.4, "t3": 0.8}
    likeness = {("r", name): values(v) for name, v in closeness.items()}
    found = null_scores(likeness, {"r": ["t1", "t2", "t3"]}, {})
    plain = [
        combined(values(headroom(v, max(w for other, w in closeness.items() if other != name))))
        for name, v in closeness.items()
    ]
    assert found == pytest.approx(sorted(plain))
    # A single one has nothing to be measured by.
    assert null_scores(likeness, {"r": ["t1"]}, {}) == ()


def test_a_twin_counts_once_by_its_highest_score_against_any_reference():
    likeness = {
        ("r", "t1"): values(0.5),
        ("r", "t2"): values(0.4),
        ("q", "t1"): values(0.7),
        ("q", "u1"): values(0.6),
        ("q", "u2"): values(0.3),
        ("p", "v"): values(0.9),
        ("q", "v"): values(0.1),
        ("p", "t2"): values(0.95),
        ("q", "x"): values(0.2),
        ("r", "x"): values(0.2),
        ("p", "x"): values(0.2),
    }
    strangers = {name: ["x"] for name in "rqp"}
    found = null_scores(likeness, {"r": ["t1", "t2"], "q": ["u1", "u2"], "p": ["v"]}, strangers)
    of_t1 = max(headroom(0.5, 0.4), headroom(0.7, 0.6))
    of_t2, of_u1, of_u2 = headroom(0.4, 0.5), headroom(0.6, 0.3), headroom(0.3, 0.6)
    # A reference with one twin judges nobody: `v` has no score, not even its low one against `q`,
    # and `t2` none against `p`.
    assert found == pytest.approx(sorted([of_t1, of_t2, of_u1, of_u2]))


def test_the_order_of_twins_and_references_changes_nothing():
    rng = np.random.default_rng(0)
    twins = {r: [f"{r}{i}" for i in range(3)] for r in "ab"}
    likeness = {(r, t): values(rng.random()) for r in "ab" for t in twins[r]}
    found = null_scores(likeness, twins, {})
    turned = {r: twins[r][::-1] for r in "ba"}
    assert null_scores(likeness, turned, {}) == found


def test_a_twin_counts_where_it_shares_the_task():
    alike = {("r", "t"): 0.9, ("q", "t"): 0.85, ("r", "u"): 0.95, ("q", "u"): 0.81}
    known, of = assign(alike, ["q", "r"], ["t", "u"])
    assert [(twin.name, twin.reference, twin.reason) for twin in known] == [
        ("t", "r", ""),
        ("u", "r", ""),
    ]
    assert of == {"r": ("t", "u"), "q": ("t",)}


def test_a_twin_of_another_task_is_told_of_and_not_used():
    alike = {("r", "t"): SAME_TASK - 0.01, ("q", "t"): 0.1}
    (twin,), of = assign(alike, ["q", "r"], ["t"])
    assert (twin.reference, of) == ("", {"q": (), "r": ()})
    assert "does not look like a model of the same task" in twin.reason
    assert twin.likeness == SAME_TASK - 0.01


def test_a_twin_counts_for_what_it_is_said_to_be_of_unless_it_is_unlike():
    alike = {("r", "t"): 0.6, ("q", "t"): 0.9, ("r", "u"): 0.4, ("q", "u"): 0.95}
    known, of = assign(alike, ["q", "r"], ["t", "u"], declared={"t": ("r",), "u": ("r", "q")})
    assert of == {"q": ("u",), "r": ("t",)}
    (twin, _) = assign(alike, ["q", "r"], ["u"], declared={"u": ("r",)})[0][0], known
    assert (twin.reference, twin.likeness) == ("", 0.4)
    assert "it is given as of the task of r" in twin.reason


def test_a_twin_that_cannot_be_run_or_compared_is_not_used():
    known, of = assign({("r", "u"): float("nan")}, ["r"], ["t", "u"], {"t": "it cannot be run"})
    assert [twin.reason for twin in known] == [
        "it cannot be run",
        "nothing tells whose task it shares",
    ]
    assert of == {"r": ()}
