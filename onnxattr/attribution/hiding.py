"""What black-box methods share: cells of a probe, masks that hide some, and what then follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch

from onnxattr.arrays import Float64
from onnxattr.errors import UsageError

#: What may replace hidden values; `auto` is the mean of an image, and zero of an array.
FILLS = ("auto", "mean", "zero")

#: How much of each value is kept in the variants from a first one to before a last one: 0..1,
#: float32 [variant, …].
Masks = Callable[[int, int], torch.Tensor]

#: Bytes of masks that are kept, and not made anew for each probe.
_KEPT = 2**26


@dataclass(frozen=True)
class Canvas:
    """What a method is prepared for.

    Attributes:
        shape: Of a map.
        image: Whether probes are images, float32 [channel, y, x], which the same mask hides in all
            channels; else they are arrays of the map's shape.
        seed: Of all that the method draws. Draws are the same for every probe and model, so that
            maps do not depend on the batch, and models are compared on the same variants.
    """

    shape: tuple[int, ...]
    image: bool = True
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Totals:
    """T of a probe's variants: float64 [variant], and how far rounding may move each, likewise."""

    values: Float64
    rounding: Float64


class Scheme(Protocol):
    """The variants of a probe on which a method wants T, and the map that follows."""

    @property
    def fill(self) -> str:
        """What replaces what is hidden, one of `FILLS`."""

    @property
    def count(self) -> int:
        """The number of variants of a probe."""

    @property
    def masks(self) -> Masks:
        """What is kept in each variant."""

    def map(self, totals: Totals) -> Float64:
        """Returns the map that follows from T of all variants of a probe."""


@dataclass(frozen=True)
class Cells:
    """Cuts of all axes of a map, which together make cells.

    Attributes:
        edges: Of each axis, ascending, from 0 to its size.
    """

    edges: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the map."""
        return tuple(edges[-1] for edges in self.edges)

    @property
    def counts(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(len(edges) - 1 for edges in self.edges)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Returns for values of cells, [variant, *counts], those of all places, [variant, …]."""
        for axis, edges in enumerate(self.edges):
            sizes = torch.tensor(edges).diff()
            values = values.repeat_interleave(sizes, dim=axis + 1, output_size=edges[-1])
        return values

    def shared(self, values: Float64) -> Float64:
        """Returns values of cells, [*counts], shared out evenly over the places of each cell."""
        sizes = torch.ones((), dtype=torch.float64)
        for edges in self.edges:
            sizes = sizes[..., None] * torch.tensor(edges).diff().double()
        found: Float64 = self.spread((torch.from_numpy(values) / sizes)[None])[0].numpy()
        return found


def cut(canvas: Canvas, grid: int) -> Cells:
    """Returns cells that are as equal as whole places can be.

    An image is cut into `grid` cells a side. An array, of however many axes, is cut into at most
    grid² cells in all, and so costs no more: as many along each axis as there are values, or as
    the total allows, but two at least. One of few features has a cell a feature.
    """
    counts = [min(grid, size) for size in canvas.shape]
    if not canvas.image:
        most = max(canvas.shape, default=1)
        side = max((n for n in range(2, most + 1) if _product(canvas, n) <= grid**2), default=2)
        counts = [min(side, size) for size in canvas.shape]
    return Cells(
        tuple(
            tuple(round(i * size / count) for i in range(count + 1))
            for size, count in zip(canvas.shape, counts, strict=True)
        )
    )


def remembered(make: Masks, count: int, shape: tuple[int, ...]) -> Masks:
    """Returns masks that are made once, if they take little memory.

    Args:
        make: The masks.
        count: Of all variants.
        shape: Of the map.
    """
    if 4 * count * prod(shape) > _KEPT:
        return make
    made = make(0, count)
    return lambda start, stop: made[start:stop]


def _product(canvas: Canvas, side: int) -> int:
    return prod(min(side, size) for size in canvas.shape)


def filling(x: torch.Tensor, fill: str, *, image: bool) -> torch.Tensor:
    """Returns what replaces hidden values of probes, in their shape.

    Args:
        x: Canonical probes, [probe, …].
        fill: `mean` is that of each channel of an image, and of all values of an array; `zero` is
            black in an image.
        image: Whether they are images.

    Raises:
        UsageError: There is no such fill.
    """
    if fill not in FILLS:
        raise UsageError(f"there is no fill `{fill}`", hint=f"valid are {', '.join(FILLS)}")
    if fill == "zero" or (fill == "auto" and not image):
        return torch.zeros_like(x)
    axes: Sequence[int] = range(2 if image else 1, x.dim())
    # In float64: of a probe of one value, the mean is that value.
    return x.double().mean(dim=tuple(axes), keepdim=True).to(x.dtype).expand_as(x)
