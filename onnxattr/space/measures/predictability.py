"""How well one model's representation predicts what another represents and says."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures import kernel_ridge, patch_ridge
from onnxattr.space.measures.evidence import Evidence, part, same_probes
from onnxattr.space.measures.table import OUTPUTS, REPRESENTATION

#: Sides of a grid at least, in places, for patches of 3×3 to be worth their weights.
_LEAST_SIDE = 3

#: A target that its own representation predicts less well than this is not to be predicted.
_LEAST_OWN = 0.01


@dataclass(frozen=True, eq=False)
class Known:
    """A model as a source and as a target.

    What is computed of it is kept for the next pair. Of a source that is some hundred megabytes at
    most: compare it with all targets, then `release` it.

    Attributes:
        representation: [probe, unit] or [probe, channel, y, x].
        outputs: The same, or None where they are not known.
        kept: What was computed.
    """

    representation: Float64
    outputs: Float64 | None
    kept: dict[Any, Any] = field(default_factory=dict)


def prepare(evidence: Evidence) -> Known:
    """Returns a model's representation and, where they are given, its outputs.

    Args:
        evidence: Of a model, with its representation; axes of a map are channel, y, x.

    Raises:
        InputError: The representation is missing, or one of the two not finite.
        ProbeError: There are fewer than five probes.
    """
    given = [REPRESENTATION, *([] if evidence.outputs is None else [OUTPUTS])]
    parts = [part(evidence, which, "predictability", 5) for which in given]
    same_probes(len(parts[0]), len(parts[-1]))
    return Known(parts[0], parts[1] if len(parts) > 1 else None)


def compare(source: Known, target: Known) -> Float64:
    """Returns the mean of `of_representation` and `of_outputs`, [probe].

    Directed: how well the source serves the target. 0 where nothing is predicted, and 1 for a model
    and itself; a source may pass 1 where it predicts the target's outputs better than the target's
    own representation does. One of the two counts alone where the target's outputs are not known,
    or where the other is 0 for every source, by the target's own R². See `of_representation`.
    """
    which = [REPRESENTATION, *([] if target.outputs is None else [OUTPUTS])]
    reached = [w for w in which if _own(target, w) >= _LEAST_OWN] or [REPRESENTATION]
    values: Float64 = np.mean([_relative(source, target, w) for w in reached], axis=0)
    return values


def of_representation(source: Known, target: Known) -> Float64:
    """Returns how well the source's representation predicts the target's, [probe].

    Ridge regression from the source's units, cross-validated over five folds of probes, in the
    manner of linear predictivity (Yamins et al. 2014); the penalty is chosen without the fold that
    is predicted. R² = 1 − Σ error² / Σ (target − mean of the training folds)², over all units and
    probes, clipped to 0..1, so that a unit counts by its variance. Then it is divided by the R² of
    the target's own representation: with fewer probes than units no model predicts itself
    perfectly, and this is what can be reached. 0 where that is below .01: a target that never
    changes, or too few probes.

    Where both are maps of 3×3 places or more, patches of 3×3 places of the source predict each
    place of the target (`patch_ridge`); else units predict units (`kernel_ridge`), of a map both
    each place and the mean over the places.

    Invariant under scales and offsets of the source's channels and of the whole target, and, units
    against units, under orthogonal transforms of the target. The number of a probe is the measure
    plus the linear influence of the probe's errors on it; regressions are not done anew. Takes
    O(probe³) for units, O(probe · place · (9 channel)²) for maps, once a source and grid; a pair
    O(probe³), or O(probe · place · 9 channel²).
    """
    return _relative(source, target, REPRESENTATION)


def of_outputs(source: Known, target: Known) -> Float64:
    """Returns how well the source's representation predicts the target's outputs, [probe].

    As `of_representation`; R² is divided by that from the target's own representation. NaN where
    the target's outputs are not known.
    """
    if target.outputs is None:
        return np.full(len(target.representation), np.nan)
    return _relative(source, target, OUTPUTS)


def explained(source: Known, target: Known, which: str = REPRESENTATION) -> Float64:
    """Returns R² itself of the target's representation or outputs, clipped to 0..1, [probe].

    Args:
        source: A model.
        target: Another, with the same probes.
        which: `representation` or `outputs`.

    Raises:
        ProbeError: The two were shown different numbers of probes.
    """
    done: dict[Known, Float64] = source.kept.setdefault(("explained", which), {})
    if target not in done:
        done[target] = _explained(source, target, which)
    return done[target]


def release(source: Known) -> None:
    """Lets go of what was computed of a model as a source, but for the results: most of it all."""
    for key in [key for key in source.kept if key[0] in ("patches", "splits")]:
        del source.kept[key]


def _explained(source: Known, target: Known, which: str) -> Float64:
    same_probes(len(source.representation), len(target.representation))
    squares, around = _errors(source, target, which)
    total = around.sum()
    if total <= 1e-20 * around.size:
        return np.zeros(len(around))
    share = squares.sum() / total
    influence = (share * around - squares) * len(around) / total
    values: Float64 = influence + np.clip(1.0 - share, 0.0, 1.0)
    return values


def _relative(source: Known, target: Known, which: str) -> Float64:
    own = _own(target, which)
    values = explained(source, target, which)
    return values / own if own >= _LEAST_OWN else np.zeros(len(values))


def _own(target: Known, which: str) -> float:
    """Returns the R² of a model's own representation, 0..1."""
    if ("own", which) not in target.kept:
        target.kept["own", which] = float(explained(target, target, which).mean())
    own: float = target.kept["own", which]
    return own


def _errors(source: Known, target: Known, which: str) -> tuple[Float64, Float64]:
    one = source.representation
    other = target.representation if which == REPRESENTATION else target.outputs
    assert other is not None
    if one.ndim == other.ndim == 4:
        height, width = (patch_ridge.side(one.shape[axis], other.shape[axis]) for axis in (2, 3))
        if min(height, width) >= _LEAST_SIDE:
            grid = height, width
            if ("patches", grid) not in source.kept:
                on_grid = patch_ridge.on_grid(one, *grid)
                source.kept["patches", grid] = patch_ridge.patches(on_grid)
            if (which, grid) not in target.kept:
                target.kept[which, grid] = patch_ridge.on_grid(other, *grid)
            return patch_ridge.errors(source.kept["patches", grid], target.kept[which, grid])
    if ("splits",) not in source.kept:
        source.kept["splits",] = kernel_ridge.splits(_kernel(one))
    if (which, "products") not in target.kept:
        rows = other.reshape(len(other), -1)
        rows = rows - rows.mean(axis=0)
        target.kept[which, "products"] = rows @ rows.T
    return kernel_ridge.errors(source.kept["splits",], target.kept[which, "products"])


def _kernel(values: Float64) -> Float64:
    """Returns the products of a source's features, channels at unit variance, [probe, probe].

    Of a map, the mean of two kernels of equal weight: all places, and the means over the places,
    which too few probes could not find among all places.
    """
    axes = (0, *range(2, values.ndim))
    values = values - values.mean(axis=axes, keepdims=True)
    spread = np.sqrt((values**2).mean(axis=axes, keepdims=True))
    spread[spread <= 1e-12] = np.inf
    values = values / spread
    features = [values.reshape(len(values), -1)]
    if values.ndim > 2:
        features.append(values.reshape(*values.shape[:2], -1).mean(axis=2))
    kernel = np.zeros((len(values), len(values)))
    for rows in features:
        rows = rows - rows.mean(axis=0)
        products = rows @ rows.T
        size = np.trace(products)
        kernel += products / size if size > 1e-20 * rows.size else 0.0
    return kernel
