"""Areas, thresholds and shares of the benchmark of disguises, counted by hand."""

import math
from pathlib import Path

import pytest
from scipy.stats import mannwhitneyu

from benchmarks.disguises import figures, pairs, plan
from benchmarks.disguises.figures import Scored
from benchmarks.disguises.pairs import Suspect


def scored(victim, group, truth, value, verdict=""):
    return Scored(Suspect(victim, group, truth, Path(f"{group}.onnx")), {"s": value}, verdict)


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
    assert figures.thresholds(tuning, ["s"]) == {"s": 0.6}
    assert math.isnan(figures.thresholds(tuning, ["t"])["t"])


def test_rows_hold_shares_of_their_group():
    held_out = [
        scored("c", "copy", "derived", 0.9, "weight-derived"),
        scored("d", "copy", "derived", 0.5, "undecidable"),
        scored("c", "twin", "independent", 0.7),
        scored("d", "twin", "independent", 0.1),
    ]
    copy, twin = figures.rows(held_out, {"s": 0.6})
    assert (copy.group, copy.count, copy.accused, copy.area) == ("copy", 2, {"s": 0.5}, {"s": 1.0})
    assert copy.verdicts == {"undecidable": 0.5, "weight-derived": 0.5}
    assert (twin.group, twin.accused, twin.area) == ("twin", {"s": 0.5}, {})


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
    (row,) = figures.rows([made, unmade], {"s": 0.6})
    assert (row.count, row.made, row.accused) == (2, {"s": 1}, {"s": 1.0})
