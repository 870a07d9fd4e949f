"""Sources ordered by similarity, with the spread that the probes leave."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.rank_probability import rank_probabilities
from onnxattr.space.similarity import paper_distance
from onnxattr.types import Pairs, PairScore, Score, Similarity, Source, Target

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
    """Returns every other model as a source for `target`, closest first, by the cosines alone.

    See `rank_by`.
    """
    return rank_by([of_similarity(result)], result, target, seed=seed, hashes=hashes)


def of_similarity(result: Similarity) -> Pairs:
    """Returns the cosines as a measure, which has no direction."""
    return Pairs("attribution", result.names, result.matrix, result.per_probe, directed=False)


def rank_by(
    measures: Sequence[Pairs],
    result: Similarity | None,
    target: int,
    *,
    seed: int = 0,
    hashes: Sequence[str] = (),
    probabilities: bool = False,
) -> Target:
    """Returns every other model as a source for `target`, closest first by the first measure.

    A source shares the rank of the best of its group as long as the interval of their paired
    difference holds zero. Equal values are ordered by name. A source of which the first measure
    says nothing is left out.

    Args:
        measures: One or several.
        result: From `similarity`, for the paper's distance; None where no maps are compared.
        target: Index of the model; it is dropped by this index, not by its similarity.
        seed: Of the bootstrap, whose draws are the same for all measures.
        hashes: SHA-256 of each model's file; equal ones are marked as duplicates.
        probabilities: Whether to say how often each source takes each place by the first measure;
            all of them for all targets would be as many as the cube of the models.
    """
    scores = [_scores(measure, target, seed) for measure in measures]
    first, names = scores[0], measures[0].names
    by_maps = measures[0].measure == "attribution"
    paper = result.per_probe[target] if result and by_maps and not result.centred else None
    sources = []
    for i, score in first.items():
        sources.append(
            Source(
                name=names[i],
                rank=score.rank,
                tied=score.tied,
                similarity=score.value,
                low=score.low,
                high=score.high,
                distance=None if paper is None else paper_distance(paper[i]),
                duplicate=bool(hashes) and hashes[i] == hashes[target],
                measures={
                    measure.measure: found[i]
                    for measure, found in zip(measures, scores, strict=True)
                    if i in found
                },
                disputed=_disputed([_places(found, i) for found in scores if i in found]),
            )
        )
    chances: tuple[tuple[float, ...], ...] = ()
    if probabilities:
        draws = bootstrap_means(measures[0].per_probe[list(first), target], seed)
        chances = tuple(map(tuple, rank_probabilities(draws).tolist()))
    return Target(name=names[target], sources=tuple(sources), probabilities=chances)


def _scores(measure: Pairs, target: int, seed: int) -> dict[int, Score]:
    """Returns what a measure says of each source of a target, closest first."""
    numbers = measure.per_probe[:, target]
    means = bootstrap_means(numbers, seed)
    averages = {
        i: float(average)
        for i, average in enumerate(measure.matrix[:, target])
        if i != target and not np.isnan(average)
    }
    order = sorted(averages, key=lambda i: (-averages[i], measure.names[i]))
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
    return {
        i: Score(averages[i], *interval(means[i]), rank=rank, tied=ranks.count(rank) > 1)
        for i, rank in zip(order, ranks, strict=True)
    }


def _places(scores: Mapping[int, Score], source: int) -> tuple[int, int]:
    """Returns the first and the last place that a source may have among all."""
    rank = scores[source].rank
    return rank, rank + sum(score.rank == rank for score in scores.values()) - 1


def _disputed(places: Sequence[tuple[int, int]]) -> bool:
    """Whether two of the spans of places have none in common."""
    return max((low for low, _ in places), default=0) > min((high for _, high in places), default=0)


def pair_scores(measure: Pairs, seed: int = 0) -> tuple[PairScore, ...]:
    """Returns what a measure says of the first two models; a directed one says it both ways."""
    found = []
    for source, target in ((0, 1), (1, 0)) if measure.directed else ((0, 1),):
        score = _scores(measure, target, seed).get(source)
        if score is not None:
            names = measure.names[source], measure.names[target]
            value, low, high = score.value, score.low, score.high
            found.append(PairScore(measure.measure, *names, measure.directed, value, low, high))
    return tuple(found)
