"""Matrices in NumPy's files; pickled objects are never read."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from onnxattr.arrays import Float64
from onnxattr.errors import ScoresError
from onnxattr.scores.table import from_matrix, name_of
from onnxattr.types import Scores

#: Bytes of an array, unpacked.
MAX_ARRAY = 2**30

#: Arrays of names in an archive: of sources and of targets, or of both.
SOURCES, TARGETS, NAMES, MATRIX = "sources", "targets", "names", "matrix"


def read_npy(data: bytes, path: Path) -> Scores:
    """Returns the matrix [source, target] of a `.npy` file, with the names that stand beside it.

    They are in a file with the suffix `.txt` in the place of `.npy`, one a line, for both axes.

    Raises:
        ScoresError: Either file is missing or damaged, or they do not fit.
    """
    beside = path.with_suffix(".txt")
    try:
        lines = beside.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ScoresError(
            f"`{path}` has no names",
            hint=f"write them into `{beside.name}`, one a line, or into the array `{NAMES}` of a "
            ".npz",
        ) from None
    names = [name_of(line, f"a line of `{beside}`") for line in lines if line.strip()]
    return from_matrix(
        _numbers(_array(io.BytesIO(data), str(path)), str(path)), names, names, str(path)
    )


def read_npz(data: bytes, path: Path) -> Scores:
    """Returns the matrix of a `.npz` file: `matrix`, and `names` or `sources` and `targets`.

    Raises:
        ScoresError: It is damaged, or one of these is missing.
    """
    file = str(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            arrays = {}
            for key in (SOURCES, TARGETS, NAMES, MATRIX):
                if key in listed:
                    if listed[key].file_size > MAX_ARRAY:
                        raise ScoresError(f"the array `{key}` of `{file}` takes over 1 GiB")
                    arrays[key] = _array(io.BytesIO(archive.read(listed[key])), file)
    except ScoresError:
        raise
    except Exception as error:
        # Archives make zipfile and zlib raise whatever damaged bytes make them hit.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ScoresError(f"`{file}` cannot be read: {reason}") from None
    both = arrays.get(NAMES)
    sources, targets = arrays.get(SOURCES, both), arrays.get(TARGETS, both)
    if MATRIX not in arrays or sources is None or targets is None:
        held = ", ".join(f"`{name[:80]}`" for name in list(listed)[:8]) or "nothing"
        raise ScoresError(
            f"`{file}` has no matrix with names: it holds {held}",
            hint=f"the arrays `{MATRIX}` [source, target] and `{NAMES}`, or `{SOURCES}` and "
            f"`{TARGETS}`",
        )
    return from_matrix(
        _numbers(arrays[MATRIX], file), _strings(sources, file), _strings(targets, file), file
    )


def _array(stream: io.BytesIO, file: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Returns an array, once its header says that it holds no objects and no more than it has.

    Raises:
        ScoresError: Its header is damaged, it holds objects, or fewer bytes than it says.
    """
    try:
        version = npy.read_magic(stream)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, fortran, dtype = readers[version](stream, max_header_size=10_000)
    except Exception:  # A header is an expression of Python, and numpy raises what its parser does.
        raise ScoresError(f"`{file}` is no array: its header is damaged") from None
    if dtype.hasobject:
        raise ScoresError(
            f"`{file}` holds Python objects, which could run code", hint="save numbers and strings"
        )
    rest = stream.read()
    size = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or size != len(rest):
        raise ScoresError(f"`{file}` holds {len(rest)} bytes, and says {size} of them")
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def _numbers(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], file: str) -> Float64:
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise ScoresError(
            f"`{file}` is no matrix of numbers: it has the shape {list(array.shape)} and the type "
            f"{array.dtype.name[:80]}"
        )
    with np.errstate(over="ignore"):
        values: Float64 = array.astype(np.float64)
    if np.isinf(values).any():
        raise ScoresError(f"`{file}` holds numbers that are infinite")
    return values


def _strings(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], file: str) -> list[str]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise ScoresError(f"the names of `{file}` are no row of strings")
    try:
        return [name_of(str(name), f"a model of `{file}`") for name in array]
    except (ValueError, UnicodeDecodeError):  # A code point beyond Unicode.
        raise ScoresError(f"the names of `{file}` are no text") from None
