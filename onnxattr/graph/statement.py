"""Who says what of a model, and whose word holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxattr.errors import ModelInputError
from onnxattr.graph.options import InputOptions, listed
from onnxattr.graph.walk import short


@dataclass(frozen=True)
class Statement:
    """What one of them says of a model.

    Attributes:
        who: Who says it, as `InputSpec.sources` names him.
        options: What is said of the input.
        input: Which input takes the probe.
        at: What is attributed.
        fixed: Values of the other inputs.
        where: How messages call who says it; by default `who`.
        ignored: What makes no sense in itself, and why, by part; of metadata only.
        doubted: Whether what does not fit the model is left out instead of refused. Metadata is
            a vendor's word.
    """

    who: str
    options: InputOptions = field(default_factory=InputOptions)
    input: str | None = None
    at: str | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    where: str = ""
    ignored: Mapping[str, str] = field(default_factory=dict)
    doubted: bool = False

    def __call__(self, part: str) -> Any:
        """Returns what is said of a part, or None."""
        return getattr(self if part in ("input", "at") else self.options, part)


#: Says why a value does not fit the model, or nothing.
Misfit = Callable[[Any], str]


class Stated:
    """All that is said of a model, in falling precedence; every part is decided by itself.

    Args:
        *said: Who says what.
    """

    def __init__(self, *said: Statement) -> None:
        self._said = said
        self._dropped: set[tuple[int, str]] = set()
        self._ignored: dict[str, list[str]] = {}
        for statement in said:
            for part, reason in statement.ignored.items():
                self._ignored.setdefault(part, []).append(reason)

    def __call__(
        self, part: str, misfit: Misfit | None = None, *, trusted: str = ""
    ) -> tuple[Any, str] | None:
        """Returns the first that is said of a part, and who says it.

        Args:
            part: One of `PARTS`, `input` or `at`.
            misfit: Says why a value does not fit. What does not is passed over from here on, if its
                source is doubted.
            trusted: Whose values are taken without.

        Raises:
            ModelInputError: A value does not fit, and its source is not doubted.
        """
        for number, statement in enumerate(self._said):
            value = statement(part)
            if value is None or (number, part) in self._dropped:
                continue
            unchecked = misfit is None or statement.who == trusted
            reason = "" if unchecked or misfit is None else misfit(value)
            if not reason:
                return value, statement.who
            what = text_of(part, value)
            if not statement.doubted:
                raise ModelInputError(f"{what} ({statement.where or statement.who}) {reason}")
            self._dropped.add((number, part))
            self._ignored.setdefault(part, []).append(f"{what} {reason}")
        return None

    def says_any(self, *parts: str) -> str | None:
        """Returns who says anything of some parts first, or None."""
        return next((found[1] for part in parts if (found := self(part))), None)

    @property
    def fixed(self) -> Mapping[str, float]:
        """Values of the inputs that are not the probe."""
        merged: dict[str, float] = {}
        for statement in reversed(self._said):
            merged |= statement.fixed
        return merged

    @property
    def fixed_by(self) -> str:
        """How messages call who says those values."""
        return next((s.where or s.who for s in self._said if s.fixed), "")

    def ignored(self, part: str) -> str:
        """Returns what metadata says of a part and is not believed, with the reasons, or ''."""
        return "; ".join(self._ignored.get(part, []))

    def noted(self, part: str, source: str) -> str:
        """Returns the source of a part together with what is not believed of it."""
        ignored = self.ignored(part)
        return f"{source}; metadata: ignored, {ignored}" if ignored else source


def text_of(part: str, value: Any) -> str:
    """Returns what is said of a part as messages call it: `the mean 1 2 3`, `the input `x``."""
    if part in ("input", "at"):
        return f"the {'tensor' if part == 'at' else part} `{short(value)}`"
    if part == "size":
        return f"the size {'×'.join(map(str, value))}"
    shown = listed(value) if isinstance(value, tuple) else value
    return f"the {part.replace('_', ' ')} {shown}"
