"""Options that take several values."""

import pytest
import typer

from onnxattr.cli.lists import gathering

CASES = [
    (["s", "--many", "a", "b", "c"], ("s", ["a", "b", "c"], None)),
    (["s", "--many", "a", "b", "--one", "1"], ("s", ["a", "b"], "1")),
    (["s", "--one", "1", "--many", "a", "--many", "b", "c"], ("s", ["a", "b", "c"], "1")),
    (["s", "--many=a", "--one", "1"], ("s", ["a"], "1")),
    (["--many", "a", "b", "--", "s"], ("s", ["a", "b"], None)),
    (["--one", "1", "s", "-m", "a", "-"], ("s", ["a", "-"], "1")),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_all_values_up_to_the_next_option_are_its(given, expected):
    seen = []
    app = typer.Typer()

    @app.command(cls=gathering("--many", "-m"))
    def command(
        name: str,
        many: list[str] = typer.Option(..., "--many", "-m"),  # noqa: B008
        one: str = typer.Option(None),
    ) -> None:
        seen.append((name, many, one))

    app(args=given, standalone_mode=False)
    assert seen == [expected]
