"""Occlusion: how T changes where a patch of the probe is hidden."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from onnxattr.arrays import Float64
from onnxattr.attribution.hiding import Canvas, Cells, Masks, Totals, cut, remembered


@dataclass(frozen=True, eq=False)
class Occlusion:
    """T(x) − T(x with a patch hidden), spread over the patch; the mean where patches overlap.

    Attributes:
        cells: Of the map.
        patches: Runs of cells along each axis; together they cover the map.
        places: Of each patch, how many.
        covering: Patches that cover each cell, how many.
        masks: Of which the first hides nothing, and each other one a patch.
        fill: As of a `Scheme`.
    """

    cells: Cells
    patches: tuple[tuple[slice, ...], ...]
    places: Float64
    covering: Float64
    masks: Masks
    fill: str

    @property
    def count(self) -> int:
        """The probe itself, and one variant a patch."""
        return 1 + len(self.patches)

    def map(self, totals: Totals) -> Float64:
        """Returns the map; differences that rounding alone may have made are none."""
        values, rounding = totals.values, totals.rounding
        difference = values[0] - values[1:]
        # Not the other way round: what is no number stays so.
        difference[np.abs(difference) <= np.maximum(rounding[0], rounding[1:])] = 0.0
        total = np.zeros(self.cells.counts)
        for patch, change in zip(self.patches, difference / self.places, strict=True):
            total[patch] += change
        mean = torch.from_numpy(total / self.covering)
        found: Float64 = self.cells.spread(mean[None])[0].numpy()
        return found


def occlusion(canvas: Canvas, *, grid: int, span: int, fill: str) -> Occlusion:
    """Prepares occlusion by patches (Zeiler & Fergus 2014, §4.2).

    They slide a grey square over the image and look at one class; here patches are whole cells of a
    grid, and a place's value is the mean of T(x) − T(x with the patch hidden), divided by the
    patch's places, over the patches that cover it. With a span of 1 the map of a linear model sums
    to T(x) − T(all hidden).

    Args:
        canvas: What it is prepared for.
        grid: Cells a side, as `hiding.cut` has them; patches begin at every cell.
        span: Cells a side that a patch takes.
        fill: What hides: by default the probe's mean colour, where they took the grey that is the
            mean of their training images. A colour without relation to a probe is an object of its
            own, and with this one there is nothing to be seen in a probe of one colour.
    """
    cells = cut(canvas, grid)
    runs = []
    for count in cells.counts:
        side = min(span, count)
        runs.append([slice(i, i + side) for i in range(count - side + 1)])
    patches: tuple[tuple[slice, ...], ...] = tuple(product(*runs))
    hidden = np.zeros((1 + len(patches), *cells.counts), bool)
    for variant, patch in enumerate(patches, start=1):
        hidden[variant][patch] = True
    kept = torch.from_numpy(~hidden).float()
    masks = remembered(lambda a, b: cells.spread(kept[a:b]), len(kept), cells.shape)
    return Occlusion(
        cells, patches, _places(cells, patches), hidden.sum(axis=0, dtype=float), masks, fill
    )


def _places(cells: Cells, patches: tuple[tuple[slice, ...], ...]) -> Float64:
    """Returns the number of places of each patch."""
    sizes = np.ones(len(patches))
    for axis, edges in enumerate(cells.edges):
        sizes *= [edges[patch[axis].stop] - edges[patch[axis].start] for patch in patches]
    return sizes
