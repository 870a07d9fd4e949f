"""Values between those of a grid: linear interpolation at any position, along any axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch


def corners(
    positions: Sequence[torch.Tensor], size: Sequence[int]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields flat indices of the values around each position, and their weights.

    A corner outside has the weight 0, and the index of some value.

    Args:
        positions: One tensor an axis, where 0 is the first value; all of one shape.
        size: Of the axes.
    """
    lows = [p.detach().floor() for p in positions]
    shares = [p - low for p, low in zip(positions, lows, strict=True)]
    for corner in itertools.product((0, 1), repeat=len(size)):
        index = torch.zeros_like(positions[0], dtype=torch.int64)
        weight = torch.ones_like(positions[0])
        for step, low, share, n in zip(corner, lows, shares, size, strict=True):
            at = low + step
            inside = (at >= 0) & (at < n)
            index = index * n + torch.where(inside, at, 0.0).to(torch.int64)
            weight = weight * torch.where(inside, share if step else 1 - share, 0.0)
        yield index, weight
