"""What users name as the source of an export: a file, a directory, or an object in a module."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr_adapters import ExportError
from onnxattr_adapters._file import Array, one_line

_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_SHAPE = re.compile(r"(\d{1,9}(?:x\d{1,9})*)(?::(\w{1,16}))?")

#: Elements of an example: more would be no example.
_LARGEST = 2**28


def is_object(source: str) -> bool:
    """Return whether a source has the form `module:callable`.

    Example:
        >>> is_object("package.models:make"), is_object("C:/models/net.pt2")
        (True, False)
    """
    return _OBJECT.fullmatch(source) is not None


def has_suffix(source: str, *suffixes: str) -> bool:
    """Return whether the name of a source ends like this, in letters of any size."""
    return source.lower().endswith(suffixes)


def load_object(source: str) -> Any:
    """Import and return the object that `module:callable` names; this runs the module.

    Raises:
        ExportError: There is no such module or object, or importing it fails.
    """
    name, _, path = source.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except Exception as error:  # a module may raise whatever it likes
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise ExportError(f"the module `{name}` cannot be imported: {reason}") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ExportError(f"the module `{name}` has no `{path}`") from None
    return found


def existing(source: str) -> Path:
    """Return the path of a source that is a file or a directory.

    Raises:
        ExportError: There is none.
    """
    path = Path(source)
    if not path.exists():
        raise ExportError("there is no such file")
    return path


def arrays(example: Sequence[str]) -> list[Array]:
    """Return example inputs: noise from a fixed seed in shapes such as `2x3x224x224`, or files.

    Numbers are uniform in 0..1. A type may follow, as in `2x7:int64`, whose values are 0 and 1; a
    name that ends in `.npy` is an array in NumPy's format, which is never unpickled.

    Raises:
        ExportError: One is neither, or too large.

    Example:
        >>> [a.shape for a in arrays(["2x3x8x8", "2x7:int64"])]
        [(2, 3, 8, 8), (2, 7)]
    """
    rng = np.random.default_rng(0)
    return [_array(text, rng) for text in example]


def _array(text: str, rng: np.random.Generator) -> Array:
    if text.endswith(".npy"):
        try:
            return np.asarray(np.load(text, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise ExportError(f"the example `{os.path.basename(text)}`: {error}") from None
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ExportError(f"an example is a shape such as 2x3x224x224, not `{text}`")
    shape = tuple(map(int, match[1].split("x")))
    if np.prod(shape, dtype=object) > _LARGEST:
        raise ExportError(f"the example `{text}` has more than {_LARGEST} elements")
    try:
        kind = np.dtype(match[2] or "float32")
    except TypeError:
        kind = np.dtype(object)
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    if kind.kind in "iub":
        return rng.integers(0, 2, shape).astype(kind)
    raise ExportError(f"the example `{text}` has a type that is no number")
