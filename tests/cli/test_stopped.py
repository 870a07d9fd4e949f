"""What is said of a ranking that took probes until it was decided."""

import pytest
from typer.testing import CliRunner

from onnxattr.cli.app import app
from onnxattr.report.stopped import stopped_lines
from onnxattr.types import Settled, Stopping


def stopping(*targets: Settled, top: int = 1, probes: int = 96) -> Stopping:
    return Stopping(top, 0.95, 24, probes, 200, {}, targets)


def lines(*targets: Settled, one: bool = True, top: int = 1) -> list[str]:
    return list(stopped_lines(stopping(*targets, top=top), one=one))


DONE = Settled("a", 24, ("b",), (True,), ())
TIED = Settled("b", 40, ("a",), (False,), (("a", "c"), ("a", "d")))


def test_decided() -> None:
    assert lines(DONE) == [
        "the closest source is decided after 24 of 200 probes, at 95% confidence"
    ]
    three = Settled("a", 200, ("b", "c", "d"), (True,) * 3, ())
    assert lines(three, top=3) == [
        "the order of the 3 closest sources is decided after all 200 probes, at 95% confidence"
    ]


def test_tied() -> None:
    assert lines(TIED) == [
        "not decided after 40 of 200 probes: place 1 is a, c or d; "
        "the probes left would hardly tell"
    ]
    end = Settled("a", 200, ("b", "c"), (True, False), (("c", "d"),))
    assert lines(end, top=2) == ["not decided after all 200 probes: place 2 is c or d"]
    many = Settled("a", 200, ("b",), (False,), tuple(("b", f"m{i}") for i in range(9)))
    assert lines(many) == ["not decided after all 200 probes: place 1 is b, m0, m1 or 7 more"]


def test_interrupted_and_too_few() -> None:
    early = Settled("a", 40, ("b", "c"), (False, False), (("b", "c"),))
    assert lines(early, top=2)[0].startswith(
        "not decided after 40 of 200 probes: place 1 is b or c, place 2 is c or one behind it"
    )
    few = Settled("a", 12, ("b",), (False,), ())
    assert lines(few) == ["not decided after 12 of 200 probes: 24 or more are needed"]


def test_all_models() -> None:
    more = Settled("c", 56, ("b",), (True,), ())
    assert lines(DONE, more, TIED, one=False) == [
        "the closest source is decided for 2 of 3 models, after 24 to 56 of 200 probes, "
        "at 95% confidence",
        "b: not decided after 40 of 200 probes: place 1 is a, c or d; "
        "the probes left would hardly tell",
    ]
    assert lines(TIED, one=False)[0] == (
        "the closest source is decided for 0 of 1 models, at 95% confidence"
    )


def test_names_are_cleaned() -> None:
    (line,) = lines(Settled("a", 200, ("b\x1b[31m",), (False,), (("b\x1b[31m", "c"),)))
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "3"], "--top says nothing without --until-stable"),
        (["--confidence", "0.9"], "--confidence says nothing without --until-stable"),
        (["--until-stable", "--top", "0"], "--top takes a whole number from 1, not `0`"),
        (["--until-stable", "--confidence", "2"], "from 0.5 to below 1, not `2.0`"),
        (["--until-stable", "--measure", "rsa"], "stops by `attribution` alone: `rsa`"),
    ],
)
def test_wrong_requests_are_one_clear_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["rank", "samples/models", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
