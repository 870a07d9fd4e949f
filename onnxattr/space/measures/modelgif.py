"""Gradient fields along paths between probes. The gradients are made elsewhere."""

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.space.measures.evidence import Evidence, part, same_probes
from onnxattr.space.measures.table import FIELD
from onnxattr.space.similarity import normalised


def field(gradients: Float32, weights: Float64, path: Float32) -> Float64:
    """Returns the model's field: integrated gradients up to each step, [probe, step, pixel].

    Song et al. 2023 (*ModelGiF: Gradient Fields for Model Functional Distance*): at step t of the
    path from a reference probe x′ to the probe x it is (x − x′) ⊙ Σ_{s ≤ t} wₛ gₛ, averaged over
    the channels (signed), as in the authors' code for Taskonomy.

    Args:
        gradients: gₛ = ∂T/∂x at each step of the path, [probe, step, channel, y, x].
        weights: wₛ of the quadrature along the path, [step]; they sum to 1.
        path: x − x′, [probe, channel, y, x].
    """
    steps = np.asarray(gradients, np.float64) * np.asarray(weights)[:, None, None, None]
    sums = np.cumsum(steps, axis=1) * np.asarray(path, np.float64)[:, None]
    values: Float64 = sums.mean(axis=2)
    return values.reshape(*values.shape[:2], -1)


def prepare(evidence: Evidence) -> Float64:
    """Returns the field at unit norm at each step, [probe, step, pixel]; NaN where it is zero.

    Args:
        evidence: Of a model, with its field.

    Raises:
        InputError: The field is missing, not finite, or not [probe, step, pixel].
        ProbeError: There is no probe.
    """
    values = part(evidence, FIELD, "modelgif", 1)
    values = values.reshape(*values.shape[:2], -1)
    return normalised(values.reshape(-1, values.shape[2])).reshape(values.shape)


def compare(source: Float64, target: Float64) -> Float64:
    """Returns the mean over the steps of the cosine of the two fields, −1..1, [probe].

    1 − the authors' cosine distance. Symmetric; one number a probe, exactly. A step
    where a field is zero is left out, and a probe without a step left is NaN.
    O(probe · step · pixel), after a gradient for every probe and step. Fields are of one size.
    """
    same_probes(len(source), len(target))
    along = np.clip(np.einsum("ksp,ksp->ks", source, target), -1.0, 1.0)
    usable = ~np.isnan(along)
    total, steps = np.where(usable, along, 0.0).sum(axis=1), usable.sum(axis=1)
    values: Float64 = np.divide(total, steps, out=np.full(len(total), np.nan), where=steps > 0)
    return values
