"""RISE: T of random masks of a coarse grid, and the masks weighted by it."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from onnxattr.arrays import Float64
from onnxattr.attribution.hiding import Canvas, Masks, Totals, cut, remembered

#: Masks that are held in float64 at a time.
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class Rise:
    """Random masks, and the mean of T over those that keep a place, less the mean over all.

    Attributes:
        count: Masks; the probe itself is no variant.
        masks: How much of each place is kept; of each, E[M] = p.
        shape: Of the map.
        p: The probability that a cell is kept.
        centre: Whether the mean of T is taken away.
        fill: As of a `Scheme`.
    """

    count: int
    masks: Masks
    shape: tuple[int, ...]
    p: float
    centre: bool
    fill: str

    def map(self, totals: Totals) -> Float64:
        """Returns Σ (T − mean T) M / (N p); what rounding alone may have made is 0."""
        values, doubt = totals.values, totals.rounding.max()
        found = np.zeros(self.shape)
        if np.ptp(values) <= doubt:
            return found
        weights = torch.from_numpy(values - values.mean() if self.centre else values)
        for start in range(0, self.count, _CHUNK):
            masks = self.masks(start, min(start + _CHUNK, self.count)).double()
            found += torch.tensordot(weights[start : start + _CHUNK], masks, dims=1).numpy()
        found /= self.count * self.p
        # Not the other way round: what is no number stays so.
        found[np.abs(found) <= doubt] = 0.0
        return found


@dataclass(frozen=True, eq=False)
class _Upsampling:
    """Linear interpolation of an axis: at a place between two cells, both and the share of one.

    Attributes:
        size: Places that are wanted.
        shifts: Places that the first one may be at.
        below: The cell before each place, int64 [place].
        above: The cell after it, likewise.
        share: What the latter makes of it, 0..1, float32 [place].
    """

    size: int
    shifts: int
    below: torch.Tensor
    above: torch.Tensor
    share: torch.Tensor

    def of(self, cells: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        """Returns [variant, place, …] for [variant, cell, …] and a shift a variant."""
        count, rest = cells.shape[1], cells.shape[2:]
        places = shifts[:, None] + torch.arange(self.size)
        first = count * torch.arange(len(cells))[:, None]
        # Whole rows are copied: of single numbers, indexing takes ten times as long.
        rows = cells.reshape(len(cells) * count, -1)
        low = rows.index_select(0, (first + self.below[places]).flatten())
        high = rows.index_select(0, (first + self.above[places]).flatten())
        found = low.add_(high.sub_(low).mul_(self.share[places].reshape(-1, 1)))
        return found.reshape(*places.shape, *rest)


def rise(canvas: Canvas, *, masks: int, grid: int, p: float, fill: str, centre: bool) -> Rise:
    """Prepares RISE (Petsiuk, Das & Saenko 2018, eq. 6 and §3.2).

    Cells of a coarse grid are kept with probability p, upsampled bilinearly to one cell a side more
    than the probe has, and cut at a random shift of up to a cell, as their code does. The map is
    Σ T(x under M) M / (N p), which estimates E[T | a place is kept]; from that the mean of T is
    taken, which their formula leaves in: it adds the same number everywhere (they rank pixels, so
    that it does not matter), it would be most of a map whose T is far from 0, and it makes most of
    the variance. For a linear model the map's expectation is then proportional to the weights times
    (x − fill), blurred by a cell.

    Args:
        canvas: What it is prepared for.
        masks: How many, N.
        grid: Cells a side, as `hiding.cut` has them. Where each place is a cell of its own, masks
            are not upsampled.
        p: The probability that a cell is kept.
        fill: What a masked place fades to. Their formula says black; their code masks pixels from
            which the mean of ImageNet was taken, and so fades to that. By default it is the
            probe's mean colour, as for occlusion.
        centre: False gives their formula.
    """
    rng = np.random.default_rng(canvas.seed)
    cells = cut(canvas, grid)
    axes = [_upsampling(*each) for each in zip(cells.shape, cells.counts, strict=True)]
    grids = torch.from_numpy(rng.random((masks, *cells.counts)) < p)
    shifts = torch.from_numpy(rng.integers(0, [axis.shifts for axis in axes], (masks, len(axes))))

    def make(start: int, stop: int) -> torch.Tensor:
        found = grids[start:stop].float()
        # The first axis last, where the result lies in memory as it is wanted.
        for place in reversed(range(len(axes))):
            moved = found.movedim(place + 1, 1)
            found = axes[place].of(moved, shifts[start:stop, place]).movedim(1, place + 1)
        return found

    kept = remembered(make, masks, cells.shape)
    return Rise(masks, kept, cells.shape, p, centre, fill)


def _upsampling(size: int, cells: int) -> _Upsampling:
    """Returns what makes `size` places of `cells` cells: as many where there are as many."""
    if cells == size:
        places = torch.arange(size)
        return _Upsampling(size, 1, places, places, torch.zeros(size))
    side = ceil(size / cells)
    wide = (cells + 1) * side
    # Centres of places, in cells; before the first cell's own and behind the last one's it is flat.
    at = ((torch.arange(wide) + 0.5) * cells / wide - 0.5).clamp(0, cells - 1)
    below = at.floor().long()
    return _Upsampling(size, side, below, (below + 1).clamp_max(cells - 1), at - below)
