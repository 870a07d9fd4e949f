"""Models as points in the plane."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float32, Float64
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
    _orient(points)
    shares = np.zeros(dimensions)
    if whole > 1e-12 * np.abs(matrix).max() * len(names):
        shares[: len(powers)] = np.clip(powers, 0.0, None) / whole
    return Embedding(tuple(names), points, tuple(float(s) for s in shares))


def embedding_of_vectors(
    vectors: Float32, names: tuple[str, ...], dimensions: int = 2
) -> Embedding:
    """Returns points whose distances are those of vectors, as far as may be.

    Principal components: what `embedding` makes of the products of the vectors (Gower 1966), for so
    many of them that there is no room for these. Of sketches the products err, so that the points
    show what is true of many models and not the place of one among its nearest; what is kept counts
    the errors as variance that is not shown.

    Args:
        vectors: [model, dimension], from `nearest.sketch`.
        names: One a model.
        dimensions: Of the points; fewer than there are models and dimensions of the vectors.

    Raises:
        InputError: There are fewer than three models.
    """
    from scipy.sparse.linalg import LinearOperator, svds

    count, size = vectors.shape
    if count <= dimensions:
        raise InputError(f"a map takes three models or more, not `{count}`")
    middle = vectors.mean(axis=0, dtype=np.float64)
    # Not subtracted from the vectors: that would be all of them once more.
    operator = LinearOperator(
        (count, size),
        matvec=lambda x: vectors @ x.astype(np.float32).ravel() - middle @ x.ravel(),
        rmatvec=lambda y: vectors.T @ y.astype(np.float32).ravel() - middle * y.sum(),
        dtype=np.float64,
    )
    # Iterations begin anywhere, but always there: the same vectors make the same picture.
    start = np.random.default_rng(0).normal(size=min(count, size))
    sides, lengths, _ = svds(operator, k=dimensions, v0=start, tol=1e-6)
    order = np.argsort(-lengths)
    points: Float64 = sides[:, order] * lengths[order]
    _orient(points)
    squares = float(np.einsum("md,md->", vectors, vectors, dtype=np.float64))
    whole = squares - count * float(middle @ middle)
    shares = lengths[order] ** 2 / whole if whole > 1e-6 * squares else np.zeros(dimensions)
    return Embedding(tuple(names), points, tuple(float(s) for s in np.minimum(shares, 1.0)))


def _orient(points: Float64) -> None:
    """Turns each dimension so that the first model that is far out is on its positive side."""
    for axis in range(points.shape[1]):
        size = np.abs(points[:, axis])
        # Far out: rounding must not choose between two that are as far.
        if points[int(np.argmax(size >= 0.999 * size.max())), axis] < 0:
            points[:, axis] *= -1


def symmetrised(matrix: Float64) -> Float64:
    """Returns the mean of both directions of a directed measure, [model, model]."""
    result: Float64 = (matrix + matrix.T) / 2
    return result
