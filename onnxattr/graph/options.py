"""What a user says of a model's input. Without onnx and numpy: the command line needs it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnxattr.errors import UsageError
from onnxattr.registry import closest
from onnxattr.types import RESIZE_RULES

#: Height and width that a model or an option may ask for: more would fill all memory.
MAX_SIZE = 8192

#: Largest batch that a graph may fix: a batch is whole in memory.
MAX_BATCH = 65536


#: What a layout may be made of: rows and columns always, a batch and channels perhaps.
AXES = "NCHW"

COLORS = ("RGB", "BGR")

#: What is attributed where nobody says.
DEFAULT_AT = "feature"


@dataclass(frozen=True)
class InputOptions:
    """What somebody says of a model's input; None leaves it to the graph and the defaults.

    Attributes:
        layout: What each axis is: `NCHW`, `NHWC`, `HWC`, ….
        size: (height, width) in pixels, for inputs that leave them free.
        color: `RGB` or `BGR`.
        range: What black and white become.
        mean: One value or three (RGB), in units of `range`.
        std: One value or three (RGB), in units of `range`.
        gamma: Exponent of the probe's values, above zero.
        resize: `stretch`, `crop` or `letterbox`.
        name: The input that takes the probe, where there are several.
        fixed: Numbers that other inputs are fed, by their names; those that a model does not have
            are left out.

    Raises:
        UsageError: A value is not one of these.
    """

    layout: str | None = None
    size: tuple[int, int] | None = None
    color: str | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    gamma: float | None = None
    resize: str | None = None
    name: str | None = None
    fixed: tuple[tuple[str, float], ...] | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and not _is_layout(self.layout):
            hint = closest(self.layout, ("NCHW", "NHWC"))
            raise UsageError(
                f"there is no layout `{self.layout}`",
                hint=f"{hint}; each of N, C, H and W at most once, H and W always",
            )
        for key, value, known in (
            ("color order", self.color, COLORS),
            ("resize rule", self.resize, RESIZE_RULES),
        ):
            if value is not None and value not in known:
                raise UsageError(f"there is no {key} `{value}`", hint=closest(value, known))
        if self.size is not None and not (
            len(self.size) == 2 and all(1 <= s <= MAX_SIZE for s in self.size)
        ):
            raise UsageError(
                f"a size is a height and a width of 1 to {MAX_SIZE} pixels, "
                f"not `{'x'.join(map(str, self.size))}`"
            )
        for key, values in (("range", self.range), ("mean", self.mean), ("std", self.std)):
            if values is not None and not all(map(math.isfinite, values)):
                raise UsageError(f"the {key} `{listed(values)}` is not finite")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise UsageError(f"the range `{listed(self.range)}` does not rise from low to high")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, 3):
                raise UsageError(f"the {key} takes one value or three, not {len(values)}")
        if self.std is not None and min(self.std) <= 0:
            raise UsageError(f"the std `{listed(self.std)}` is not positive")
        if self.gamma is not None and not (self.gamma > 0 and math.isfinite(self.gamma)):
            raise UsageError(f"the gamma `{self.gamma:g}` is not a positive number")
        for name, number in self.fixed or ():
            if not math.isfinite(number):
                raise UsageError(f"the value `{number}` of the input `{name}` is not finite")


def _is_layout(layout: str) -> bool:
    return set("HW") <= set(layout) <= set(AXES) and len(set(layout)) == len(layout)


def listed(values: Sequence[float]) -> str:
    """Returns numbers as messages show them."""
    return " ".join(f"{v:g}" for v in values)
