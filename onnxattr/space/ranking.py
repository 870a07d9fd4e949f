"""Sources ordered by similarity, with the spread that the probes leave."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64
from onnxattr.space.rank_probability import rank_probabilities
from onnxattr.space.similarity import paper_distance
from onnxattr.types import Pairs, PairScore, Score, Similarity, Source, Target

#: Resamples of the probe set, and the share of them that an interval holds.
RESAMPLES = 2000
CONFIDENCE = 0.95

#: Sources that are resampled at a time.
_ROWS = 1024

#: What the measure of maps is called.
ATTRIBUTION = "attribution"


@dataclass(frozen=True, eq=False)
class Column:
    """What a measure says of some models as sources of one target.

    Attributes:
        measure: Its name.
        sources: Places of the models, [source]; the target may be among them.
        values: float64 [source]: the measure; NaN where it says nothing.
        per_probe: float64 [source, probe]: numbers whose mean it is.
    """

    measure: str
    sources: npt.NDArray[np.integer[Any]]
    values: Float64
    per_probe: Float64


def column(measure: Pairs, target: int) -> Column:
    """Returns what a measure says of all models as sources of one target."""
    place = target if measure.targets is None else measure.targets.index(target)
    every = np.arange(len(measure.names))
    values, per_probe = measure.matrix[:, place], measure.per_probe[:, place]
    return Column(measure.measure, every, values, per_probe)


def bootstrap_means(cosines: Float64, seed: int, resamples: int = RESAMPLES) -> Float64:
    """Returns the mean of each row of `cosines` over resampled probes, [row, resample].

    Probes are drawn with replacement, the same ones for every row, so that differences between rows
    are paired. A probe without a cosine counts for the rows that have one.

    Args:
        cosines: [row, probe], NaN where a map is unusable.
        seed: Of the draw.
        resamples: Number of draws.
    """
    draws = _draws(cosines.shape[1], seed, resamples)
    means = np.full((len(cosines), resamples), np.nan)
    # Some rows at a time: of thousands, what is made on the way would take twice as much again.
    for start in range(0, len(cosines), _ROWS):
        rows = cosines[start : start + _ROWS]
        usable = ~np.isnan(rows)
        total = np.where(usable, rows, 0.0) @ draws.T
        weight = usable.astype(np.float64) @ draws.T
        np.divide(total, weight, out=means[start : start + _ROWS], where=weight > 0)
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
    return Pairs(ATTRIBUTION, result.names, result.matrix, result.per_probe, directed=False)


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

    See `rank_columns`.

    Args:
        measures: One or several.
        result: From `similarity`, for the paper's distance; None where no maps are compared.
        target: Index of the model.
        seed: Of the bootstrap.
        hashes: SHA-256 of each model's file.
        probabilities: Whether to say how often each source takes each place by the first measure.
    """
    return rank_columns(
        [column(measure, target) for measure in measures],
        measures[0].names,
        target,
        seed=seed,
        hashes=hashes,
        probabilities=probabilities,
        plain=result is not None and not result.centred,
    )


def rank_columns(
    columns: Sequence[Column],
    names: Sequence[str],
    target: int,
    *,
    seed: int = 0,
    hashes: Sequence[str] = (),
    probabilities: bool = False,
    plain: bool = False,
) -> Target:
    """Returns models as sources for `target`, closest first by the first measure.

    A source shares the rank of the best of its group as long as the interval of their paired
    difference holds zero. Equal values are ordered by name. A source of which the first measure
    says nothing is left out.

    Args:
        columns: What one or several measures say; sources are those of the first.
        names: One a model.
        target: Index of the model; it is dropped by this index, not by its similarity.
        seed: Of the bootstrap, whose draws are the same for all measures.
        hashes: SHA-256 of each model's file; equal ones are marked as duplicates.
        probabilities: Whether to say how often each source takes each place by the first measure;
            all of them for all targets would be as many as the cube of the models.
        plain: Whether maps are as they are, not centred, so that the paper's distance is told.
    """
    scores = [_scores(each, names, target, seed) for each in columns]
    first = scores[0]
    rows = dict(zip(columns[0].sources.tolist(), columns[0].per_probe, strict=True))
    tell = plain and columns[0].measure == ATTRIBUTION
    places = [_places(found) for found in scores]
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
                distance=paper_distance(rows[i]) if tell else None,
                duplicate=bool(hashes) and hashes[i] == hashes[target],
                measures={
                    each.measure: found[i]
                    for each, found in zip(columns, scores, strict=True)
                    if i in found
                },
                disputed=_disputed([spans[i] for spans in places if i in spans]),
            )
        )
    chances: tuple[tuple[float, ...], ...] = ()
    if probabilities:
        draws = bootstrap_means(np.array([rows[i] for i in first]).reshape(len(first), -1), seed)
        chances = tuple(map(tuple, rank_probabilities(draws).tolist()))
    return Target(name=names[target], sources=tuple(sources), probabilities=chances)


def _scores(measure: Column, names: Sequence[str], target: int, seed: int) -> dict[int, Score]:
    """Returns what a measure says of each source of a target, closest first."""
    means = bootstrap_means(measure.per_probe, seed)
    rows = {
        i: row
        for row, i in enumerate(measure.sources.tolist())
        if i != target and not np.isnan(measure.values[row])
    }
    averages = {i: float(measure.values[row]) for i, row in rows.items()}
    order = sorted(averages, key=lambda i: (-averages[i], names[i]))
    ranks: list[int] = []
    leader = -1
    for position, i in enumerate(order, start=1):
        if leader >= 0:
            low, high = interval(means[rows[leader]] - means[rows[i]])
            if low <= 0.0 <= high:
                ranks.append(ranks[-1])
                continue
        leader = i
        ranks.append(position)
    sizes = Counter(ranks)
    return {
        i: Score(averages[i], *interval(means[rows[i]]), rank=rank, tied=sizes[rank] > 1)
        for i, rank in zip(order, ranks, strict=True)
    }


def _places(scores: Mapping[int, Score]) -> dict[int, tuple[int, int]]:
    """Returns the first and the last place that each source may have among all."""
    sizes = Counter(score.rank for score in scores.values())
    return {i: (score.rank, score.rank + sizes[score.rank] - 1) for i, score in scores.items()}


def _disputed(places: Sequence[tuple[int, int]]) -> bool:
    """Whether two of the spans of places have none in common."""
    return max((low for low, _ in places), default=0) > min((high for _, high in places), default=0)


def pair_scores(measure: Pairs, seed: int = 0) -> tuple[PairScore, ...]:
    """Returns what a measure says of the first two models; a directed one says it both ways."""
    found = []
    for source, target in ((0, 1), (1, 0)) if measure.directed else ((0, 1),):
        score = _scores(column(measure, target), measure.names, target, seed).get(source)
        if score is not None:
            names = measure.names[source], measure.names[target]
            value, low, high = score.value, score.low, score.high
            found.append(PairScore(measure.measure, *names, measure.directed, value, low, high))
    return tuple(found)
