"""How far an order of sources depends on which probes, and which measure, it was made by."""

from collections.abc import Iterator, Sequence

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.agreement import spearman
from onnxattr.space.similarity import mean_cosines
from onnxattr.types import Pairs, Stability

#: Pairs of sets of probes that are drawn of each size.
DRAWS = 50

#: More models than these are not looked at: their orders are as many as the square of them.
MODELS = 100


def by_probes(measure: Pairs, targets: Sequence[int], *, seed: int = 0) -> tuple[Stability, ...]:
    """Returns how alike two orders by the same measure are, each of other probes; fewer ones first.

    Two sets of as many probes are drawn without a probe in common, and the sources of each target
    are ordered by either. Maps stay centred by the mean of all probes.

    Args:
        measure: Its numbers of single probes are used.
        targets: Places of the models whose sources are ordered.
        seed: Of the draws.

    Returns:
        One for 2, 4, 8, … probes, up to half of all; nothing of fewer than four probes, of fewer
        than three models, or of more than 100.
    """
    count = measure.per_probe.shape[2]
    if count < 4 or not 3 <= len(measure.names) <= MODELS:
        return ()
    generator = np.random.default_rng(seed)
    sizes = [2**power for power in range(1, count.bit_length()) if 2**power <= count // 2]
    if sizes[-1] != count // 2:
        sizes.append(count // 2)
    found: list[Stability] = []
    for size in sizes:
        rows: list[tuple[float, bool]] = []
        for _ in range(DRAWS):
            order = generator.permutation(count)
            halves = order[:size], order[size : 2 * size]
            one, other = (mean_cosines(measure.per_probe[:, :, half]) for half in halves)
            rows += _agree(one, other, targets)
        found += _stability(f"{size} probes", measure.measure, rows)
    return tuple(found)


def by_measures(measures: Sequence[Pairs], targets: Sequence[int]) -> tuple[Stability, ...]:
    """Returns how alike the orders by every two measures are, in the order of the measures.

    Args:
        measures: Of the same models.
        targets: Places of the models whose sources are ordered.
    """
    if len(measures) < 2 or not 3 <= len(measures[0].names) <= MODELS:
        return ()
    found: list[Stability] = []
    for place, one in enumerate(measures):
        for other in measures[place + 1 :]:
            rows = list(_agree(one.matrix, other.matrix, targets))
            found += _stability(other.measure, one.measure, rows)
    return tuple(found)


def _agree(one: Float64, other: Float64, targets: Sequence[int]) -> Iterator[tuple[float, bool]]:
    """Yields Spearman's ρ of both orders of a target's sources, and whether the first is the same.

    Sources of which either says nothing do not count; with fewer than two, nothing is yielded.
    """
    for target in targets:
        first, second = one[:, target], other[:, target]
        known = np.isfinite(first) & np.isfinite(second)
        known[target] = False
        if known.sum() < 2:
            continue
        first, second = first[known], second[known]
        yield spearman(first, second), bool(first.argmax() == second.argmax())


def _stability(what: str, measure: str, rows: Sequence[tuple[float, bool]]) -> Iterator[Stability]:
    if rows:
        correlations, same = zip(*rows, strict=True)
        yield Stability(what, measure, float(np.mean(correlations)), float(np.mean(same)))
