"""How sure a ranking is: the probability of each rank under resampled probes."""

import numpy as np

from onnxattr.arrays import Float64


def rank_probabilities(draws: Float64) -> Float64:
    """Returns how often each source takes each rank, [source, rank]; rank 1 is the first column.

    Sources that are equal in a draw share their ranks: of two that tie for the first, each is first
    and second in half of that draw. Rows and columns sum to 1.

    Args:
        draws: The similarity of each source over resampled probes, [source, draw], from
            `ranking.bootstrap_means`. The probes of a draw are the same for all sources. A source
            that is NaN in a draw comes last in it.

    Returns:
        float64 [source, rank]; empty without sources.
    """
    count, size = draws.shape
    result = np.zeros((count, count))
    values = np.where(np.isnan(draws), -np.inf, draws)
    # A draw at a time would be a loop of thousands; a source at a time is one of twenty.
    for source in range(count):
        better = (values > values[source]).sum(axis=0)
        equal = (values == values[source]).sum(axis=0)
        for width in np.unique(equal):
            starts = better[equal == width]
            firsts = np.bincount(starts, minlength=count).astype(np.float64)
            shared = np.convolve(firsts, np.full(int(width), 1.0 / width))[:count]
            result[source] += shared
    return result / size if size else np.full((count, count), np.nan)


def top_probabilities(draws: Float64, top: int) -> Float64:
    """Returns how often each source is among the best, [source].

    Args:
        draws: As of `rank_probabilities`.
        top: How many are the best.
    """
    within: Float64 = rank_probabilities(draws)[:, :top].sum(axis=1)
    return within


def order_probability(draws: Float64, order: list[int], top: int) -> float:
    """Returns how often the first `top` of an order are the first, in that order; 0..1.

    Args:
        draws: As of `rank_probabilities`.
        order: Sources, best first.
        top: How many are asked about.
    """
    values = np.where(np.isnan(draws), -np.inf, draws)[order]
    held = np.ones(values.shape[1], bool)
    for place in range(min(top, len(order))):
        held &= (values[place] > values[place + 1 :]).all(axis=0)
    return float(held.mean())
