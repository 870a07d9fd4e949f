"""Makes a table of what a file says, and says what is wrong with it."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import ScoresError
from onnxattr.sanitise import MAX_NAME
from onnxattr.types import Scores

#: Names on either side: a table of them takes 3.2 GB.
MAX_NAMES = 20_000

#: How a file may write that there is no number.
_BLANK = ("", "nan", "na", "n/a", "none", "null", "-")


def number(text: str, where: str) -> float:
    """Returns the number that `text` says; NaN for a blank, `nan` and the like.

    Args:
        text: A cell.
        where: Whose cell it is, for the message.

    Raises:
        ScoresError: It is none, or not finite.
    """
    text = text.strip()
    if text.lower() in _BLANK:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ScoresError(f"{where} is no number: `{text[:80]}`") from None
    return finite(value, where)


def finite(value: float, where: str) -> float:
    """Returns `value`, which may be NaN.

    Raises:
        ScoresError: It is infinite.
    """
    if math.isinf(value):
        raise ScoresError(f"{where} is infinite")
    return value


def name_of(text: str, where: str) -> str:
    """Returns the name that `text` is.

    Raises:
        ScoresError: It is empty, or too long for a name.
    """
    text = text.strip()
    if not text:
        raise ScoresError(f"{where} has no name")
    if len(text) > MAX_NAME:
        raise ScoresError(f"{where} has a name of {len(text)} characters")
    return text


def from_matrix(
    values: Float64, sources: Sequence[str], targets: Sequence[str], file: str
) -> Scores:
    """Returns a table of a matrix [source, target] and its names.

    Raises:
        ScoresError: A name stands there twice, there are too many, or they are not as many as rows
            and columns.
    """
    for side, names in (("source", sources), ("target", targets)):
        if len(names) > MAX_NAMES:
            raise ScoresError(f"`{file}` has {len(names)} {side}s, over the limit of {MAX_NAMES}")
        if (twice := _twice(names)) is not None:
            raise ScoresError(f"`{file}` has the {side} `{twice}` twice")
    if values.shape != (len(sources), len(targets)):
        raise ScoresError(
            f"`{file}` has {len(sources)} sources and {len(targets)} targets, and a matrix of the "
            f"shape {list(values.shape)}"
        )
    return Scores("", tuple(sources), tuple(targets), values)


def from_pairs(pairs: Iterable[tuple[str, str, float]], file: str) -> Scores:
    """Returns a table of (source, target, number), in the order in which names come.

    Raises:
        ScoresError: A pair stands there twice, there are none, or too many names.
    """
    found: dict[tuple[str, str], float] = {}
    sources: dict[str, int] = {}
    targets: dict[str, int] = {}
    for source, target, value in pairs:
        if (source, target) in found:
            raise ScoresError(f"`{file}` has the source `{source}` of the target `{target}` twice")
        found[source, target] = value
        for name, names in ((source, sources), (target, targets)):
            if names.setdefault(name, len(names)) >= MAX_NAMES:
                raise ScoresError(f"`{file}` has over {MAX_NAMES} names")
    if not found:
        raise ScoresError(f"`{file}` has no pairs of a source and a target")
    values = np.full((len(sources), len(targets)), np.nan)
    for (source, target), value in found.items():
        values[sources[source], targets[target]] = value
    return from_matrix(values, list(sources), list(targets), file)


def _twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
