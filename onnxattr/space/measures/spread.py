"""From a measure of a whole probe set to one number a probe, and to its spread."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64

#: Which probes: indices, of which none comes twice.
Selection = npt.NDArray[np.integer[Any]]


def pseudo_values(whole: float, without: Float64) -> Float64:
    """Returns one number a probe from leaving out each probe in turn, [probe].

    Tukey's pseudo-values, n·θ − (n − 1)·θ₋ₖ, moved so that their mean is θ itself: their variance
    over n is the jackknife's variance of θ, and their means over resampled probes spread as θ does
    over probe sets. Probes themselves cannot be resampled for a measure of pairs: it would take a
    probe and its copy for a perfect match.

    Args:
        whole: The measure on all probes, θ.
        without: The measure without probe k, θ₋ₖ, [probe].

    Returns:
        NaN for all probes where the measure, or one without a probe, is none.
    """
    if not (np.isfinite(whole) and np.isfinite(without).all()):
        return np.full(len(without), np.nan)
    values: Float64 = whole - (len(without) - 1) * (without - without.mean())
    return values


def jackknife(measure: Callable[[Selection], float], count: int) -> Float64:
    """Returns one number a probe for any measure of a selection of probes, [probe].

    Calls the measure once for each probe and once more. The measures of this package have shorter
    ways; this one is for measures of one's own.

    Args:
        measure: Takes the indices of probes.
        count: Of the probes.
    """
    every = np.arange(count)
    without = np.array([measure(np.delete(every, k)) for k in range(count)])
    return pseudo_values(measure(every), without)


def bootstrap(
    measure: Callable[[Selection], float], count: int, *, resamples: int = 200, seed: int = 0
) -> Float64:
    """Returns values spread as a measure is over probe sets of this size, [resample].

    For a measure of which no number a probe is at hand. Each value is the measure on a random half
    of the probes, drawn without replacement for the reason that `pseudo_values` gives. The spread
    over halves is that over whole sets (the delete-d jackknife with d = n/2; Shao & Wu 1989); what
    is returned lies around the measure on all probes.

    Args:
        measure: Takes the indices of probes.
        count: Of the probes.
        resamples: Number of draws; two measures with the same seed are given the same ones, so that
            their differences are paired.
        seed: Of the draws.
    """
    size = (count + 1) // 2
    generator = np.random.default_rng(seed)
    halves = [np.sort(generator.permutation(count)[:size]) for _ in range(resamples)]
    values = np.array([measure(half) for half in halves])
    result: Float64 = (values - values.mean()) * np.sqrt(size / (count - size))
    return result + measure(np.arange(count))
