"""Duality diagram similarity: CKA of any distance or kernel on normalised representations."""

from collections.abc import Callable, Mapping

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.registry import Registry
from onnxattr.space.measures.evidence import Evidence, part
from onnxattr.space.measures.hsic import Centred, centred, cka_of
from onnxattr.space.measures.rsa import cosines, pearson
from onnxattr.space.measures.table import REPRESENTATION

#: What is left without a mean is rounding below this size; values are at most 1.
_ROUNDING = 1e-12


def prepare(
    evidence: Evidence, *, normalisation: str = "z-score", distance: str = "pearson"
) -> Centred:
    """Returns the centred matrix of distances, or of a kernel, between the probes.

    Args:
        evidence: Of a model, with its representation. Of [probe, channel, y, x] the normalisations
            `batch`, `instance` and `group` know the channels; of [probe, unit] every unit is one.
        normalisation: One of `NORMALISATIONS`.
        distance: One of `DISTANCES`.

    Raises:
        InputError: The representation is missing or not finite.
        ProbeError: There are fewer than five probes.
        UsageError: There is no such normalisation or distance.
    """
    normalise, between = NORMALISATIONS[normalisation], DISTANCES[distance]
    values = normalise(part(evidence, REPRESENTATION, "dds", 5))
    return centred(between(values.reshape(len(values), -1)), unbiased=True)


def compare(source: Centred, target: Centred) -> Float64:
    """Returns DDS as pseudo-values, [probe].

    Dwivedi et al. 2020 (*Duality Diagram Similarity: a generic framework for initialization
    selection in task transfer learning*): features are normalised (Q), distances or
    similarities of the probes taken, centred (D), and the two matrices compared by their cosine;
    as their code has it, with the unbiased centring of CKA, without diagonals. Symmetric, about
    −1..1; 1 of a model and itself. Jackknifed exactly, but for the statistics of `z-score`,
    `centre` and `batch` and the width of `rbf`, which stay those of all probes. Cost as of CKA, but
    for `laplacian`, which takes O(probe² · unit) without a matrix product. With `none` and
    `centre`, `laplacian` sees the values divided by the largest of the model, where the authors'
    takes them as they are. NaN where nothing is left of a representation.
    """
    return cka_of(source, target)


def _standardised(values: Float64, axes: tuple[int, ...]) -> Float64:
    """Returns the values less their mean, by their standard deviation; 0 where they are equal."""
    residual = values - values.mean(axis=axes, keepdims=True)
    spread = np.sqrt((residual**2).mean(axis=axes, keepdims=True))
    spread[spread <= _ROUNDING] = np.inf
    result: Float64 = residual / spread
    return result


def _others(values: Float64, *kept: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(values.ndim) if axis not in kept)


def _grouped(values: Float64, groups: int = 2) -> Float64:
    count, channels, *places = values.shape
    if channels % groups:
        groups = 1
    parts = values.reshape(count, groups, channels // groups, *places)
    return _standardised(parts, _others(parts, 0, 1)).reshape(values.shape)


def _unit(values: Float64) -> Float64:
    axes = _others(values, 0)
    norms = np.sqrt((values**2).sum(axis=axes, keepdims=True))
    norms[norms == 0] = 1.0
    result: Float64 = values / norms
    return result


#: Of a representation, [probe, channel, …]. All but `l2` as the authors' code has them; `group` is
#: of two groups, and of one where the channels are odd in number.
NORMALISATIONS: Mapping[str, Callable[[Float64], Float64]] = Registry(
    "normalisation",
    {
        "none": lambda values: values,
        "centre": lambda values: values - values.mean(axis=0),
        "z-score": lambda values: _standardised(values, (0,)),
        "batch": lambda values: _standardised(values, _others(values, 1)),
        "instance": lambda values: _standardised(values, _others(values, 0, 1)),
        "layer": lambda values: _standardised(values, _others(values, 0)),
        "group": _grouped,
        "l2": _unit,
    },
)


def _squared(rows: Float64) -> Float64:
    from scipy.spatial.distance import pdist, squareform

    result: Float64 = squareform(pdist(rows, "sqeuclidean"))
    return result


def _rbf(rows: Float64) -> Float64:
    """Returns exp(−d² / (2 · (½)² · median d²)), the authors' width; the median is of all pairs."""
    squared = _squared(rows)
    median = np.median(squared)
    kernel: Float64 = np.exp(-squared / (0.5 * median)) if median > 0 else np.ones_like(squared)
    return kernel


def _laplacian(rows: Float64) -> Float64:
    """Returns exp(−Σ|x − y| / units), the width that the authors take from scikit-learn."""
    from scipy.spatial.distance import pdist, squareform

    kernel: Float64 = np.exp(-squareform(pdist(rows, "cityblock")) / rows.shape[1])
    return kernel


#: Between the rows of [probe, unit]: three distances and three kernels.
DISTANCES: Mapping[str, Callable[[Float64], Float64]] = Registry(
    "distance",
    {
        "pearson": lambda rows: 1.0 - pearson(rows),
        "euclidean": lambda rows: np.sqrt(_squared(rows)),
        "cosine": lambda rows: 1.0 - cosines(rows),
        "linear": lambda rows: rows @ rows.T,
        "rbf": _rbf,
        "laplacian": _laplacian,
    },
)
