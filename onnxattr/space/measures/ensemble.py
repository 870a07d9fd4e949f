"""Several measures as one: each on a common scale, then added."""

from collections.abc import Mapping, Sequence

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import InputError

#: What `ensemble` adds, and how often. Written down before it was scored on measured transfer:
#: what the target represents and what it says count alike, and RSA, the best symmetric measure of
#: a first experiment, half, for where a regression from few probes fails.
WEIGHTS: Mapping[str, float] = {
    "predictability-representation": 1.0,
    "predictability-outputs": 1.0,
    "rsa": 0.5,
}


def standardised(values: Float64, targets: Sequence[int] | None = None) -> Float64:
    """Returns a measure in standard deviations from the mean of a target's sources.

    A source that is the target itself has no part in the mean and the deviation, nor has one
    without a value. Of a target whose sources are all equal, or fewer than two, all is 0.

    Args:
        values: [source, target, probe].
        targets: Which of the sources each target is; by default they are the same models in the
            same order.

    Returns:
        [source, target, probe]: for each target one scale and one offset of the values, so that the
        spread over the probes is kept.
    """
    means = values.mean(axis=2)
    others = means.copy()
    which = np.arange(means.shape[1]) if targets is None else np.array(targets, np.intp)
    others[which, np.arange(len(which))] = np.nan
    usable = ~np.isnan(others)
    count = np.maximum(usable.sum(axis=0), 1)
    centre = np.where(usable, others, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(usable, others - centre, 0.0) ** 2).sum(axis=0) / count)
    spread[spread <= 1e-12 * np.abs(centre)] = np.inf
    spread[spread == 0] = np.inf
    result: Float64 = (values - centre[:, None]) / spread[:, None]
    return result


def combined(
    measures: Mapping[str, Float64],
    weights: Mapping[str, float] = WEIGHTS,
    targets: Sequence[int] | None = None,
) -> Float64:
    """Returns the weighted mean of standardised measures, [source, target, probe].

    Where a measure has no value for a pair, the others count alone. It orders the sources of one
    target; values of two targets are not to be compared, nor those of two sets of models.

    Args:
        measures: By name, [source, target, probe]; others than those of `weights` are not used.
        weights: By name.
        targets: As of `standardised`.

    Raises:
        InputError: A measure is missing.
    """
    missing = sorted(set(weights) - set(measures))
    if missing:
        raise InputError(f"an ensemble of `{'`, `'.join(weights)}` lacks `{'`, `'.join(missing)}`")
    parts = np.stack([standardised(measures[name], targets) for name in weights])
    shares = np.array([*weights.values()])[:, None, None, None] * ~np.isnan(parts)
    total, share = (np.nan_to_num(parts) * shares).sum(axis=0), shares.sum(axis=0)
    result: Float64 = np.divide(total, share, out=np.full(total.shape, np.nan), where=share > 0)
    return result
