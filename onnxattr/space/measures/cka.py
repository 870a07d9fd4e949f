"""Linear centred kernel alignment of two representations."""

from onnxattr.arrays import Float64
from onnxattr.space.measures.evidence import Evidence, flat
from onnxattr.space.measures.hsic import Centred, centred, cka_of
from onnxattr.space.measures.table import REPRESENTATION

#: Without one probe, the unbiased estimator still needs four.
_LEAST = {True: 5, False: 3}


def prepare(evidence: Evidence, *, unbiased: bool = True) -> Centred:
    """Returns the centred Gram matrix of a model's representation, K = X·Xᵀ.

    Args:
        evidence: Of a model, with its representation.
        unbiased: The unbiased estimator of HSIC (Song et al. 2012, as Nguyen et al. 2021 use it);
            the biased one (Kornblith et al. 2019) tends to 1 where probes are fewer than units.

    Raises:
        InputError: The representation is missing or not finite.
        ProbeError: There are fewer than five probes; three, of the biased estimator.
    """
    features = flat(evidence, REPRESENTATION, "cka", _LEAST[unbiased])
    # A probe's mean over the probes is taken away for the sake of digits alone; see `centred`.
    features = features - features.mean(axis=0)
    return centred(features @ features.T, unbiased=unbiased)


def compare(source: Centred, target: Centred) -> Float64:
    """Returns CKA(K, L) = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)) as pseudo-values, [probe].

    Kornblith et al. 2019 (*Similarity of Neural Network Representations Revisited*), eqs. 3 and 4.
    Symmetric; 1 of a model and itself, or any orthogonal transform and scale of it; biased 0..1,
    unbiased about 0 of independent models and a little below at times. Jackknifed exactly.
    O(probe² · unit) to prepare, O(probe²) to compare. NaN where a representation never changes.
    """
    return cka_of(source, target)
