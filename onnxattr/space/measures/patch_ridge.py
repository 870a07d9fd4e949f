"""How well 3×3 patches of one map predict the places of another, by ridge regression."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.canvas import overlap
from onnxattr.space.measures.kernel_ridge import PENALTIES, folds

#: Channels of a map at most; the strongest directions stand for more. Patches have nine times as
#: many features, and their products are that squared.
CHANNELS = 64

#: Side of the grid at most, in places.
SIDE = 8


def side(one: int, other: int) -> int:
    """Returns the side of the grid on which maps of two sides meet, in places.

    It is no finer than either map and than 8, and rather a divisor of the coarser one: then no
    place is lost (see `on_grid`).
    """
    smaller = min(one, other)
    divisors = [n for n in range(SIDE // 2, SIDE + 1) if smaller % n == 0]
    return max(divisors, default=min(smaller, SIDE))


def on_grid(values: Float64, height: int, width: int) -> Float64:
    """Returns a map on a grid, [probe, channel, height, width], with at most 64 channels.

    Of a map whose sides are whole multiples of the grid's, all places of a cell become channels of
    it; any other is averaged over the cells by area. Of more than 64 channels, the projections on
    the 64 directions of most variance are kept.

    Args:
        values: [probe, channel, y, x].
        height: Of the grid.
        width: Of the grid.
    """
    count, channels, y, x = values.shape
    if y % height or x % width:
        values = np.asarray(overlap(y, height) @ values @ overlap(x, width).T)
    elif (y, x) != (height, width):
        cells = values.reshape(count, channels, height, y // height, width, x // width)
        values = cells.transpose(0, 1, 3, 5, 2, 4).reshape(count, -1, height, width)
    if values.shape[1] <= CHANNELS:
        return values
    rows = values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1])
    rows = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(rows.T @ rows)
    strongest = rows @ directions[:, -CHANNELS:]
    result: Float64 = strongest.reshape(count, height, width, CHANNELS).transpose(0, 3, 1, 2)
    return result


@dataclass(frozen=True, eq=False)
class Block:
    """The features of the probes of one fold.

    Attributes:
        rows: [probe, place, feature].
        sums: Over the probes, [place, feature].
        products: Of the features, over probes and places, [feature, feature].
    """

    rows: Float64
    sums: Float64
    products: Float64


@dataclass(frozen=True, eq=False)
class Fit:
    """The eigenvectors of the features over the probes of some folds.

    Attributes:
        blocks: Which folds.
        count: Probes.
        means: Of the features at each place, [place, feature].
        vectors: Of their centred products, [feature, direction].
        powers: Eigenvalues, [direction].
        judge: The centred products of another fold in terms of the vectors, for a fit on which the
            penalty is chosen, [direction, direction]; empty of others.
    """

    blocks: tuple[int, ...]
    count: int
    means: Float64
    vectors: Float64
    powers: Float64
    judge: Float64


@dataclass(frozen=True, eq=False)
class Patches:
    """A source on one grid.

    Attributes:
        blocks: One a fold.
        inner: For each fold, a fit to the others but the next one, on which the penalty is chosen.
        outer: For each fold, a fit to all others.
    """

    blocks: list[Block]
    inner: list[Fit]
    outer: list[Fit]


def patches(values: Float64) -> Patches:
    """Returns what predictions from a source need.

    Channels are brought to zero mean and unit variance first, and one that never changes to zero.
    Outside the map is zero: the mean.

    Args:
        values: The source on the grid, [probe, channel, y, x].
    """
    values = values - values.mean(axis=(0, 2, 3), keepdims=True)
    spread = np.sqrt((values**2).mean(axis=(0, 2, 3), keepdims=True))
    spread[spread <= 1e-12] = np.inf
    blocks = [_block(_neighbours((values / spread)[held])) for held in folds(len(values))]
    every = range(len(blocks))
    inner, outer = [], []
    for fold in every:
        judge = (fold + 1) % len(blocks)
        inner.append(_fit(blocks, tuple(b for b in every if b not in (fold, judge)), judge))
        outer.append(_fit(blocks, tuple(b for b in every if b != fold)))
    return Patches(blocks, inner, outer)


def errors(source: Patches, target: Float64) -> tuple[Float64, Float64]:
    """Returns the squared error of each probe's prediction, and of the mean, both [probe].

    At each place of the grid the target less its mean there is predicted from the source less its
    mean there, by one matrix for all places: what is the same on every probe does not count. A
    probe is predicted from the folds that it is not in. The penalty is chosen on one of these, by a
    fit to the rest of them: neighbouring places are no independent rows, so that generalised
    cross-validation would choose too weak a one.

    Args:
        source: From `patches`.
        target: On the same grid, [probe, channel, y, x].
    """
    held = folds(len(target))
    rows = target.transpose(0, 2, 3, 1).reshape(len(target), -1, target.shape[1])
    parts = [rows[probes] for probes in held]
    sums = [part.sum(axis=0) for part in parts]
    cross = [_products(b.rows, part) for b, part in zip(source.blocks, parts, strict=True)]
    squares, around = np.empty(len(target)), np.empty(len(target))
    for fold, (inner, outer) in enumerate(zip(source.inner, source.outer, strict=True)):
        judge = (fold + 1) % len(held)
        penalty = _chosen(inner, source.blocks[judge], len(held[judge]), judge, cross, sums)
        weights = outer.vectors @ (_along(outer, cross, sums) * _shrunk(outer, penalty)[:, None])
        truth = parts[fold] - _mean(outer, sums)
        guess = (source.blocks[fold].rows - outer.means) @ weights
        squares[held[fold]] = ((truth - guess) ** 2).sum(axis=(1, 2))
        around[held[fold]] = (truth**2).sum(axis=(1, 2))
    return squares, around


def _chosen(
    fit: Fit, block: Block, count: int, judge: int, cross: list[Float64], sums: list[Float64]
) -> float:
    """Returns the penalty whose predictions of the fold `judge` are the best."""
    mean = _mean(fit, sums)
    shared = cross[judge] - block.sums.T @ mean - fit.means.T @ (sums[judge] - count * mean)
    along, reached = _along(fit, cross, sums), fit.vectors.T @ shared
    losses = []
    for penalty in PENALTIES:
        weights = along * _shrunk(fit, penalty)[:, None]
        # ‖Y − XW‖² without ‖Y‖², which is the same for all.
        losses.append(float((weights * (fit.judge @ weights - 2 * reached)).sum()))
    return float(PENALTIES[int(np.argmin(losses))])


def _along(fit: Fit, cross: list[Float64], sums: list[Float64]) -> Float64:
    """Returns the centred products of features and target along the vectors of a fit."""
    total = np.sum([cross[b] for b in fit.blocks], axis=0)
    total -= fit.means.T @ np.sum([sums[b] for b in fit.blocks], axis=0)
    along: Float64 = fit.vectors.T @ total
    return along


def _shrunk(fit: Fit, penalty: float) -> Float64:
    scale = fit.powers.mean() if len(fit.powers) else 1.0
    shrunk: Float64 = 1.0 / (fit.powers + penalty * scale)
    return shrunk


def _mean(fit: Fit, sums: list[Float64]) -> Float64:
    mean: Float64 = np.sum([sums[b] for b in fit.blocks], axis=0) / fit.count
    return mean


def _fit(blocks: list[Block], which: tuple[int, ...], judge: int | None = None) -> Fit:
    count = sum(len(blocks[b].rows) for b in which)
    means = np.sum([blocks[b].sums for b in which], axis=0) / count
    centred = np.sum([blocks[b].products for b in which], axis=0) - count * (means.T @ means)
    powers, vectors = np.linalg.eigh(centred)
    real = powers > 1e-10 * max(powers[-1], 1.0)
    vectors, powers = vectors[:, real], powers[real]
    seen = np.empty((0, 0))
    if judge is not None:
        block = blocks[judge]
        mixed = block.sums.T @ means
        around = block.products - mixed - mixed.T + len(block.rows) * (means.T @ means)
        seen = vectors.T @ around @ vectors
    return Fit(which, count, means, vectors, powers, seen)


def _block(rows: Float64) -> Block:
    return Block(rows, rows.sum(axis=0), _products(rows, rows))


def _products(one: Float64, other: Float64) -> Float64:
    result: Float64 = one.reshape(-1, one.shape[2]).T @ other.reshape(-1, other.shape[2])
    return result


def _neighbours(values: Float64) -> Float64:
    """Returns the 3×3 patch around each place, [probe, place, 9 · channel]; outside is zero."""
    count, _, height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    rows = np.concatenate(shifted, axis=1).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(rows).reshape(count, height * width, -1)
