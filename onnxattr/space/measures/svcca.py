"""Singular vector canonical correlation analysis of two representations."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures.evidence import Evidence, flat, same_probes
from onnxattr.space.measures.table import REPRESENTATION

#: Share of the variance that the singular directions keep.
VARIANCE = 0.99

#: Directions that are kept at most, as a share of the probes less one.
DIRECTIONS = 0.25


@dataclass(frozen=True, eq=False)
class Directions:
    """A model as SVCCA sees it.

    Attributes:
        basis: Orthonormal columns that span what is kept of the representation over the probes,
            [probe, direction]; their means are zero.
    """

    basis: Float64


def prepare(
    evidence: Evidence, *, variance: float = VARIANCE, directions: float = DIRECTIONS
) -> Directions:
    """Returns the singular directions that keep a share of the variance of a representation.

    With as many directions as probes, any two models correlate perfectly. So at most
    `directions` · (probes − 1) are kept, the strongest ones: that is our regularisation, and it
    decides wherever probes are few; the paper takes many more probes than units. At a quarter, two
    random subspaces still correlate by about .45: values tell models apart, not kin from strangers.

    Args:
        evidence: Of a model, with its representation.
        variance: Share that is kept, 0..1; the paper's .99.
        directions: At most, as a share of the probes less one; 1 is the paper's SVCCA.

    Raises:
        InputError: The representation is missing or not finite.
        ProbeError: There are fewer than four probes.
    """
    features = flat(evidence, REPRESENTATION, "svcca", 4)
    features = features - features.mean(axis=0)
    count = len(features)
    # The singular values squared and the left singular vectors, at the cost of probes only.
    powers, basis = np.linalg.eigh(features @ features.T)
    powers, basis = np.clip(powers[::-1], 0.0, None), basis[:, ::-1]
    if powers.sum() <= 1e-24 * features.size:
        return Directions(basis[:, :0])
    kept = np.cumsum(powers) / powers.sum()
    enough = int(np.searchsorted(kept, variance - 1e-12)) + 1
    most = max(1, int(directions * (count - 1)))
    real = int((powers > 1e-12 * powers[0]).sum())
    return Directions(np.ascontiguousarray(basis[:, : min(enough, most, real)]))


def compare(source: Directions, target: Directions) -> Float64:
    """Returns the mean canonical correlation of the kept directions, as influences, [probe].

    Raghu et al. 2017 (*SVCCA: Singular Vector Canonical Correlation Analysis …*), section 2; the
    mean is over as many correlations as the smaller of the two has directions. Symmetric, 0..1; 1
    of a model and itself; does not change under orthogonal transforms and scales. A probe's number
    is the measure plus the influence of the probe on it (the infinitesimal jackknife, with the
    directions held): ρ + x·y − ρ·(x² + y²)/2 of its canonical variates (Romanazzi 1992), averaged;
    their mean is the measure itself. O(probe² · unit) to prepare, O(probe · direction²) to compare.
    NaN where a representation never changes.
    """
    one, other = source.basis, target.basis
    same_probes(len(one), len(other))
    if not (one.shape[1] and other.shape[1]):
        return np.full(len(one), np.nan)
    left, correlations, right = np.linalg.svd(one.T @ other, full_matrices=False)
    scale = np.sqrt(len(one))
    x, y = scale * (one @ left), scale * (other @ right.T)
    rho = np.clip(correlations, 0.0, 1.0)
    values: Float64 = (rho + x * y - rho * (x**2 + y**2) / 2).mean(axis=1)
    return values
