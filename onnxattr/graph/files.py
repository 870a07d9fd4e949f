"""Reads a model's bytes and its external data, from regular files and never more than allowed."""

import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper

from onnxattr.errors import LimitError, ModelFileError
from onnxattr.graph.walk import messages, short
from onnxattr.limits import Limits

_GIB = 2**30


def read_file(path: Path, limits: Limits, name: str) -> bytes:
    """Returns the bytes of a model file, read once.

    Raises:
        ModelFileError: It is missing, unreadable, or not a regular file.
        LimitError: It is larger than `limits` allow.
    """
    # What is opened is looked at again: the file may have been replaced in between. Without
    # O_NONBLOCK the opening of a pipe would wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _require_regular(path.stat(), path, name)
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            _require_regular(status, path, name)
            if status.st_size > limits.file_size:
                raise _too_large(status.st_size, limits, name)
            # Python sets aside as much as it is asked to read at most.
            data = file.read(min(limits.file_size, max(status.st_size, 2**20)) + 1)
    except FileNotFoundError:
        raise ModelFileError(f"`{path}` does not exist", model=name) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"`{path}` cannot be read: {reason}", model=name) from None
    if len(data) > min(limits.file_size, max(status.st_size, 2**20)):
        raise _too_large(len(data), limits, name)
    return data


def read_external_data(
    proto: onnx.ModelProto, folder: Path | None, room: int, limits: Limits, name: str
) -> Iterator[tuple[TensorProto, TensorProto]]:
    """Reads external data, in a fixed order; yields the tensor in `proto`, and a whole copy of it.

    Who wants the data in `proto` copies it there.

    Locations outside of `folder`, links of both kinds and what is no regular file are refused by
    onnx, which opens the files.

    Args:
        proto: The model, which is changed.
        folder: Where its file is, or None where it came as bytes.
        room: Bytes that may still be read.
        limits: What bounds them, for the message.
        name: The model's name.

    Raises:
        ModelFileError: A file is missing or must not be used.
        LimitError: There is more than `room` has space for.
    """
    for tensor in messages(proto):
        if not isinstance(tensor, TensorProto) or tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        where = f"its external data file `{short(location)}`"
        if len(entries) < len(tensor.external_data):
            raise ModelFileError(f"{where} is described twice", model=name)
        if "\0" in location:
            # What reads the name as C does ends there, and may open another file.
            raise ModelFileError(f"{where} cannot be used: its name holds a zero", model=name)
        if len(location) > limits.name:
            raise LimitError(f"{where} has a name of {len(location):,} characters", model=name)
        if folder is None:
            raise ModelFileError(
                f"weights are in a second file, `{short(location)}`, that bytes cannot bring along",
                hint="give the path of the model instead",
                model=name,
            )
        room -= _announced(folder, location, entries)
        if room < 0:
            raise _too_large(limits.file_size - room, limits, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of keys that nobody knows.
                # Protobuf frees nothing of a message until it frees all of it.
                loaded = TensorProto()
                loaded.CopyFrom(tensor)
                external_data_helper.load_external_data_for_tensor(loaded, str(folder))
        # RuntimeError: C++'s filesystem errors.
        except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
            detail = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
            missing = not os.path.lexists(folder / location)
            raise ModelFileError(
                f"{where} is missing" if missing else f"{where} cannot be used: {detail}",
                hint="put it beside the model, under the name that it was exported with",
                model=name,
            ) from None
        # onnx does both since 1.22; whoever is told of the tensor must not read the file again.
        for message in (tensor, loaded):
            message.data_location = TensorProto.DEFAULT
            del message.external_data[:]
        yield tensor, loaded


def external_size(proto: onnx.ModelProto, folder: Path | None) -> int:
    """Returns how many bytes of external data the main graph's initializers announce."""
    return sum(
        _announced(folder, entries.get("location", ""), entries)
        for tensor in proto.graph.initializer
        if folder and tensor.data_location == TensorProto.EXTERNAL
        for entries in [{entry.key: entry.value for entry in tensor.external_data}]
    )


def _announced(folder: Path, location: str, entries: dict[str, str]) -> int:
    """Returns how many bytes would be read; 0 where onnx will find that nothing can be."""
    length, offset = (entries.get(key, "") for key in ("length", "offset"))
    if length.isdigit():
        return int(length)
    try:
        size = os.lstat(folder / location).st_size
    except (OSError, ValueError):
        return 0
    return max(0, size - (int(offset) if offset.isdigit() else 0))


def _require_regular(status: os.stat_result, path: Path, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"`{path}` is not a regular file", model=name)


def _too_large(size: int, limits: Limits, name: str) -> LimitError:
    return LimitError(
        f"it takes {size / _GIB:.3g} GiB, and {limits.file_size / _GIB:.3g} GiB are allowed for a "
        "file with its external data",
        hint="--max-file-size allows more, up to 2 GiB",
        model=name,
    )
