"""The options that bound what a model may cost: one for each field of `Limits`."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from onnxattr.cli.signature import grouped
from onnxattr.errors import UsageError
from onnxattr.limits import Limits

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

#: Field → option, its metavar, what it says, and how its value is read.
_OPTIONS: dict[str, tuple[str, str, str, Callable[[str, str], Any]]] = {}


def parse_bytes(option: str, value: str) -> int:
    """Returns the bytes of `500MB`, `2GiB`, `2g` or a plain number; units are powers of 1024.

    Raises:
        UsageError: `value` is none of these, or nothing.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?", value.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise UsageError(
            f"{option} takes a size, not `{value}`", hint=f"for instance {option} 4GiB"
        )
    return size


def parse_count(option: str, value: str) -> int:
    """Returns a whole number from 1.

    Raises:
        UsageError: `value` is none.
    """
    if not re.fullmatch(r"\d{1,15}", value.strip()) or int(value) < 1:
        raise UsageError(f"{option} takes a whole number from 1, not `{value}`")
    return int(value)


def parse_seconds(option: str, value: str) -> float:
    """Returns the seconds of `90`, `90s`, `15m` or `2h`.

    Raises:
        UsageError: `value` is none of these, or nothing.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)", value.strip().lower())
    factor = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
    seconds = float(match[1]) * factor[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"{option} takes a time, not `{value}`", hint=f"for instance {option} 15m")
    return seconds


def parse_fraction(option: str, value: str) -> float:
    """Returns a number above 0 and up to 1.

    Raises:
        UsageError: `value` is none.
    """
    try:
        fraction = float(value)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise UsageError(f"{option} takes a fraction above 0 and up to 1, not `{value}`")
    return fraction


_OPTIONS |= {
    "memory": ("--max-memory", "SIZE", "Of a worker (default: ¾ of the machine's).", parse_bytes),
    "seconds": ("--max-time", "TIME", "Of a model (default: 10m).", parse_seconds),
    "file_size": ("--max-file-size", "SIZE", "With external data (default: 2GiB).", parse_bytes),
    "tensors": ("--max-tensors", "SIZE", "Of one pass, by shapes (default: 16GiB).", parse_bytes),
    "nodes": ("--max-nodes", "N", "Of a graph as it is stored (default: 100000).", parse_count),
    "expansion": (
        "--max-expansion",
        "N",
        "Nodes once functions are inlined (default: 200000).",
        parse_count,
    ),
    "iterations": (
        "--max-iterations",
        "N",
        "Turns of a Loop in a graph (default: 100000).",
        parse_count,
    ),
    "name": ("--max-name", "N", "Characters of a name (default: 4096).", parse_count),
    "gpu_memory": ("--gpu-memory-fraction", "F", "Of its memory (default: 0.9).", parse_fraction),
}


def with_limits(
    command: Callable[..., None], only: Sequence[str] = tuple(_OPTIONS)
) -> Callable[..., None]:
    """Returns `command` with an option for each limit in the place of its parameter `limits`.

    Args:
        command: Takes those that were given, by their fields.
        only: The fields that have an option.
    """
    options = {
        field: Annotated[
            str | None,
            typer.Option(
                flag, metavar=metavar, help=text, show_default=False, rich_help_panel="Limits"
            ),
        ]
        for field, (flag, metavar, text, _) in _OPTIONS.items()
        if field in only
    }
    return grouped(command, "limits", options)


def limits_of(given: dict[str, str]) -> Limits:
    """Returns the limits that a command was given.

    Raises:
        UsageError: A value cannot be understood.
    """
    parsed = {field: _OPTIONS[field][3](_OPTIONS[field][0], text) for field, text in given.items()}
    return dataclasses.replace(Limits(), **parsed)
