"""The Hilbert-Schmidt independence criterion of two matrices of probes against probes."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures.evidence import same_probes
from onnxattr.space.measures.spread import pseudo_values

#: What is left of a matrix without its means is rounding, below this share of it.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Centred:
    """A model as CKA sees it.

    Attributes:
        matrix: Similarities or distances between the probes without their means, [probe, probe];
            of the unbiased estimator, without the diagonal.
        unbiased: Which estimator.
        own: HSIC of the matrix with itself; NaN where there is nothing but rounding.
        own_without: The same without each probe in turn, [probe].
    """

    matrix: Float64
    unbiased: bool
    own: float
    own_without: Float64


def centred(matrix: Float64, *, unbiased: bool) -> Centred:
    """Returns what CKA needs of a symmetric matrix of probes against probes, [probe, probe]."""
    means = matrix.mean(axis=0)
    # Neither estimator sees a number that is added to a row and the same column, so that taking
    # the means away first costs nothing and keeps sums from cancelling later.
    residual = matrix - means - means[:, None] + means.mean()
    if unbiased:
        np.fill_diagonal(residual, 0.0)
    own, own_without = _hsic(residual, residual, unbiased)
    if np.abs(residual).max() <= _ROUNDING * np.abs(matrix).max():
        own = np.nan
    return Centred(residual, unbiased, own, own_without)


def cka_of(one: Centred, other: Centred) -> Float64:
    """Returns HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)) as pseudo-values, [probe].

    Without probe k it is computed in closed form from the row sums: O(n²) for all n of them.
    """
    same_probes(len(one.matrix), len(other.matrix))
    if not (one.own > 0 and other.own > 0):
        return np.full(len(one.matrix), np.nan)
    whole, without = _hsic(one.matrix, other.matrix, one.unbiased)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = without / np.sqrt(one.own_without * other.own_without)
    return pseudo_values(whole / np.sqrt(one.own * other.own), ratios)


def _hsic(one: Float64, other: Float64, unbiased: bool) -> tuple[float, Float64]:
    """Returns HSIC on all probes, and without each in turn."""
    count = len(one)
    product = one * other
    rows, columns = one.sum(axis=0), other.sum(axis=0)
    along, corner = product.sum(axis=0), np.diagonal(product)
    first, second = np.diagonal(one), np.diagonal(other)
    traces, cross = along.sum(), rows @ columns
    whole = _estimate(count, traces, rows.sum(), columns.sum(), cross, unbiased)
    without = _estimate(
        count - 1,
        traces - 2 * along + corner,
        rows.sum() - 2 * rows + first,
        columns.sum() - 2 * columns + second,
        cross - other @ rows - one @ columns + along - (rows - first) * (columns - second),
        unbiased,
    )
    return float(whole), np.asarray(without)


def _estimate(
    n: int,
    trace: Float64 | float,
    one: Float64 | float,
    other: Float64 | float,
    cross: Float64 | float,
    unbiased: bool,
) -> Float64 | float:
    """Returns HSIC from Σ KᵢⱼLᵢⱼ, Σ Kᵢⱼ, Σ Lᵢⱼ and Σᵢ (Σⱼ Kᵢⱼ)(Σⱼ Lᵢⱼ)."""
    if unbiased:
        # Song et al. 2012; Nguyen et al. 2021, eq. 3. Diagonals are zero.
        both = trace + one * other / ((n - 1) * (n - 2)) - 2 / (n - 2) * cross
        return both / (n * (n - 3))
    # tr(KHLH) / (n − 1)², Gretton et al. 2005, eq. 9.
    return (trace - 2 / n * cross + one * other / n**2) / (n - 1) ** 2
