"""From the units of a representation to T, the number whose change is attributed.

Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxattr.errors import UsageError
from onnxattr.registry import closest

if TYPE_CHECKING:
    import torch

    from onnxattr.types import InputSpec

#: What each is, for `--help` and the documentation.
REDUCTIONS: Mapping[str, str] = {
    "sum": "Σ u, as in the paper",
    "squared-norm": "½ Σ u²",
    "abs": "Σ |u|",
    "rms": "the root mean square of each channel, summed over the channels",
    "projection:K": "Σ ±u with K seeded draws of signs; the maps' root mean square is taken",
    "unit:I": "the unit I, counted from 0 in the order of the tensor",
}

#: Random projections where nobody says how many.
PROJECTIONS = 8


@dataclass(frozen=True)
class Reduction:
    """How T is made of the units.

    Attributes:
        kind: `sum`, `squared-norm`, `abs`, `rms`, `projection` or `unit`.
        number: Of projections, how many; of a unit, which.
    """

    kind: str = "sum"
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}" if self.kind in ("projection", "unit") else self.kind

    def targets(self, seed: int) -> tuple[Target, ...]:
        """Returns the functions of units that are attributed one after the other.

        There is one, but for projections. Of several, the maps' root mean square is taken.
        """
        if self.kind == "projection":
            return tuple(Target("projection", i, seed) for i in range(self.number))
        return (Target(self.kind, self.number, seed),)


@dataclass(frozen=True)
class Target:
    """One function of the units of a probe.

    Attributes:
        kind: As of a `Reduction`.
        number: Which unit, or which of the projections.
        seed: Of the projections; draws are the same for all probes.
    """

    kind: str = "sum"
    number: int = 0
    seed: int = 0

    def values(self, units: torch.Tensor, spec: InputSpec) -> torch.Tensor:
        """Returns T, [probe], differentiable.

        Args:
            units: [probe, …], or of one probe where the model takes one at a time.
            spec: The model's input.

        Raises:
            UsageError: There is no such unit.
        """
        import torch

        if "N" not in spec.layout:
            units = units.unsqueeze(0)
        flat = units.reshape(len(units), -1) if units.dim() > 0 else units.reshape(1, 1)
        if self.kind == "sum":
            return flat.sum(1)
        if self.kind == "squared-norm":
            return flat.square().sum(1) / 2
        if self.kind == "abs":
            return flat.abs().sum(1)
        if self.kind == "rms":
            rows = units.movedim(channel_axis(spec, units.dim()), 1) if units.dim() > 2 else units
            squares = rows.reshape(*rows.shape[:2], -1).square().mean(2)
            # The root's slope at 0 is infinite: a channel that is 0 everywhere gets none.
            return torch.where(squares > 0, squares, 1).sqrt().where(squares > 0, 0).sum(1)
        if self.kind == "unit":
            if self.number >= flat.shape[1]:
                raise UsageError(
                    f"it has {flat.shape[1]} units, and none of the number {self.number}",
                    hint=f"--reduction unit:I with I from 0 to {flat.shape[1] - 1}",
                )
            return flat[:, self.number]
        # Each projection has a generator of its own, so that they do not depend on how many.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.number)
        coins = torch.randint(0, 2, flat.shape[1:], generator=generator)
        return flat @ (coins * 2 - 1).to(flat)

    def total(self, units: torch.Tensor, spec: InputSpec) -> torch.Tensor:
        """Returns T summed over the probes, whose gradient holds that of each probe.

        Raises:
            UsageError: There is no such unit.
        """
        if self.kind == "sum":
            return units.sum()
        return self.values(units, spec).sum()


#: The paper's.
SUM = Target()


def parse(text: str) -> Reduction:
    """Returns the reduction that a text means: one of `REDUCTIONS`.

    Raises:
        UsageError: There is none of that name, or the number is missing or none.

    Example:
        >>> parse("unit:3")
        Reduction(kind='unit', number=3)
    """
    kind, colon, number = text.strip().partition(":")
    names = {name.partition(":")[0] for name in REDUCTIONS}
    if kind not in names:
        raise UsageError(f"there is no reduction `{kind}`", hint=closest(kind, names))
    if kind not in ("projection", "unit"):
        if colon:
            raise UsageError(f"the reduction `{kind}` takes no number, and `{text}` gives one")
        return Reduction(kind)
    if kind == "projection" and not colon:
        return Reduction(kind, PROJECTIONS)
    least = 1 if kind == "projection" else 0
    if not number.isascii() or not number.isdigit() or int(number) < least:
        raise UsageError(
            f"`{text}` needs a whole number from {least}", hint=f"as in --reduction {kind}:{least}"
        )
    return Reduction(kind, int(number))


def channel_axis(spec: InputSpec, axes: int) -> int:
    """Returns which axis of units, batch included, is that of the channels.

    With four axes it is the last one where the model's input has it there, and else, as ONNX's own
    convolutions have it, the first behind the batch; with another number of axes the last one.
    """
    return 1 if axes == 4 and not spec.layout.endswith("C") else axes - 1
