"""What a measure must know whatever transfer says."""

import numpy as np

from samples.miniature import controls, zoo
from samples.miniature.controls import Question, places

ALL = {entry.name for entry in zoo.ZOO}
A = {entry.name for entry in (*zoo.ZOO_A, *zoo.OTHERS)}


def test_a_place_counts_sources_that_are_closer() -> None:
    names = ("t", "near", "twin", "far")
    scores = np.full((4, 4), -1.0)
    scores[:, 0] = [1.0, 0.9, 0.5, 0.1]
    wanted = Question("", {"t": "twin"}, names)
    assert places(scores, names, wanted) == [2]
    assert places(scores, names, Question("", {"t": "twin"}, ("twin", "far"))) == [1]


def test_equal_and_missing_scores_count_against_the_wanted() -> None:
    names = ("t", "other", "twin")
    for rival in (0.5, np.nan):
        scores = np.array([[1.0, 0, 0], [rival, 0, 0], [0.5, 0, 0]])
        assert places(scores, names, Question("", {"t": "twin"}, names)) == [2]
    scores = np.array([[1.0, 0, 0], [0.1, 0, 0], [np.nan, 0, 0]])
    assert places(scores, names, Question("", {"t": "twin"}, names)) == [2]


def test_columns_are_targets() -> None:
    names = ("t", "other", "twin")
    scores = np.array([[1.0, 0.3, 0.1], [0.2, 1.0, 0.9], [0.8, 0.0, 1.0]])
    assert places(scores, names, Question("", {"t": "twin"}, names)) == [1]
    assert places(scores.T, names, Question("", {"t": "twin"}, names)) == [2]


def test_zoo_a_asks_nothing_of_zoo_b() -> None:
    asked = controls.questions("a", ALL)
    assert len(asked) == 4
    assert not any(name.endswith("-b") for q in asked for name in (*q.wanted, *q.sources))


def test_every_task_is_asked_for_in_both_zoos() -> None:
    asked = {q.text: q for q in controls.questions("b", ALL)}
    assert len(asked["the same, among both zoos"].wanted) == 40
    for question in asked.values():
        for target, source in question.wanted.items():
            assert source in question.sources
            assert source == zoo.CONTROL.name or source.split("-")[0] == target.split("-")[0]


def test_what_is_not_there_is_not_asked_for() -> None:
    asked = controls.questions("a", A - {"rgb2depth-vit"})
    assert [q.text for q in asked] == ["same task, residual", "same task, large", "untrained"]
