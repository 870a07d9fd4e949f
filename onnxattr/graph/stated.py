"""What is said of a model's input, by whom: the user's options, a file beside it, its metadata."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from onnxattr.graph.options import InputOptions
from onnxattr.types import OPTION, Model


class Stated:
    """All that is said of an input, in falling precedence.

    Args:
        *said: Who says it, and what.
    """

    def __init__(self, *said: tuple[str, InputOptions]) -> None:
        self._said = said

    def __call__(self, part: str) -> tuple[Any, str] | None:
        """Returns the first that is said of a part, and who says it."""
        for who, options in self._said:
            value = getattr(options, part)
            if value is not None:
                return value, who
        return None

    def says_any(self, *parts: str) -> str | None:
        """Returns who says anything of some parts first, or None."""
        return next((found[1] for part in parts if (found := self(part))), None)


def stated(model: Model, options: InputOptions | None = None) -> Stated:
    """Returns what is said of the input of `model`: by options, by its sidecar, by its metadata."""
    return Stated((OPTION, options or InputOptions()))


#: What can be said.
PARTS = tuple(f.name for f in fields(InputOptions))
