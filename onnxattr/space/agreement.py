"""How well an order of sources agrees with measured transfer, for one target."""

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64

Order = npt.NDArray[np.intp]


def order(scores: Float64) -> Order:
    """Returns indices from the highest of `scores` to the lowest; equal ones keep their order."""
    return np.argsort(-scores, kind="stable")


def hits(truth: Float64, scores: Float64, relevant: int) -> Float64:
    """Returns how many relevant sources are among the first K, for each K from 1 on.

    The sources of the highest truth are relevant, as in Song et al. 2019, §4.3. The target itself
    must not be among the sources: it is dropped by identity, not by its score.

    Args:
        truth: [source].
        scores: [source].
        relevant: Number of relevant sources.

    Example:
        >>> import numpy as np
        >>> hits(np.array([0.9, 0.1, 0.8]), np.array([0.3, 0.2, 0.1]), relevant=2).tolist()
        [1.0, 1.0, 2.0]
    """
    wanted = np.zeros(len(truth))
    wanted[order(truth)[:relevant]] = 1.0
    counted: Float64 = np.cumsum(wanted[order(scores)])
    return counted


def spearman(truth: Float64, scores: Float64) -> float:
    """Returns the rank correlation of two rows, -1..1; equal numbers share their mean rank.

    It is 0 where one of the rows says nothing, because its numbers are all the same.
    """
    # spearmanr takes ten times as long, for a p-value that nobody asked for.
    from scipy.stats import rankdata

    if _flat(truth) or _flat(scores):
        return 0.0
    first, second = rankdata([truth, scores], axis=1) - (len(truth) + 1) / 2
    return float(np.clip(first @ second / np.sqrt((first @ first) * (second @ second)), -1.0, 1.0))


def weighted_tau(truth: Float64, scores: Float64) -> float:
    """Returns the weighted Kendall τ of two rows, -1..1, which counts the first ranks most.

    Hyperbolic weights, added, of the ranks by either row (Vigna 2015; SciPy's `weightedtau` as it
    is, which rankings of models are usually judged by). It is 0 where one of the rows is constant.
    """
    from scipy.stats import weightedtau

    if _flat(truth) or _flat(scores):
        return 0.0
    return float(weightedtau(truth, scores).statistic)


def relative(truth: Float64) -> Float64:
    """Returns how good each source is among the others: 0 the worst, 1 the best."""
    lowest, highest = truth.min(), truth.max()
    share: Float64 = (truth - lowest) / (highest - lowest)
    return share


def _flat(row: Float64) -> bool:
    return bool((row == row[0]).all())
