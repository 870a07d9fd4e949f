"""How well rows of features predict other rows, by ridge regression in its dual form."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64

#: Strengths of the penalty, as a share of the mean eigenvalue of the training kernel. The weakest
#: still leaves four digits of a model that predicts itself; the strongest predicts the mean.
PENALTIES: Float64 = np.logspace(-6, 3, 10)

#: Number of folds, and the seed of the draw that puts probes into them. Probes come from files in
#: some order, neighbours may be views of one scene: an order must not decide who is held out.
FOLDS, _SEED = 5, 0

Index = npt.NDArray[np.intp]


def folds(count: int) -> list[Index]:
    """Returns the probes of each fold; the same for every model with as many probes."""
    order = np.random.default_rng(_SEED).permutation(count)
    return [np.sort(order[start :: min(FOLDS, count)]) for start in range(min(FOLDS, count))]


@dataclass(frozen=True, eq=False)
class Split:
    """The eigenvectors of a source's kernel over the probes of all folds but one.

    Attributes:
        held: Probes of the fold that is left out.
        rest: The others.
        vectors: Eigenvectors of the centred kernel over the rest, [rest, direction].
        powers: Their eigenvalues, [direction].
        lines: The centred kernel of held against rest, in terms of the vectors,
            [held, direction].
    """

    held: Index
    rest: Index
    vectors: Float64
    powers: Float64
    lines: Float64


def splits(kernel: Float64) -> list[Split]:
    """Returns what predictions from a source need, for each fold.

    Args:
        kernel: Products of the source's features, [probe, probe], uncentred.
    """
    result = []
    every = np.arange(len(kernel))
    for held in folds(len(kernel)):
        rest = np.setdiff1d(every, held)
        inside, across = kernel[np.ix_(rest, rest)], kernel[np.ix_(held, rest)]
        means = inside.mean(axis=0)
        across = across - means
        across -= across.mean(axis=1, keepdims=True)
        inside = inside - means - means[:, None] + means.mean()
        powers, vectors = np.linalg.eigh(inside)
        # Below this a direction is rounding: among them the one that centring takes away.
        real = powers > 1e-10 * max(powers[-1], np.abs(kernel).max() * 1e-6)
        vectors = vectors[:, real]
        result.append(Split(held, rest, vectors, powers[real], across @ vectors))
    return result


def errors(source: list[Split], target: Float64) -> tuple[Float64, Float64]:
    """Returns the squared error of each probe's prediction, and of the mean, both [probe].

    A probe is predicted from the folds that it is not in. The penalty is chosen on these by
    generalised cross-validation (Golub, Heath & Wahba 1979), one for all units of the target. The
    mean is that of the same folds.

    Args:
        source: From `splits`.
        target: Products of the target's features, [probe, probe], uncentred: of what is to be
            predicted no more is needed.
    """
    squares, around = np.empty(len(target)), np.empty(len(target))
    for split in source:
        inside = target[np.ix_(split.rest, split.rest)]
        across = target[np.ix_(split.held, split.rest)]
        means = inside.mean(axis=0)
        spread = np.diagonal(target)[split.held] - 2 * across.mean(axis=1) + means.mean()
        across = across - means
        inside = inside - means - means[:, None] + means.mean()
        within = split.vectors.T @ inside @ split.vectors
        shrunk = _best(split.powers, np.diagonal(within), float(np.trace(inside)), len(split.rest))
        lines = split.lines * shrunk
        both = np.einsum("td,td->t", lines, across @ split.vectors)
        squares[split.held] = spread - 2 * both + np.einsum("td,td->t", lines @ within, lines)
        around[split.held] = spread
    return np.clip(squares, 0.0, None), np.clip(around, 0.0, None)


def _best(powers: Float64, explained: Float64, total: float, count: int) -> Float64:
    """Returns 1 / (power + penalty) for the penalty of the least generalised error.

    Args:
        powers: Eigenvalues of the training kernel.
        explained: Squared size of the target along each eigenvector.
        total: Squared size of the target.
        count: Probes.
    """
    if not len(powers):
        return powers
    penalties = PENALTIES[:, None] * powers.mean()
    kept = powers / (powers + penalties)
    # What the eigenvectors do not reach stays as it is.
    left = (total - explained.sum()) + ((1 - kept) ** 2 * explained).sum(axis=1)
    freedom = count - 1 - kept.sum(axis=1)
    chosen = int(np.argmin(np.clip(left, 0.0, None) / np.clip(freedom, 1e-9, None) ** 2))
    result: Float64 = 1.0 / (powers + penalties[chosen])
    return result
