"""Similarities of however many models: with every cosine, in blocks, or the nearest only."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.space import blocks
from onnxattr.space.blocks import Kernel
from onnxattr.space.canvas import to_canvas
from onnxattr.space.nearest import DIMENSIONS, Neighbours, nearest, sketch
from onnxattr.space.ranking import ATTRIBUTION, Column
from onnxattr.space.similarity import MAX_CANVAS, mean_cosines, similarity
from onnxattr.types import Pairs, Similarity

#: Bytes of the cosines of all pairs on every probe, up to which they are kept: 1,000 models on 64
#: probes, 579 on 200. Making them takes three times as much.
COSINES = 2**29

#: Models up to which there is a matrix, and what is made of it: a tree takes a time that grows with
#: the cube of their number, a minute for these.
MODELS = 5000


class OnCanvas:
    """The maps of all models on one canvas, made as they are asked for; see `blocks.Maps`.

    Args:
        maps: One array a model, [probe, y, x] of images; else [probe, …], all of one shape.
        images: Which of the two.
    """

    def __init__(self, maps: Sequence[Float32], *, images: bool = True) -> None:
        self._maps = maps if images else [one.reshape(len(one), 1, -1) for one in maps]
        sides = [[one.shape[axis] for one in self._maps] for axis in (1, 2)]
        self._height, self._width = (
            min(MAX_CANVAS, max(each)) if images else max(each) for each in sides
        )
        self.canvas = (self._height, self._width) if images else maps[0].shape[1:]

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of models, probes and pixels."""
        return len(self._maps), len(self._maps[0]), self._height * self._width

    def __getitem__(self, key: Any) -> Any:
        """Returns the maps of some models on some probes, float64 [model, probe, pixel]."""
        which, part = key
        numbers = np.arange(len(self._maps))[which]
        result = np.empty((len(numbers), *np.empty(self.shape[1])[part].shape, self.shape[2]))
        for place, number in enumerate(numbers):
            some = to_canvas(self._maps[number][part], self._height, self._width)
            result[place] = some.reshape(len(some), -1)
        return result


def fits(models: int, probes: int) -> bool:
    """Whether there is memory for the cosines of all pairs of models on every probe."""
    return models**2 * probes * 8 <= COSINES


def compare(
    maps: Sequence[Float32],
    names: Sequence[str],
    *,
    centred: bool = True,
    images: bool = True,
    whole: bool = True,
    kernel: Kernel | None = None,
) -> Similarity:
    """Returns how alike every two models are: `similarity`, as far as there is memory for it.

    Where the cosines of single probes would take more than half a GiB, the matrix is made in
    blocks, the same to 1e-12, and `per_probe` is [model, model, 0]. Where there are more models
    than `MODELS` there is no matrix either, and it is [0, 0]; see `neighbours`.

    Args:
        maps: As of `similarity`.
        names: One a model.
        centred: As of `similarity`.
        images: As of `similarity`.
        whole: Whether the matrix is wanted even where it has to be made in blocks.
        kernel: Who makes blocks; NumPy if nobody is named.
    """
    count = len(maps)
    if not count or fits(count, len(maps[0])):
        return similarity(maps, names, centred=centred, images=images)
    on_canvas = OnCanvas(maps, images=images)
    matrix = np.empty((0, 0))
    if whole and count <= MODELS:
        matrix, gaps = blocks.streamed_with_gaps(on_canvas, centred=centred, kernel=kernel)
    else:
        gaps = blocks.gaps(on_canvas, centred=centred)
    return Similarity(
        names=tuple(names),
        matrix=matrix,
        per_probe=np.empty((*matrix.shape, 0)),
        centred=centred,
        canvas=on_canvas.canvas,
        unusable=tuple(int(number) for number in gaps),
    )


def column(
    result: Similarity, maps: Sequence[Float32], target: int, *, images: bool = True
) -> Pairs:
    """Returns the cosines of all models with one target, where those of all pairs are too many.

    Args:
        result: From `compare`.
        maps: The same maps.
        target: Its place.
        images: As of `similarity`.
    """
    cosines = blocks.row(OnCanvas(maps, images=images), target, centred=result.centred)
    return Pairs(
        ATTRIBUTION,
        result.names,
        mean_cosines(cosines)[:, None],
        cosines[:, None],
        directed=False,
        targets=(target,),
    )


def shortlists(
    result: Similarity, maps: Sequence[Float32], near: Neighbours, *, images: bool = True
) -> Iterator[Column]:
    """Yields, for each model as a target, the cosines of its nearest with it.

    Args:
        result: From `compare`.
        maps: The same maps.
        near: The nearest, from `neighbours`.
        images: As of `similarity`.
    """
    count, wide = near.models.shape
    on_canvas = OnCanvas(maps, images=images)
    one, other = np.repeat(np.arange(count), wide), near.models.ravel()
    # A pair that is near from both sides is computed once.
    keys, back = np.unique(np.sort(np.stack([one, other]), axis=0), axis=1, return_inverse=True)
    cosines = blocks.pairs(on_canvas, keys[0], keys[1], centred=result.centred)
    places = back.reshape(count, wide)
    for target, sources in enumerate(near.models):
        numbers = cosines[places[target]]
        yield Column(ATTRIBUTION, sources, mean_cosines(numbers), numbers)


def neighbours(
    result: Similarity,
    maps: Sequence[Float32],
    k: int,
    *,
    images: bool = True,
    vectors: Float32 | None = None,
) -> Neighbours:
    """Returns the nearest models of each, from the matrix or, where there is none, without it.

    Args:
        result: From `compare`.
        maps: The same maps.
        k: Neighbours of each model.
        images: As of `similarity`.
        vectors: From `sketches`, if they are there already.
    """
    if not result.matrix.size:
        on_canvas = OnCanvas(maps, images=images)
        return nearest(on_canvas, k, centred=result.centred, vectors=vectors)
    return _from(result.matrix, k)


def sketches(result: Similarity, maps: Sequence[Float32], *, images: bool = True) -> Float32:
    """Returns a vector a model whose products are near the cosines, [model, dimension].

    Args:
        result: From `compare`.
        maps: The same maps.
        images: As of `similarity`.
    """
    return sketch(OnCanvas(maps, images=images), DIMENSIONS, centred=result.centred)


def _from(matrix: Float64, k: int) -> Neighbours:
    values = np.where(np.isnan(matrix), -np.inf, matrix)
    np.fill_diagonal(values, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")
    # A model is no neighbour of its own, however far all others are.
    others = order[order != np.arange(len(matrix))[:, None]].reshape(len(matrix), -1)[:, :k]
    crowded = np.zeros(len(matrix), bool)
    return Neighbours(others, np.take_along_axis(values, others, axis=1), crowded)
