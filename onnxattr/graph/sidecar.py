"""The sidecar: a small TOML file beside a model that says how to feed it, read and written."""

import math
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnxattr.errors import ModelInputError, UsageError
from onnxattr.graph.options import InputOptions
from onnxattr.graph.statement import Statement
from onnxattr.graph.walk import short
from onnxattr.registry import closest
from onnxattr.types import PARTS, SIDECAR, Sidecar

#: Bytes of a sidecar; one that says everything takes less than one of 64 such parts.
MAX_BYTES = 2**16

#: Characters of a line: the time that tomllib takes grows with the square of a key's parts.
_MAX_LINE = 2**13

#: Characters of a name in it, as of one in a model.
_MAX_NAME = 4096


def sidecar_path(model: Path) -> Path:
    """Returns where the sidecar of a model is: `a.toml` for `a.onnx`, `b.pb.toml` for `b.pb`."""
    stem = model.name[: -len(".onnx")] if model.name.lower().endswith(".onnx") else model.name
    return model.with_name(f"{stem}.toml")


def read_sidecar(model: Path, name: str) -> Sidecar | None:
    """Returns the sidecar of a model file, read once, or None where there is none.

    Raises:
        ModelInputError: It is a link or no regular file, longer than 64 KiB, or not UTF-8.
    """
    path = sidecar_path(model)
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
        raise _refusal(path.name, f"is {what}", name)
    # What is opened may be another file by now, and the opening of a pipe would wait.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refusal(path.name, "is not a regular file", name)
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise _refusal(path.name, reason, name) from None
    if len(data) > MAX_BYTES:
        raise _refusal(path.name, f"is longer than {MAX_BYTES // 1024} KiB", name)
    try:
        return Sidecar(path.name, data.decode())
    except UnicodeDecodeError:
        raise _refusal(path.name, "is not UTF-8", name) from None


def said_beside(sidecar: Sidecar, model: str) -> Statement:
    """Returns what a sidecar says.

    Raises:
        ModelInputError: It is no TOML, has unknown keys, or values of a wrong type or that make no
            sense.
    """
    if max(map(len, sidecar.text.split("\n"))) > _MAX_LINE:
        raise _refusal(sidecar.name, f"has a line of more than {_MAX_LINE} characters", model)
    try:
        document = tomllib.loads(sidecar.text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError: a number of thousands of digits, too.
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _refusal(sidecar.name, f"is not valid TOML: {short(reason)}", model) from None
    try:
        return _statement(document, f"sidecar `{sidecar.name}`")
    except UsageError as error:
        hint = error.hint or "docs/inputs-and-outputs.md says what it may hold"
        raise ModelInputError(
            f"its sidecar `{sidecar.name}`: {error.message}", hint=hint, model=model
        ) from None


def _statement(document: Mapping[str, Any], where: str) -> Statement:
    tables = {"input": {"name", *PARTS}, "output": {"at"}, "fixed": None}
    for table, keys in document.items():
        if table not in tables:
            raise UsageError(f"there is no table `{short(table)}`", hint=closest(table, tables))
        if not isinstance(keys, dict):
            raise UsageError(f"`{table}` is a table, `[{table}]`, and not {_shown(keys)}")
        known = tables[table]
        for key in keys:
            if known is not None and key not in known:
                raise UsageError(
                    f"there is no key `{table}.{short(key)}`", hint=closest(key, known)
                )
    given = dict(document.get("input", {}))
    name = _name("input.name", given.pop("name", None))
    at = _name("output.at", document.get("output", {}).get("at"))
    options = InputOptions(**{k: _READERS[k](f"input.{k}", v) for k, v in given.items()})
    fixed = {k: _number(f"fixed.{short(k)}", v) for k, v in document.get("fixed", {}).items()}
    return Statement(SIDECAR, options, input=name, at=at, fixed=fixed, where=where)


def _name(key: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= _MAX_NAME):
        raise UsageError(f"`{key}` takes a name, not {_shown(value)}")
    return value


def _word(change: Callable[[str], str]) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise UsageError(f"`{key}` takes a word in quotes, not {_shown(value)}")
        return short(change(value))

    return read


def _number(key: str, value: Any) -> float:
    if type(value) in (int, float):  # A bool is an int to Python.
        try:
            if math.isfinite(number := float(value)):
                return number
        except OverflowError:
            pass
    raise UsageError(f"`{key}` takes a finite number, not {_shown(value)}")


def _numbers(wanted: str, *lengths: int) -> Callable[[str, Any], tuple[float, ...]]:
    def read(key: str, value: Any) -> tuple[float, ...]:
        values = value if isinstance(value, list) else [value]
        if len(values) not in lengths:
            raise UsageError(f"`{key}` takes {wanted}, not {_shown(value)}")
        return tuple(_number(key, v) for v in values)

    return read


def _size(key: str, value: Any) -> tuple[int, int]:
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2 or not all(type(v) is int for v in values):
        raise UsageError(f"`{key}` takes pixels, or [height, width], not {_shown(value)}")
    return values[0], values[1]


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "layout": _word(str.upper),
    "size": _size,
    "color": _word(str.upper),
    "range": _numbers("two numbers, [low, high]", 2),
    "mean": _numbers("one number, or [r, g, b]", 1, 3),
    "std": _numbers("one number, or [r, g, b]", 1, 3),
    "gamma": _number,
    "resize": _word(str.lower),
}


def _shown(value: Any) -> str:
    try:
        return f"`{short(str(value))}`"
    except ValueError:  # An integer of thousands of digits has no text.
        return "a number that long"


def _refusal(sidecar: str, reason: str, model: str) -> ModelInputError:
    return ModelInputError(
        f"its sidecar `{sidecar}` {reason}",
        hint="make it right, or give it another name",
        model=model,
    )
