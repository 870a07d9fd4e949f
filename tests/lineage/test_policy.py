"""Conditions that an audit fails by."""

import math

import pytest
from test_verdict import match, relation

from onnxattr.errors import UsageError
from onnxattr.lineage.policy import NUMBERS, Condition, judge, parse_condition
from onnxattr.types import Source, Target, Verdict
from onnxattr.types.audit import VERDICTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("derived", ("derived", "", 0.0)),
        (" Closer ", ("closer", "", 0.0)),
        ("similarity>0.9", ("similarity", ">", 0.9)),
        ("similarity >= .9", ("similarity", ">=", 0.9)),
        ("p<0.05", ("p", "<", 0.05)),
        ("copied<=1e-3", ("copied", "<=", 1e-3)),
    ],
)
def test_what_conditions_mean(text, expected):
    assert parse_condition(text) == Condition(text, *expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no condition"),
        (">0.9", "is no condition"),
        ("similarity>0.9>1", "says nothing that `similarity` is compared with"),
        ("similarity", "says nothing that"),
        ("similarity>", "is no condition"),
        ("similarity>much", "says nothing that"),
        ("similarity>nan", "says nothing that"),
        ("similarity>inf", "says nothing that"),
        ("derived>0.5", "`derived` is a verdict"),
        ("dervied", "there is no condition `dervied`"),
    ],
)
def test_what_is_no_condition(text, message):
    with pytest.raises(UsageError, match=message):
        parse_condition(text)


def test_the_closest_name_is_told():
    with pytest.raises(UsageError) as told:
        parse_condition("dervied")
    assert "did you mean `derived`?" in told.value.hint


def verdict(kind, p=math.nan):
    return Verdict(kind, "r", (), p, 1.0, ())


@pytest.mark.parametrize(
    ("name", "crossing"),
    [
        ("identical", [0]),
        ("derived", [0, 1]),
        ("closer", [0, 1, 2]),
        ("undecidable", [4]),
    ],
)
def test_verdicts_that_cross(name, crossing):
    condition = [parse_condition(name)]
    found = [judge(condition, verdict(kind), [], None)[0].crossed for kind in VERDICTS]
    assert [place for place, crossed in enumerate(found) if crossed] == crossing


def test_numbers_are_the_largest_of_all_references():
    some = [relation("a", match=match("a", 0.3, copied=0.5)), relation("b", score=0.2)]
    rows = [Source(n, 1, False, v, 0, 1, None, False) for n, v in (("a", 0.7), ("b", 0.95))]
    near = Target("s", tuple(rows))
    texts = ["similarity>0.9", "weights>0.3", "weights>=0.3", "copied>0.4", "score<0.1", "p<0.05"]
    gates = judge([parse_condition(t) for t in texts], verdict(VERDICTS[3], 0.5), some, near)
    assert [gate.crossed for gate in gates] == [True, False, True, True, False, False]
    assert gates[0].reason == "the largest cosine of maps to a reference is 0.95"


@pytest.mark.parametrize("name", NUMBERS)
def test_a_gate_without_its_number_stays_shut(name):
    bare = relation(match=None, finding=None, behaviour=())
    for sign in "<>":
        (gate,) = judge([parse_condition(f"{name}{sign}0.5")], verdict(VERDICTS[4]), [bare], None)
        assert gate.crossed
        assert "could not be had" in gate.reason
