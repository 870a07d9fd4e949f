"""Models as points in the plane."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import InputError
from onnxattr.space.tree import check


@dataclass(frozen=True, eq=False)
class Embedding:
    """Models as points, and how much of what tells them apart the points show.

    Attributes:
        names: One a model.
        points: float64 [model, dimension], the strongest dimension first; their mean is zero.
        kept: Share of the variance along each dimension, 0..1; their sum is what is shown. The
            whole is the sum of the sizes of all eigenvalues, so that what no points at all can show
            (negative ones) counts as not shown.
    """

    names: tuple[str, ...]
    points: Float64
    kept: tuple[float, ...]


def embedding(matrix: Float64, names: tuple[str, ...], dimensions: int = 2) -> Embedding:
    """Returns points whose distances are those of the models, as far as may be.

    Classical multidimensional scaling (Torgerson 1952; Gower 1966): eigenvectors of J·S·J, where S
    is the similarity and J removes the mean. Squared distances are sᵢᵢ + sⱼⱼ − 2sᵢⱼ, of mean
    cosines those between the models' maps at unit norm. The first model that is far out on a
    dimension is on its positive side, so that the same matrix makes the same picture.

    Args:
        matrix: Similarities, [model, model], symmetric; `symmetrised` makes them so.
        names: One a model.
        dimensions: Of the points.

    Raises:
        InputError: There are fewer than two models, the matrix is not square or not symmetric, or a
            value is none.
    """
    check(matrix, names, "map")
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-9 * np.abs(matrix).max()):
        raise InputError(
            "a map takes similarities that are the same in both directions",
            hint="the mean of both directions is",
        )
    means = matrix.mean(axis=0)
    centred = matrix - means - means[:, None] + means.mean()
    powers, vectors = np.linalg.eigh((centred + centred.T) / 2)
    whole = np.abs(powers).sum()
    powers, vectors = powers[::-1][:dimensions], vectors[:, ::-1][:, :dimensions]
    lengths = np.sqrt(np.clip(powers, 0.0, None))
    points = np.zeros((len(names), dimensions))
    points[:, : len(powers)] = vectors * lengths
    for axis in range(dimensions):
        size = np.abs(points[:, axis])
        # Far out: rounding must not choose between two that are as far.
        if points[int(np.argmax(size >= 0.999 * size.max())), axis] < 0:
            points[:, axis] *= -1
    shares = np.zeros(dimensions)
    if whole > 1e-12 * np.abs(matrix).max() * len(names):
        shares[: len(powers)] = np.clip(powers, 0.0, None) / whole
    return Embedding(tuple(names), points, tuple(float(s) for s in shares))


def symmetrised(matrix: Float64) -> Float64:
    """Returns the mean of both directions of a directed measure, [model, model]."""
    result: Float64 = (matrix + matrix.T) / 2
    return result
