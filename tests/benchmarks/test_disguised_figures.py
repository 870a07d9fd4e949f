"""Areas, thresholds and shares of the benchmark of disguises, counted by hand."""

import math
from pathlib import Path

import pytest
from scipy.stats import mannwhitneyu

from benchmarks.disguises import figures, pairs, plan
from benchmarks.disguises.figures import Scored
from benchmarks.disguises.pairs import Suspect
from onnxattr.types.audit import CLOSER, DERIVED, UNDECIDABLE


def scored(victim, group, truth, value, verdict="", about=""):
    suspect = Suspect(victim, group, truth, Path(f"{group}.onnx"))
    return Scored(suspect, {"s": value}, verdict, about, verdict, about)


def test_the_area_is_that_of_mann_and_whitney():
    high, low = [0.9, 0.4, 0.5, 0.7], [0.1, 0.4, 0.6, 0.2, 0.3]
    found = mannwhitneyu(high, low).statistic / (len(high) * len(low))
    assert figures.area(high, low) == pytest.approx(found)


def test_what_has_no_score_is_not_found():
    assert figures.area([math.nan, 1.0], [0.0]) == 0.5
    assert math.isnan(figures.area([], [0.0]))


def test_thresholds_are_the_highest_of_independent_models_of_tuning_victims():
    tuning = [
        scored("a", "copy", "derived", 1.0),
        scored("a", "twin", "independent", 0.4),
        scored("b", "twin", "independent", 0.6),
        scored("b", "other", "independent", math.nan),
    ]
    assert figures.thresholds(tuning, ["s"])[False] == {"s": 0.6}
    assert math.isnan(figures.thresholds(tuning, ["t"])[False]["t"])
    # Models with their heads are told apart by themselves.
    assert math.isnan(figures.thresholds(tuning, ["s"])[True]["s"])


def test_rows_hold_shares_of_their_group():
    held_out = [
        scored("edge2d", "copy", "derived", 0.9),
        scored("reshade", "copy", "derived", 0.5),
        scored("edge2d", "twin", "independent", 0.7),
        scored("reshade", "twin", "independent", 0.1),
    ]
    copy, twin = figures.rows(held_out, {False: {"s": 0.6}})
    assert (copy.group, copy.count, copy.accused, copy.area) == ("copy", 2, {"s": 0.5}, {"s": 1.0})
    assert (twin.group, twin.accused, twin.area) == ("twin", {"s": 0.5}, {})


def test_a_verdict_is_right_if_it_is_about_the_one_that_the_model_comes_from():
    mine, other = pairs.reference_of("edge2d"), pairs.reference_of("reshade")
    derived = [
        scored("edge2d", "copy", "derived", 1.0, DERIVED, mine),
        scored("edge2d", "copy", "derived", 1.0, DERIVED, other),
        scored("edge2d", "copy", "derived", 1.0, CLOSER, mine),
        scored("edge2d", "copy", "derived", 1.0, UNDECIDABLE, mine),
    ]
    (row,) = figures.rows(derived, {False: {}})
    assert (row.audited, row.caught, row.wronged) == (4, 2, 1)
    assert (row.alone, row.caught_alone, row.wronged_alone) == (4, 1, 0)
    (row,) = figures.rows([scored("edge2d", "twin", "independent", 1.0, CLOSER, mine)], {False: {}})
    assert (row.caught, row.wronged, row.wronged_alone) == (0, 1, 1)


def test_one_of_another_victim_is_rightly_said_to_come_from_that():
    suspect = Suspect("edge2d", "t", "independent", Path("t.onnx"), ancestor="reshade")
    right, wrong = (
        Scored(suspect, {}, DERIVED, pairs.reference_of(victim)) for victim in ("reshade", "edge2d")
    )
    assert (right.caught, right.wronged) == (True, False)
    assert (wrong.caught, wrong.wronged) == (False, True)


def test_victims_are_tuned_on_or_reported_on_and_never_both():
    assert not set(plan.TUNING) & set(plan.HELD_OUT)
    for victim in (*plan.TUNING, *plan.HELD_OUT):
        assert plan.preceding(plan.following(victim)) == victim
        assert plan.entry(victim).family == "a"


def test_no_suspect_is_two_things(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    for victim in plan.HELD_OUT:
        found = pairs.suspects(victim)
        names = [one.name for one in found]
        assert len(set(names)) == len(names)
        assert {one.truth for one in found} == {"derived", "distilled", "independent"}
        assert not any(one.path.stem == f"{victim}-a" for one in found)


def test_a_score_that_was_not_made_is_not_counted():
    made, unmade = scored("c", "copy", "derived", 0.9), scored("d", "copy", "derived", 0.9)
    unmade.values.clear()
    (row,) = figures.rows([made, unmade], {False: {"s": 0.6}})
    assert (row.count, row.made, row.accused) == (2, {"s": 1}, {"s": 1.0})
