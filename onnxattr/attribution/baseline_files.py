"""Baselines as text: names, or what is in a file. Loads no torch."""

from __future__ import annotations

import base64
import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.errors import ProbeError, UsageError
from onnxattr.probe_arrays import is_array, read_array
from onnxattr.probes import CANVAS, read_image
from onnxattr.registry import closest
from onnxattr.types import ARRAY

#: What is known by name.
NAMES = ("black", "white", "grey", "mean", "blur", "noise")

#: What an image, and an array, begin with as text.
PREFIXES = _IMAGE, _ARRAY = ("image-", "array-")

#: Bytes of an array as a file has it: a method is sent to every worker.
MAX_BYTES = 2**24


def resolve(text: str) -> str:
    """Returns the text of baselines with the contents of files in place of their paths.

    Args:
        text: Names and paths, separated by `+`; or one path, which may contain that.

    Raises:
        UsageError: A part is neither a name nor a file, or the array is too large.
        ProbeError: The file cannot be read, or holds no array [1, …] of floating point.
    """
    parts = [text] if os.path.isfile(text) else text.split("+")
    return "+".join(_resolved(part) for part in parts)


def _resolved(part: str) -> str:
    if part in NAMES or part.startswith(PREFIXES):
        return part
    if not os.path.isfile(part):
        raise UsageError(
            f"there is no baseline `{part}`, nor a file of that name", hint=closest(part, NAMES)
        )
    if not is_array(part):
        return _text(_IMAGE, read_image(Path(part), CANVAS))
    kind, values = read_array(Path(part))
    if kind != ARRAY or len(values) != 1:
        raise ProbeError(
            f"the baseline `{part}` is {'whole numbers' if kind != ARRAY else len(values)}",
            hint="save one probe of floating point, [1, …]",
        )
    if values.nbytes > MAX_BYTES:
        raise UsageError(f"the baseline `{part}` takes over {MAX_BYTES >> 20} MiB")
    return _text(_ARRAY, values[0])


def stored(text: str) -> np.ndarray[Any, Any]:
    """Returns what `resolve` read: an image, uint8 [y, x, 3], or an array, float32 […]."""
    data = zlib.decompress(base64.urlsafe_b64decode(text.partition("-")[2]))
    found: np.ndarray[Any, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return found


def _text(prefix: str, values: np.ndarray[Any, Any]) -> str:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return prefix + base64.urlsafe_b64encode(zlib.compress(stream.getvalue())).decode()
