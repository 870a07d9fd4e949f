"""Spearman's correlation between two sets of numbers that stand for pairs of probes."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures.evidence import same_probes
from onnxattr.space.measures.spread import pseudo_values


@dataclass(frozen=True, eq=False)
class Ranked:
    """A model as the order of the pairs of probes.

    Attributes:
        matrix: The rank of each pair among all, less the mean rank, at unit norm over the lower
            triangle; [probe, probe], symmetric, zero on the diagonal. NaN where all pairs tie.
    """

    matrix: Float64


def ranked(matrix: Float64) -> Ranked:
    """Returns the ranks of the lower triangle of a symmetric matrix, [probe, probe].

    Ties share their mean rank. Numbers that agree to 12 digits of the largest are ties: rounding
    would put equal pairs in some order otherwise.
    """
    from scipy.stats import rankdata

    below = np.tril_indices(len(matrix), -1)
    pairs = matrix[below]
    step = 1e-12 * np.abs(pairs).max()
    ranks = rankdata(np.round(pairs / step) if step > 0 else pairs)
    ranks -= ranks.mean()
    norm = np.sqrt(ranks @ ranks)
    result = np.zeros(matrix.shape)
    result[below] = ranks / norm if norm > 0 else np.nan
    return Ranked(result + result.T)


def spearman(one: Ranked, other: Ranked) -> Float64:
    """Returns Spearman's ρ over the pairs of probes as pseudo-values, [probe].

    Without probe k, the ranks that pairs have among all are correlated over the pairs that are
    left: they are not ranked anew, which would cost n sorts and change the third digit of the
    spread. NaN where all pairs of a model tie.
    """
    same_probes(len(one.matrix), len(other.matrix))
    x, y = one.matrix, other.matrix
    count = len(x)
    pairs = (count - 1) * (count - 2) / 2
    # The sums over all pairs are 0, 0, 1 and 1; a row of the matrix holds the pairs of a probe.
    with np.errstate(invalid="ignore", divide="ignore"):
        x_sum, y_sum = -x.sum(axis=0), -y.sum(axis=0)
        both = (x * y).sum() / 2
        cross = both - (x * y).sum(axis=0) - x_sum * y_sum / pairs
        x_own = 1 - (x * x).sum(axis=0) - x_sum**2 / pairs
        y_own = 1 - (y * y).sum(axis=0) - y_sum**2 / pairs
        return pseudo_values(float(both), cross / np.sqrt(x_own * y_own))
