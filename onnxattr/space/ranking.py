"""Sources ordered by similarity, with the spread that the probes leave."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.similarity import paper_distance
from onnxattr.types import Similarity, Source, Target

#: Resamples of the probe set, and the share of them that an interval holds.
RESAMPLES = 2000
CONFIDENCE = 0.95


def bootstrap_means(cosines: Float64, seed: int, resamples: int = RESAMPLES) -> Float64:
    """Returns the mean of each row of `cosines` over resampled probes, [row, resample].

    Probes are drawn with replacement, the same ones for every row, so that differences between rows
    are paired. A probe without a cosine counts for the rows that have one.

    Args:
        cosines: [row, probe], NaN where a map is unusable.
        seed: Of the draw.
        resamples: Number of draws.
    """
    count = cosines.shape[1]
    draws = _draws(count, seed, resamples)
    usable = ~np.isnan(cosines)
    total = np.where(usable, cosines, 0.0) @ draws.T
    weight = usable.astype(np.float64) @ draws.T
    means: Float64 = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return means


@lru_cache(maxsize=1)
def _draws(count: int, seed: int, resamples: int) -> Float64:
    """Returns how often each probe is drawn, [resample, probe]; every target uses the same."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, [1 / count] * count, size=resamples).astype(np.float64)


def interval(means: Float64) -> tuple[float, float]:
    """Returns the ends of the percentile interval of resampled `means`."""
    tail = (1 - CONFIDENCE) / 2
    if np.isnan(means).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(means, [tail, 1 - tail])
    return float(low), float(high)


def rank_sources(
    result: Similarity, target: int, *, seed: int = 0, hashes: Sequence[str] = ()
) -> Target:
    """Returns every other model as a source for `target`, closest first.

    A source shares the rank of the best of its group as long as the interval of their paired
    difference holds zero. Equal similarities are ordered by name. A source without a single usable
    probe in common has no similarity and is left out.

    Args:
        result: From `similarity`.
        target: Index of the model; it is dropped by this index, not by its similarity.
        seed: Of the bootstrap.
        hashes: SHA-256 of each model's file; equal ones are marked as duplicates.
    """
    cosines = result.per_probe[target]
    means = bootstrap_means(cosines, seed)
    averages = {
        i: float(average)
        for i, average in enumerate(result.matrix[target])
        if i != target and not np.isnan(average)
    }
    order = sorted(averages, key=lambda i: (-averages[i], result.names[i]))
    ranks: list[int] = []
    leader = -1
    for position, i in enumerate(order, start=1):
        if leader >= 0:
            low, high = interval(means[leader] - means[i])
            if low <= 0.0 <= high:
                ranks.append(ranks[-1])
                continue
        leader = i
        ranks.append(position)
    sources = []
    for i, rank in zip(order, ranks, strict=True):
        low, high = interval(means[i])
        sources.append(
            Source(
                name=result.names[i],
                rank=rank,
                tied=ranks.count(rank) > 1,
                similarity=averages[i],
                low=low,
                high=high,
                distance=None if result.centred else paper_distance(cosines[i]),
                duplicate=bool(hashes) and hashes[i] == hashes[target],
            )
        )
    return Target(name=result.names[target], sources=tuple(sources))
