"""Options that take several values: `--against a.onnx b.onnx`, as a shell makes of a glob."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand


def gathering(*names: str) -> type[TyperCommand]:
    """Returns a kind of command whose options of these names take all values that follow them.

    Click's options take a fixed number of values each. What follows such an option, up to the next
    one, is given to it value by value, so that arguments are to stand in front.

    Args:
        names: As they are typed: `--against`, `-a`.
    """

    class Gathering(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, _repeated(args, names))

    return Gathering


def _repeated(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Returns arguments with an option repeated before each further value of it."""
    found: list[str] = []
    current, fresh = "", False
    for number, given in enumerate(arguments):
        if given == "--":
            return [*found, *arguments[number:]]
        if given in names:
            current, fresh = given, True
            found.append(given)
            continue
        if given.startswith("-") and given != "-":
            current = ""
        elif current and not fresh:
            found.append(current)
        fresh = False
        found.append(given)
    return found
