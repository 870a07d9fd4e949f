"""Probes that are no images: an array in a file. Imports `types`, `errors`, `arrays`."""

import math
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from onnxattr.arrays import Probing
from onnxattr.errors import ProbeError
from onnxattr.types import ARRAY, TOKENS

SUFFIXES = (".npy", ".npz")

#: Bytes of an array, as it is stored.
MAX_BYTES = 2**30

#: Axes of an array, the first of which counts the probes.
MAX_AXES = 8

#: Ids are rows of a table.
MAX_ID = 2**31 - 1

#: Characters of the header of an array, and arrays in a file: all that messages name.
_MAX_HEADER, _LISTED = 10_000, 8


def is_array(source: str | Path) -> bool:
    """Whether a file is one of arrays, by its name."""
    return str(source).lower().endswith(SUFFIXES) and not os.path.isdir(source)


def read_array(file: Path, name: str | None = None) -> tuple[str, Probing]:
    """Returns the kind of the probes in a file, and the probes: float32, or token ids in int64.

    Args:
        file: `.npy`, or `.npz` with one array, or with one of that name.
        name: Of the input that takes the probes.

    Raises:
        ProbeError: It is missing, damaged or too large, holds Python objects, or numbers that make
            no sense.
    """
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise ProbeError(f"the probes `{file}` are no regular file")
        with open(file, "rb") as stream:
            # As numpy does: what is in a file says what it is, whatever it is called.
            if stream.read(4) == b"PK\x03\x04":
                values = _from_archive(stream, file, name)
            else:
                stream.seek(0)
                values = _read(stream, f"`{file}`")
    except FileNotFoundError:
        raise ProbeError(f"the probes `{file}` do not exist") from None
    except ProbeError:
        raise
    except Exception as error:
        # Archives make zipfile and zlib raise whatever damaged bytes make them hit.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ProbeError(f"the probes `{file}` cannot be read: {reason}") from None
    return _checked(values, f"the probes `{file}`")


def trial_array(kind: str, shape: Sequence[int], count: int) -> Probing:
    """Returns a few probes of a shape for a first try: normal noise, or small token ids; seeded."""
    rng = np.random.default_rng(0)
    if kind == TOKENS:
        return rng.integers(0, 8, (count, *shape))
    return rng.standard_normal((count, *shape), np.float32)


def _from_archive(stream: IO[bytes], file: Path, name: str | None) -> Probing:
    with zipfile.ZipFile(stream) as archive:
        members = {m.removesuffix(".npy"): m for m in archive.namelist()}
        listing = ", ".join(f"`{m[:80]}`" for m in list(members)[:_LISTED])
        listing += f" and {len(members) - _LISTED} more" if len(members) > _LISTED else ""
        if name not in members and len(members) != 1:
            raise ProbeError(
                f"the probes `{file}` are {len(members)} arrays: {listing or 'none'}",
                hint="--input-name NAME takes the one of that name, and gives it to the input of "
                "that name",
            )
        member = members[name] if name in members else next(iter(members.values()))
        with archive.open(member) as inside:
            return _read(inside, f"`{member[:80]}` in `{file}`")


def _read(stream: IO[bytes], what: str) -> Probing:
    """Returns an array, once its header says that it is one of numbers, and no more than allowed.

    Raises:
        ValueError: It is none.
        ProbeError: It holds Python objects, or too many numbers.
    """
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"arrays of version {version[0]}.{version[1]} are not known")
    try:
        shape, fortran, dtype = readers[version](stream, max_header_size=_MAX_HEADER)
    except Exception:  # A header is an expression of Python, and numpy raises what its parser does.
        raise ValueError("its header is damaged, or too long") from None
    if dtype.hasobject:
        raise ProbeError(
            f"the probes {what} are Python objects, which could run code",
            hint="save an array of numbers",
        )
    if dtype.kind not in "fiu":
        raise ProbeError(
            f"the probes {what} are of type {dtype.name[:80]}, which is neither floating point nor "
            "whole numbers"
        )
    if any(size < 0 for size in shape) or len(shape) > MAX_AXES:
        raise ValueError(f"it has the shape {list(shape)[:MAX_AXES]}…")
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        text = f"{size / 2**30:.3g} GiB" if size < 2**50 else "over a million GiB"
        raise ProbeError(
            f"the probes {what} take {text}, over the limit of {MAX_BYTES / 2**30:g} GiB",
            hint="save fewer of them",
        )
    # A header may promise what is not there, so nothing is allocated for its sake.
    data = stream.read(size)
    if len(data) < size:
        raise ValueError(f"it ends after {len(data)} of {size} bytes")
    array: Probing = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _checked(values: Probing, what: str) -> tuple[str, Probing]:
    """Returns what the numbers are, and the numbers as float32 or int64."""
    if values.ndim < 2 or not values.size:
        raise ProbeError(
            f"{what} have the shape {list(values.shape)}",
            hint="the first axis counts the probes, and there are others behind it",
        )
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(values, np.float32)
        if not (fine := np.isfinite(numbers)).all():
            row = int(np.argmin(fine.reshape(len(fine), -1).all(axis=1)))
            raise ProbeError(f"{what} hold numbers that are not finite in float32: probe {row}")
        return ARRAY, numbers
    if values.ndim != 2:
        raise ProbeError(
            f"{what} are whole numbers of the shape {list(values.shape)}, and token ids are "
            "[probe, length]",
            hint="save numbers that are no ids as floating point",
        )
    if values.min() < 0 or values.max() > MAX_ID:
        raise ProbeError(f"{what} hold token ids below 0 or over {MAX_ID}")
    return TOKENS, np.ascontiguousarray(values, np.int64)
