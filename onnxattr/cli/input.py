"""The options that say how probes are fed to models, and what turns them into library options."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxattr.cli.signature import grouped
from onnxattr.errors import UsageError

if TYPE_CHECKING:
    from onnxattr.graph.options import InputOptions


def _option(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(
        flag, metavar=metavar, help=text, show_default=False, rich_help_panel="Model input"
    )


_OPTIONS: dict[str, Any] = {
    "name": Annotated[
        str | None,
        _option("--input-name", "NAME", "The input that takes the probe, of several."),
    ],
    "fixed": Annotated[
        list[str] | None,
        _option("--input", "NAME=VALUE", "A number for another input; may be repeated."),
    ],
    "layout": Annotated[
        str | None,
        _option("--layout", "AXES", "NCHW, NHWC, HWC, …; by default from the graph."),
    ],
    "size": Annotated[
        str | None,
        _option("--size", "N|HxW", "Pixels, for inputs that leave them free: N or HEIGHTxWIDTH."),
    ],
    "color": Annotated[
        str | None, _option("--color", "RGB|BGR", "Order of the channels (default: RGB).")
    ],
    "range": Annotated[
        tuple[float, float] | None,
        _option("--range", "LOW HIGH", "What black and white become (default: 0 1)."),
    ],
    "mean": Annotated[
        str | None,
        _option("--mean", "V|R,G,B", "Subtracted after the range; one value or R,G,B."),
    ],
    "std": Annotated[
        str | None,
        _option("--std", "V|R,G,B", "Divided by after the mean; one value or R,G,B."),
    ],
    "gamma": Annotated[
        float | None,
        _option("--gamma", "G", "Exponent of pixel values; 2.2 for linear light (default: 1)."),
    ],
    "resize": Annotated[
        str | None,
        _option("--resize", "RULE", "stretch, crop or letterbox, for inputs that are not square."),
    ],
}


def with_input(command: Callable[..., None]) -> Callable[..., None]:
    """Returns `command` with the options of the input in the place of its parameter `inputs`."""
    return grouped(command, "inputs", _OPTIONS)


def input_of(given: dict[str, Any]) -> "InputOptions":
    """Returns what the user says of the models' inputs.

    Raises:
        UsageError: A value cannot be understood.
    """
    from onnxattr.graph.options import InputOptions

    parsed = dict(given)
    for part, function in (("layout", str.upper), ("color", str.upper), ("resize", str.lower)):
        if parsed.get(part) is not None:
            parsed[part] = function(parsed[part])
    return InputOptions(
        **parsed
        | {
            "size": parse_size(given.get("size")),
            "mean": parse_values("--mean", given.get("mean")),
            "std": parse_values("--std", given.get("std")),
            "fixed": parse_fixed(given.get("fixed")),
        }
    )


def parse_values(option: str, value: str | None) -> tuple[float, ...] | None:
    """Returns the numbers in `0.485,0.456,0.406`.

    Raises:
        UsageError: `value` is no list of numbers.
    """
    if value is None:
        return None
    try:
        return tuple(float(v) for v in re.split(r"[,\s]+", value.strip()))
    except ValueError:
        raise UsageError(
            f"{option} takes a number or three, not `{value}`",
            hint=f"for instance {option} 0.485,0.456,0.406",
        ) from None


def parse_fixed(values: list[str] | None) -> tuple[tuple[str, float], ...] | None:
    """Returns the names and numbers in `mask=1`, of several.

    Raises:
        UsageError: One is something else.
    """
    found = []
    for value in values or ():
        # Names may hold an equals sign, and numbers do not.
        name, _, number = value.rpartition("=")
        try:
            found.append((name, float(number)))
        except ValueError:
            name = ""
        if not name:
            raise UsageError(
                f"--input takes NAME=VALUE, a number, not `{value}`",
                hint="for instance --input attention_mask=1",
            )
    return tuple(found) or None


def parse_size(value: str | None) -> tuple[int, int] | None:
    """Returns (height, width) of `224` or `240x320`.

    Raises:
        UsageError: `value` is neither.
    """
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})(?:[x×](\d{1,6}))?", value.strip())
    if match is None:
        raise UsageError(
            f"--size takes N or HEIGHTxWIDTH, not `{value}`", hint="for instance --size 224"
        )
    return int(match[1]), int(match[2] or match[1])
