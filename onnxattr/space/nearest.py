"""The nearest models of each, among more than a full matrix has room for."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import UsageError
from onnxattr.space import blocks
from onnxattr.space.blocks import BLOCK, Indices, Maps

#: Size of the vector that stands for all maps of a model in the search, and how many are looked at
#: for each one that is asked for. An error of 1/√size is a step between models at places, so that a
#: search alone would not do; the cosines themselves choose among those that it finds.
DIMENSIONS, MARGIN = 4096, 8


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest models of each.

    Attributes:
        models: int [model, k], nearest first; never the model itself. There are fewer than k where
            there are fewer other models.
        similarity: float64 [model, k]; −∞ where the two share no usable probe.
    """

    models: Indices
    similarity: Float64


def nearest(
    maps: Maps,
    k: int,
    *,
    centred: bool = True,
    dimensions: int = DIMENSIONS,
    margin: int = MARGIN,
    seed: int = 0,
    block: int = BLOCK,
) -> Neighbours:
    """Returns the nearest models of each by their mean cosine.

    A vector is made of all maps of a model (`sketch`), the nearest `k · margin` of these vectors
    are found by brute force in blocks, and their mean cosines are computed. Similarities are those
    of `streamed`, exactly; a neighbour is missed only if more than `k · margin` vectors came nearer
    by chance. Memory grows with the number of models, not with its square. Maps are read once, two
    times more if centred, and once more for the cosines.

    Args:
        maps: [model, probe, pixel].
        k: Neighbours of each model, 1 or more.
        centred: Remove each model's mean map first.
        dimensions: Of the vectors.
        margin: How many are looked at for each one that is asked for.
        seed: Of the vectors.
        block: Bytes that are worked on at a time.
    """
    vectors = sketch(maps, dimensions, centred=centred, seed=seed, block=block)
    found = search(vectors, k * margin, block=block)
    count, wide = found.models.shape
    one, other = np.repeat(np.arange(count), wide), found.models.ravel()
    # A pair that is found from both sides is computed once.
    keys, back = np.unique(np.sort(np.stack([one, other]), axis=0), axis=1, return_inverse=True)
    cosines = blocks.pair_means(maps, keys[0], keys[1], centred=centred, block=block)
    values = cosines[back.reshape(-1)].reshape(count, wide)
    values[np.isnan(values)] = -np.inf
    return _best(found.models, values, min(k, wide))


def search(vectors: Float32, k: int, *, block: int = BLOCK) -> Neighbours:
    """Returns the k largest products of each vector with others, by brute force in blocks.

    Args:
        vectors: [model, dimension].
        k: Neighbours of each.
        block: Bytes of the products at a time.

    Raises:
        UsageError: k is less than one.
    """
    if k < 1:
        raise UsageError(f"`{k}` nearest models cannot be found")
    count = len(vectors)
    k = min(k, count - 1)
    models = np.zeros((count, k), np.intp)
    values = np.full((count, k), -np.inf)
    step = max(k + 1, int(np.sqrt(block / 16)))
    for top in range(0, count, step):
        for left in range(0, count, step):
            products = np.asarray(vectors[top : top + step] @ vectors[left : left + step].T)
            products = products.astype(np.float64)
            if top == left:
                np.fill_diagonal(products, -np.inf)
            numbers = np.broadcast_to(np.arange(left, left + products.shape[1]), products.shape)
            both = np.concatenate([values[top : top + step], products], axis=1)
            names = np.concatenate([models[top : top + step], numbers], axis=1)
            best = _best(names, both, k)
            models[top : top + step], values[top : top + step] = best.models, best.similarity
    return Neighbours(models, values)


def sketch(
    maps: Maps, dimensions: int, *, centred: bool = True, seed: int = 0, block: int = BLOCK
) -> Float32:
    """Returns one vector a model whose products are near the mean cosines, [model, dimension].

    A count-sketch (Charikar et al. 2002): every pixel of every probe is added, with a seeded sign,
    to one seeded place of the vector. Products err by about 1/√dimension at most.

    Args:
        maps: [model, probe, pixel].
        dimensions: Of the vectors.
        centred: Remove each model's mean map first.
        seed: Of signs and places.
        block: Bytes that are worked on at a time.
    """
    from scipy.sparse import csr_array

    models, probes, pixels = blocks.sizes(maps)
    result = np.zeros((models, dimensions), np.float32)
    for some in blocks.parts(models, probes * pixels, block):
        which = np.arange(some.start, some.stop)
        centres = blocks.means(maps, which, block=block) if centred else None
        vectors, used = np.zeros((len(which), dimensions)), np.zeros(len(which))
        for part in blocks.parts(probes, len(which) * pixels, block):
            values, usable = blocks.units(maps[some, part], centres)
            used += usable.sum(axis=1)
            for offset, probe in enumerate(range(part.start, part.stop)):
                # Seeded by the probe, so that the blocks do not matter.
                draw = np.random.default_rng([seed, probe])
                places = draw.integers(0, dimensions, pixels)
                signs = draw.integers(0, 2, pixels) * 2.0 - 1.0
                scatter = csr_array(
                    (signs, places, np.arange(pixels + 1)), shape=(pixels, dimensions)
                )
                vectors += values[:, offset] @ scatter
        result[some] = vectors / np.sqrt(np.maximum(used, 1))[:, None]
    return result


def _best(models: Indices, values: Float64, k: int) -> Neighbours:
    """Returns the k largest of each row, largest first; equal ones in the order of the models."""
    if k < values.shape[1]:
        # Not sorted as a whole: that would take most of the time of a search.
        most = np.argpartition(-values, k, axis=1)[:, :k]
        models = np.take_along_axis(models, most, axis=1)
        values = np.take_along_axis(values, most, axis=1)
    order = np.lexsort((models, -values), axis=1)
    return Neighbours(
        np.take_along_axis(models, order, axis=1), np.take_along_axis(values, order, axis=1)
    )
