"""Models as points in the plane."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import InputError
from onnxattr.space.tree import check

#: Vectors that are looked at in double precision at a time.
_ROWS = 4096


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
    from scipy.linalg import eigh

    count, size = vectors.shape
    if count <= dimensions:
        raise InputError(f"a map takes three models or more, not `{count}`")
    middle = vectors.mean(axis=0, dtype=np.float64)
    # The smaller of both products has the same powers; an iterative solver, which needs neither,
    # does not converge where no dimension stands out.
    products = np.zeros((min(count, size),) * 2)
    for start in range(0, count, _ROWS) if count > size else ():
        rows = vectors[start : start + _ROWS] - middle
        products += rows.T @ rows
    if count <= size:
        rows = vectors - middle
        products = rows @ rows.T
    whole, last = float(np.trace(products)), len(products) - 1
    powers, sides = eigh(products, subset_by_index=[max(0, last - dimensions + 1), last])
    powers, sides = np.clip(powers[::-1], 0.0, None), sides[:, ::-1]
    points = np.zeros((count, dimensions))
    made = sides * np.sqrt(powers) if count <= size else vectors @ sides - middle @ sides
    points[:, : made.shape[1]] = made
    _orient(points)
    shares = np.zeros(dimensions)
    if whole > 1e-6 * count * (1e-30 + float(middle @ middle)):
        shares[: len(powers)] = powers / whole
    return Embedding(tuple(names), points, tuple(float(s) for s in shares))


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
