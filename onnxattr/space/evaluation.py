"""Measures beside measured transfer: precision and recall, correlations, regret, references."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.agreement import hits, order, relative, spearman, weighted_tau
from onnxattr.space.alignment import Aligned
from onnxattr.space.ranking import bootstrap_means, interval
from onnxattr.types import FIGURES, CurvePoint, Estimate, Measured, TargetOutcome

#: The 5 best sources of a target are relevant, as in Song et al. 2019, §4.3.
RELEVANT = 5

#: The figures that are in `TargetOutcome` by their own names.
_OF_TARGETS = FIGURES[2:]


@dataclass(frozen=True, eq=False)
class _Column:
    """What is measured of one target: its sources, and itself where it is one."""

    name: str
    index: int
    others: np.ndarray[tuple[int, ...], np.dtype[np.intp]]
    itself: int | None


@dataclass(frozen=True, eq=False)
class _Tally:
    """The outcomes of a measure, and its hits at each K, [target, K]."""

    outcomes: tuple[TargetOutcome, ...]
    hits: Float64


def default_relevant(aligned: Aligned) -> int:
    """Returns how many sources of each target are relevant: 5, or half of 5 sources or fewer."""
    fewest = depth(aligned)
    return RELEVANT if fewest > RELEVANT else max(1, fewest // 2)


def depth(aligned: Aligned) -> int:
    """Returns the number of sources of the target that has the fewest, the target itself apart."""
    return min(len(column.others) for column in _columns(aligned))


def evaluate(
    aligned: Aligned, names: Sequence[str], *, relevant: int, seed: int = 0
) -> tuple[tuple[Measured, ...], tuple[Measured, ...]]:
    """Returns how well each measure predicts the truth, and the references.

    P@K = n_K / (T · K) and R@K = n_K / (T · R), where n_K are the hits of all T targets together
    and R is `relevant` (Song et al. 2019, §4.3). All other figures are means over the targets.
    Equal scores are ordered by name. Intervals are of the bootstrap over targets; the same draws
    serve all measures, so that differences are paired.

    Args:
        aligned: The truth and the similarities; no target has the same truth for all sources.
        names: One a similarity.
        relevant: Number of relevant sources a target, fewer than there are sources.
        seed: Of the bootstrap.
    """
    columns = list(_columns(aligned))
    tallies = [_tally(aligned, columns, scores, relevant) for scores in aligned.scores]
    measures = tuple(
        _measured(name, tally, tallies[0] if position else None, relevant, seed)
        for position, (name, tally) in enumerate(zip(names, tallies, strict=True))
    )
    references = [("oracle", _tally(aligned, columns, aligned.truth, relevant))]
    references.append(("random", _random(aligned, columns, relevant)))
    if (ceiling := symmetrised(aligned)) is not None:
        references.append(("symmetric ceiling", _tally(aligned, columns, ceiling, relevant)))
    return measures, tuple(_measured(n, tally, None, relevant, seed) for n, tally in references)


def symmetrised(aligned: Aligned) -> Float64 | None:
    """Returns the mean of both directions of the truth, or None where no pair has both.

    Only the order of a target's sources counts, so that each target's truth is first brought to one
    scale: 0 its worst source, 1 its best. A pair of which one direction was measured keeps that
    one. What it reaches is no proven bound of symmetric measures, but a yardstick of them: in
    Taskonomy's affinities, P@5 is .856 (and .711 without the common scale).
    """
    scaled = np.full_like(aligned.truth, np.nan)
    for column in _columns(aligned):
        truth = aligned.truth[column.others, column.index]
        lowest, spread = truth.min(), np.ptp(truth)
        scaled[:, column.index] = (aligned.truth[:, column.index] - lowest) / spread
    rows = {name: i for i, name in enumerate(aligned.sources)}
    common = [(rows[name], j) for j, name in enumerate(aligned.targets) if name in rows]
    if len(common) < 2:
        return None
    both = np.ix_([i for i, _ in common], [j for _, j in common])
    scaled[both] = (scaled[both] + scaled[both].T) / 2
    return scaled


def ties(aligned: Aligned, relevant: int) -> tuple[int, list[int]]:
    """Returns for how many targets names decide, because numbers are equal.

    Args:
        aligned: The truth and the similarities.
        relevant: Number of relevant sources a target.

    Returns:
        Of the truth: targets with equal numbers on both sides of the border of what is relevant. Of
        each similarity: targets with any equal numbers.
    """
    columns = list(_columns(aligned))
    border = 0
    for column in columns:
        truth = aligned.truth[column.others, column.index]
        inside, outside = np.split(truth[order(truth)], [relevant])
        border += bool(inside[-1] == outside[0])
    counts = []
    for scores in aligned.scores:
        rows = [scores[column.others, column.index] for column in columns]
        counts.append(sum(len(np.unique(row)) < len(row) for row in rows))
    return border, counts


def _columns(aligned: Aligned) -> Iterator[_Column]:
    rows = {name: i for i, name in enumerate(aligned.sources)}
    for index, name in enumerate(aligned.targets):
        itself = rows.get(name)
        others = np.array([i for i in rows.values() if i != itself], np.intp)
        yield _Column(name, index, others, itself)


def _tally(aligned: Aligned, columns: Sequence[_Column], scores: Float64, relevant: int) -> _Tally:
    outcomes, counts = [], []
    fewest = min(len(column.others) for column in columns)
    for column in columns:
        truth = aligned.truth[column.others, column.index]
        score = scores[column.others, column.index]
        best, chosen = order(truth)[0], order(score)[0]
        counted = hits(truth, score, relevant)
        counts.append(counted[:fewest])
        whole_truth, whole_score = (m[:, column.index] for m in (aligned.truth, scores))
        with_self = column.itself is not None and bool(
            np.isfinite([whole_truth[column.itself], whole_score[column.itself]]).all()
        )
        outcomes.append(
            TargetOutcome(
                target=column.name,
                best=aligned.sources[column.others[best]],
                chosen=aligned.sources[column.others[chosen]],
                hits=float(counted[relevant - 1]),
                spearman=spearman(truth, score),
                spearman_with_self=spearman(whole_truth, whole_score) if with_self else np.nan,
                tau=weighted_tau(truth, score),
                tau_with_self=weighted_tau(whole_truth, whole_score) if with_self else np.nan,
                regret=float(truth[best] - truth[chosen]),
                relative_regret=float(1.0 - relative(truth)[chosen]),
            )
        )
    return _Tally(tuple(outcomes), np.array(counts))


def _random(aligned: Aligned, columns: Sequence[_Column], relevant: int) -> _Tally:
    """Returns what a random order of the sources is expected to reach: P@K = R / sources."""
    outcomes, counts = [], []
    fewest = min(len(column.others) for column in columns)
    for column in columns:
        truth = aligned.truth[column.others, column.index]
        share = relevant / len(truth)
        counts.append(share * np.arange(1, fewest + 1))
        outcomes.append(
            TargetOutcome(
                target=column.name,
                best=aligned.sources[column.others[order(truth)[0]]],
                chosen="",
                hits=share * relevant,
                spearman=0.0,
                spearman_with_self=0.0 if column.itself is not None else np.nan,
                tau=0.0,
                tau_with_self=0.0 if column.itself is not None else np.nan,
                regret=float(truth.max() - truth.mean()),
                relative_regret=float(1.0 - relative(truth).mean()),
            )
        )
    return _Tally(tuple(outcomes), np.array(counts))


def _measured(name: str, tally: _Tally, first: _Tally | None, relevant: int, seed: int) -> Measured:
    figures = _figures(tally, relevant)
    estimates = _estimates(figures, seed)
    differences: list[Estimate] = []
    if first is not None:
        differences = _estimates(figures - _figures(first, relevant), seed)
    return Measured(
        name=name,
        figures=dict(zip(FIGURES, estimates, strict=True)),
        differences=dict(zip(FIGURES, differences, strict=False)),
        curve=_curve(tally.hits, relevant, seed),
        outcomes=tally.outcomes,
    )


def _figures(tally: _Tally, relevant: int) -> Float64:
    """Returns every figure of every target, [figure, target], in the order of `FIGURES`."""
    rows = [tally.hits[:, 0], tally.hits[:, relevant - 1] / relevant]
    rows += [np.array([getattr(o, name) for o in tally.outcomes]) for name in _OF_TARGETS]
    return np.array(rows)


def _estimates(rows: Float64, seed: int) -> list[Estimate]:
    """Returns the mean of each row over its targets, with an interval where there are several."""
    resampled = bootstrap_means(rows, seed)
    result = []
    for row, means in zip(rows, resampled, strict=True):
        usable = row[~np.isnan(row)]
        value = float(usable.mean()) if usable.size else np.nan
        low, high = interval(means) if usable.size > 1 else (np.nan, np.nan)
        result.append(Estimate(value, low, high))
    return result


def _curve(counts: Float64, relevant: int, seed: int) -> tuple[CurvePoint, ...]:
    targets, depths = counts.shape
    ks = np.arange(1, depths + 1)
    pooled = counts.sum(axis=0)
    estimates = _estimates((counts / ks).T, seed)
    return tuple(
        CurvePoint(
            k=int(k),
            hits=float(hit),
            precision=float(hit / (targets * k)),
            recall=float(hit / (targets * relevant)),
            low=estimate.low,
            high=estimate.high,
        )
        for k, hit, estimate in zip(ks, pooled, estimates, strict=True)
    )
