"""KernelSHAP: Shapley values of the cells of a probe, by weighted least squares."""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from onnxattr.arrays import Float64
from onnxattr.attribution.hiding import Canvas, Cells, Masks, Totals, cut, remembered
from onnxattr.errors import UsageError

#: Coalitions, bool [coalition, cell].
Coalitions = npt.NDArray[np.bool_]

#: Rounds of drawing after which fewer coalitions than were asked for are enough.
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class KernelShap:
    """Shapley values φ of the cells, each spread over its cell: the map sums to T(x) − T(hidden).

    Attributes:
        cells: The players.
        coalitions: What is kept in each variant: all, nothing, and then proper subsets.
        solution: From T of the proper subsets, less what an equal share would make of them, to φ
            less an equal share: float64 [cell, coalition].
        masks: Which hide all cells outside of a coalition.
        fill: As of a `Scheme`.
    """

    cells: Cells
    coalitions: Coalitions
    solution: Float64
    masks: Masks
    fill: str

    @property
    def count(self) -> int:
        """One variant a coalition."""
        return len(self.coalitions)

    def map(self, totals: Totals) -> Float64:
        """Returns the map; of a cell whose value rounding alone may have made it is 0."""
        (whole, none), rest = totals.values[:2], totals.values[2:]
        players = self.coalitions.shape[1]
        share = (whole - none) / players
        values = share + self.solution @ (rest - none - share * self.coalitions[2:].sum(axis=1))
        doubt = totals.rounding[:2].max() / players + np.abs(self.solution) @ np.maximum(
            totals.rounding[2:], totals.rounding[1]
        )
        # Not the other way round: what is no number stays so.
        values[np.abs(values) <= doubt] = 0.0
        return self.cells.shared(values.reshape(self.cells.counts))


def kernel_shap(canvas: Canvas, *, grid: int, samples: int, fill: str) -> KernelShap:
    """Prepares KernelSHAP (Lundberg & Lee 2017, theorem 2) with the cells of a grid as players.

    A coalition S of M players keeps the cells in S and hides the others. φ minimises
    Σ w(S) (T(∅) + Σ_{i ∈ S} φᵢ − T(S))² with w(S) = (M − 1) / (C(M,|S|) |S| (M − |S|)) under the
    constraint Σ φ = T(x) − T(∅), which is solved exactly, in float64, instead of by large weights.
    Where all 2^M coalitions fit into the samples, φ are the Shapley values themselves. Else sizes
    whose coalitions all fit are taken whole, from the smallest and largest on, and of the others
    pairs of a coalition and its complement are drawn by their weight (Covert & Lee 2021).

    Args:
        canvas: What it is prepared for.
        grid: Cells a side, as `hiding.cut` has them.
        samples: Of proper coalitions; two more variants are the probe, and all of it hidden.
        fill: What hides a cell.

    Raises:
        UsageError: There are too few samples for so many cells.
    """
    cells = cut(canvas, grid)
    players = int(np.prod(cells.counts))
    proper, weight = draw(players, samples, np.random.default_rng(canvas.seed))
    # Where Σ φ is given, what is left to be found sums to 0: so do the rows that find it.
    rows = proper - proper.mean(axis=1, keepdims=True)
    gram = rows.T @ (weight[:, None] * rows)
    if players > 1 and np.linalg.matrix_rank(gram, hermitian=True) < players - 1:
        raise UsageError(
            f"{samples} samples are too few for the Shapley values of {players} cells",
            hint=f"kernel-shap:samples={8 * players}, or a smaller grid",
        )
    solution = np.linalg.pinv(gram, rcond=1e-10, hermitian=True) @ (rows * weight[:, None]).T
    ends = np.array([[True], [False]]).repeat(players, axis=1)
    coalitions = np.concatenate([ends, proper])
    kept = torch.from_numpy(coalitions).reshape(-1, *cells.counts)
    masks = remembered(lambda a, b: cells.spread(kept[a:b].float()), len(kept), cells.shape)
    return KernelShap(cells, coalitions, solution, masks, fill)


def draw(players: int, samples: int, rng: np.random.Generator) -> tuple[Coalitions, Float64]:
    """Returns proper coalitions, each once, and their weights in the regression.

    Of a size that is taken whole weights are w(S) / (M − 1); over those that are drawn, which come
    in pairs of complements, they sum to what all coalitions of these sizes would.
    """
    sizes = list(range(1, players // 2 + 1))
    # Of both sizes of a pair together: C(M, s) w(s) = (M − 1) / (s (M − s)).
    mass = {s: (1 if 2 * s == players else 2) / (s * (players - s)) for s in sizes}
    found, weights = [np.zeros((0, players), bool)], [np.zeros(0)]
    left = samples
    while sizes:
        size = sizes[0]
        number = comb(players, size) * (1 if 2 * size == players else 2)
        # As many as would be drawn of this size, if all that is left were drawn.
        expected = left * mass[size] / sum(mass[s] for s in sizes)
        if number > expected and 2**players - 2 > samples:
            break
        found.append(_all(players, size))
        weights.append(np.full(number, mass[size] / number))
        left -= number
        sizes.pop(0)
    if sizes and left >= 2:
        share = np.array([mass[s] for s in sizes])
        drawn, counts = _drawn(players, np.array(sizes), share / share.sum(), left // 2, rng)
        found += [drawn, ~drawn]
        weights += [share.sum() * counts / (2 * counts.sum())] * 2
    return np.concatenate(found), np.concatenate(weights)


def _all(players: int, size: int) -> Coalitions:
    """Returns all coalitions of a size, and of the size of their complements."""
    places = np.array(list(combinations(range(players), size)))
    kept = np.zeros((len(places), players), bool)
    np.put_along_axis(kept, places, True, axis=1)
    return kept if 2 * size == players else np.concatenate([kept, ~kept])


def _drawn(
    players: int,
    sizes: npt.NDArray[np.int_],
    share: Float64,
    wanted: int,
    rng: np.random.Generator,
) -> tuple[Coalitions, Float64]:
    """Returns distinct coalitions, none another's complement, and how often each was drawn."""
    rows = np.zeros((0, players), bool)
    for _ in range(_ROUNDS):
        size = rng.choice(sizes, wanted, p=share)
        rank = rng.random((wanted, players)).argsort(axis=1).argsort(axis=1)
        kept = rank < size[:, None]
        # Of a pair, the one that has the first player stands for both.
        rows = np.concatenate([rows, np.where(kept[:, :1], kept, ~kept)])
        packed: Any = np.packbits(rows, axis=1)
        _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        if len(first) > wanted:
            break
    which = which.reshape(-1)
    # Draws end where the next one would be one coalition too many.
    end = np.sort(first)[wanted] if len(first) > wanted else len(rows)
    order = [i for i in np.argsort(first) if first[i] < end]
    counts = np.bincount(which[:end], minlength=len(first))
    return rows[first[order]], counts[order].astype(np.float64)
