"""The nearest models of each, among more than a full matrix has room for."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import UsageError
from onnxattr.space import blocks
from onnxattr.space.blocks import BLOCK, Indices, Maps, Truths

#: Size of the vector that stands for all maps of a model in the search, and how many are looked at
#: for each one that is asked for. An error of 1/√size is a step between models at places, so that a
#: search alone would not do; the cosines themselves choose among those that it finds.
DIMENSIONS, MARGIN = 4096, 8

#: How far behind the k-th best a vector may come, in 1/√size, and be looked at all the same. The
#: product of two vectors errs by √(1 + cos²) of these, and the difference of two products by √3 at
#: most: who comes further behind is among the k nearest with a probability of 1 in 4,000 at most.
SLACK = 6.0


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest models of each.

    Attributes:
        models: int [model, k], nearest first; never the model itself. There are fewer than k where
            there are fewer other models.
        similarity: float64 [model, k]; −∞ where the two share no usable probe.
        crowded: bool [model]: whether more models came as near by their vectors as those that were
            looked at, so that one may have been missed; all false where every one was looked at.
    """

    models: Indices
    similarity: Float64
    crowded: Truths


def nearest(
    maps: Maps,
    k: int,
    *,
    centred: bool = True,
    dimensions: int = DIMENSIONS,
    margin: int = MARGIN,
    seed: int = 0,
    block: int = BLOCK,
    vectors: Float32 | None = None,
) -> Neighbours:
    """Returns the nearest models of each by their mean cosine.

    A vector is made of all maps of a model (`sketch`), the nearest `k · margin` of these vectors
    are found by brute force in blocks, and the mean cosines are computed of those that are no
    further behind than chance puts one. Similarities are those of `streamed`, exactly; a neighbour
    is missed only if chance puts its vector further behind, or more vectors than are looked at in
    front of it, which `Neighbours.crowded` tells of. Memory grows with the number of models, not
    with its square. Maps are read once, two times more if centred, and once more for the cosines.

    Args:
        maps: [model, probe, pixel].
        k: Neighbours of each model, 1 or more.
        centred: Remove each model's mean map first.
        dimensions: Of the vectors.
        margin: How many are looked at for each one that is asked for, at most.
        seed: Of the vectors.
        block: Bytes that are worked on at a time.
        vectors: The vectors, if they are there already.
    """
    if vectors is None:
        vectors = sketch(maps, dimensions, centred=centred, seed=seed, block=block)
    found = search(vectors, k * margin, block=block)
    count, wide = found.models.shape
    k = min(k, wide)
    slack = SLACK / np.sqrt(vectors.shape[1])
    near = found.similarity >= found.similarity[:, k - 1 : k] - slack
    crowded = near[:, -1] if wide < count - 1 else np.zeros(count, bool)
    one, other = np.nonzero(near)[0], found.models[near]
    # A pair that is found from both sides is computed once.
    keys, back = np.unique(np.sort(np.stack([one, other]), axis=0), axis=1, return_inverse=True)
    cosines = blocks.pair_means(maps, keys[0], keys[1], centred=centred, block=block)
    values = np.full((count, wide), -np.inf)
    values[near] = np.where(np.isnan(cosines), -np.inf, cosines)[back.reshape(-1)]
    models, values = _best(found.models, values, k)
    return Neighbours(models, values, crowded)


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
            models[top : top + step], values[top : top + step] = _best(names, both, k)
    return Neighbours(models, values, np.zeros(count, bool))


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


def _best(models: Indices, values: Float64, k: int) -> tuple[Indices, Float64]:
    """Returns the k largest of each row, largest first; equal ones in the order of the models."""
    if k < values.shape[1]:
        # Not sorted as a whole: that would take most of the time of a search.
        most = np.argpartition(-values, k, axis=1)[:, :k]
        models = np.take_along_axis(models, most, axis=1)
        values = np.take_along_axis(values, most, axis=1)
    order = np.lexsort((models, -values), axis=1)
    return np.take_along_axis(models, order, axis=1), np.take_along_axis(values, order, axis=1)
