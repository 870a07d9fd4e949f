"""Why what is said of an input does not fit it; an empty string where it does."""

from collections.abc import Sequence
from typing import Any

from onnxattr.errors import ModelInputError
from onnxattr.graph.statement import Stated
from onnxattr.graph.walk import short
from onnxattr.registry import suggestion

#: Channels that a probe can be made to have: grey, colours, colours and opacity.
CHANNELS = (1, 3, 4)

#: Inputs among which a similar name is looked for, which takes time.
_SEARCHED = 100


def of_name(name: str, names: Sequence[str], kind: str = "inputs") -> str:
    """Says why `name` is no input."""
    if name in names:
        return ""
    hint = suggestion(name, names).strip() if len(names) <= _SEARCHED else ""
    return f"is none of its {kind}" + (f": {hint}" if hint else "")


def of_layout(layout: str, described: str, shape: Sequence[int | None]) -> str:
    """Says why the input `described`, of `shape`, has not that layout."""
    if len(layout) != len(shape):
        return f"has {len(layout)} axes, and the input {len(shape)}"
    channels = dict(zip(layout, shape, strict=True)).get("C") or 3
    if channels not in CHANNELS:
        return f"gives its input {described} {channels} channels, and an image has 1, 3 or 4"
    return ""


def of_size(size: tuple[int, int], height: int | None, width: int | None) -> str:
    """Says why an input of that height and width, None where they are free, has not that size."""
    if all(fixed in (None, said) for fixed, said in zip((height, width), size, strict=True)):
        return ""
    return f"contradicts the graph, which fixes {height or '?'}×{width or '?'}"


def of_values(value: Any, channels: int) -> str:
    """Says why a mean or a std does not fit that many channels."""
    three = isinstance(value, tuple) and len(value) == 3
    return "has three values, and the input one channel" if three and channels == 1 else ""


def require_inputs(said: Stated, others: Sequence[str]) -> None:
    """Makes sure that fixed values are those of inputs that there are.

    Raises:
        ModelInputError: One is not.
    """
    for name in said.fixed:
        if reason := of_name(name, others, "further inputs"):
            raise ModelInputError(
                f"the input `{short(name)}`, of which a fixed value is given ({said.fixed_by}), "
                f"{reason}"
            )
