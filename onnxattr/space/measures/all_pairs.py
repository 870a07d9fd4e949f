"""Measures of every model with every other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures import ensemble
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES

#: The name under which a combination is asked for; see `ensemble`.
ENSEMBLE = "ensemble"


def all_pairs(names: Sequence[str], models: Sequence[Evidence]) -> dict[str, Float64]:
    """Returns each measure of every two models, [source, target, probe].

    The mean over the probes that are not NaN is the measure. What two measures have in common is
    computed once. Models are taken as sources one after the other, so that of one source at a time
    much is held in memory.

    Args:
        names: Of measures, or `ensemble`.
        models: What is known of each.

    Raises:
        InputError: A model lacks what a measure needs, or it is not finite; `model` says which.
        ProbeError: There are too few probes, or not as many for all models.
        UsageError: There is no such measure.
    """
    single = dict.fromkeys(name for name in names if name != ENSEMBLE)
    wanted = dict.fromkeys([*single, *(ensemble.WEIGHTS if ENSEMBLE in names else ())])
    result = {}
    prepared: dict[Callable[..., Any], list[Any]] = {}
    for name in wanted:
        prepare = MEASURES[name].prepare
        if prepare not in prepared:
            prepared[prepare] = [prepare(model) for model in models]
        result[name] = _compared(name, prepared[prepare])
    if ENSEMBLE in names:
        result[ENSEMBLE] = ensemble.combined(result)
    return {name: result[name] for name in dict.fromkeys(names)}


def _compared(name: str, models: list[Any]) -> Float64:
    measure = MEASURES[name]
    count = len(models)
    values: list[list[Any]] = [[None] * count for _ in range(count)]
    for i, model in enumerate(models):
        # Of the predictions, what each model can be is asked of itself first.
        values[i][i] = measure.compare(model, model)
        if measure.release:
            measure.release(model)
    for i, source in enumerate(models):
        for j, target in enumerate(models):
            if i == j:
                continue
            mirrored = not measure.directed and j < i
            values[i][j] = values[j][i] if mirrored else measure.compare(source, target)
        if measure.release:
            measure.release(source)
    return np.array(values) if count else np.empty((0, 0, 0))
