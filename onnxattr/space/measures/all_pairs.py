"""Measures of every model with every other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures import ensemble
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import ENSEMBLE, MEASURES


def all_pairs(
    names: Sequence[str], models: Sequence[Evidence], targets: Sequence[int] | None = None
) -> dict[str, Float64]:
    """Returns each measure of every two models, [source, target, probe].

    The mean over the probes that are not NaN is the measure. What two measures have in common is
    computed once. Models are taken as sources one after the other, so that of one source at a time
    much is held in memory.

    Args:
        names: Of measures, or `ensemble`.
        models: What is known of each.
        targets: Places of the models that count as targets; for others all is NaN. By default all.

    Raises:
        InputError: A model lacks what a measure needs, or it is not finite; `model` says which.
        ProbeError: There are too few probes, or not as many for all models.
        UsageError: There is no such measure.
    """
    single = dict.fromkeys(name for name in names if name != ENSEMBLE)
    wanted = dict.fromkeys([*single, *(ensemble.WEIGHTS if ENSEMBLE in names else ())])
    wanted_targets = range(len(models)) if targets is None else targets
    result = {}
    prepared: dict[Callable[..., Any], list[Any]] = {}
    for name in wanted:
        prepare = MEASURES[name].prepare
        if prepare not in prepared:
            prepared[prepare] = [prepare(model) for model in models]
        result[name] = _compared(name, prepared[prepare], wanted_targets)
    if ENSEMBLE in names:
        result[ENSEMBLE] = ensemble.combined(result)
    return {name: result[name] for name in dict.fromkeys(names)}


def _compared(name: str, models: list[Any], targets: Sequence[int]) -> Float64:
    measure = MEASURES[name]
    count = len(models)
    values: list[list[Any]] = [[None] * count for _ in range(count)]
    for i in targets:
        # Of the predictions, what each model can be is asked of itself first.
        values[i][i] = measure.compare(models[i], models[i])
        if measure.release:
            measure.release(models[i])
    for i, source in enumerate(models):
        for j in targets:
            if i == j:
                continue
            known = None if measure.directed else values[j][i]
            values[i][j] = measure.compare(source, models[j]) if known is None else known
        if measure.release:
            measure.release(source)
    if not count or not targets:
        return np.empty((count, count, 0))
    none = np.full(len(values[targets[0]][targets[0]]), np.nan)
    return np.array([[none if cell is None else cell for cell in row] for row in values])
