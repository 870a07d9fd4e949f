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
    """Returns each measure of every source and target, [source, target, probe].

    The mean over the probes that are not NaN is the measure. What two measures have in common is
    computed once. Models are taken as sources one after the other, so that of one source at a time
    much is held in memory.

    Args:
        names: Of measures, or `ensemble`.
        models: What is known of each.
        targets: Places of the models that count as targets, in the order of the columns; None for
            all.

    Raises:
        InputError: A model lacks what a measure needs, or it is not finite; `model` says which.
        ProbeError: There are too few probes, or not as many for all models.
        UsageError: There is no such measure.
    """
    single = dict.fromkeys(name for name in names if name != ENSEMBLE)
    wanted = dict.fromkeys([*single, *(ensemble.WEIGHTS if ENSEMBLE in names else ())])
    wanted_targets = [*range(len(models))] if targets is None else [*targets]
    result = {}
    prepared: dict[Callable[..., Any], list[Any]] = {}
    for name in wanted:
        prepare = MEASURES[name].prepare
        if prepare not in prepared:
            prepared[prepare] = [prepare(model) for model in models]
        result[name] = _compared(name, prepared[prepare], wanted_targets)
    if ENSEMBLE in names:
        result[ENSEMBLE] = ensemble.combined(result, targets=wanted_targets)
    return {name: result[name] for name in dict.fromkeys(names)}


def _compared(name: str, models: list[Any], targets: Sequence[int]) -> Float64:
    measure = MEASURES[name]
    cells: dict[tuple[int, int], Float64] = {}
    for i in targets:
        # Of the predictions, what each model can be is asked of itself first.
        cells[i, i] = measure.compare(models[i], models[i])
        if measure.release:
            measure.release(models[i])
    for i, source in enumerate(models):
        for j in targets:
            if i == j:
                continue
            known = None if measure.directed else cells.get((j, i))
            cells[i, j] = measure.compare(source, models[j]) if known is None else known
        if measure.release:
            measure.release(source)
    if not models or not targets:
        return np.empty((len(models), len(targets), 0))
    return np.array([[cells[i, j] for j in targets] for i in range(len(models))])
