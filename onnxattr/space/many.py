"""Similarities of however many models: with every cosine, in blocks, or the nearest only."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.space import blocks
from onnxattr.space.canvas import to_canvas
from onnxattr.space.nearest import Neighbours, nearest
from onnxattr.space.similarity import MAX_CANVAS, similarity
from onnxattr.types import Similarity

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


def compare(
    maps: Sequence[Float32], names: Sequence[str], *, centred: bool = True, images: bool = True
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
    """
    count = len(maps)
    if not count or count**2 * len(maps[0]) * 8 <= COSINES:
        return similarity(maps, names, centred=centred, images=images)
    on_canvas = OnCanvas(maps, images=images)
    every = np.arange(count)
    alone = blocks.pairs(on_canvas, every, every, centred=centred)
    matrix = np.empty((0, 0))
    if count <= MODELS:
        matrix = blocks.streamed(on_canvas, centred=centred)
    return Similarity(
        names=tuple(names),
        matrix=matrix,
        per_probe=np.empty((*matrix.shape, 0)),
        centred=centred,
        canvas=on_canvas.canvas,
        unusable=tuple(int(number) for number in np.isnan(alone).sum(axis=1)),
    )


def neighbours(
    result: Similarity, maps: Sequence[Float32], k: int, *, images: bool = True
) -> Neighbours:
    """Returns the nearest models of each, from the matrix or, where there is none, without it.

    Args:
        result: From `compare`.
        maps: The same maps.
        k: Neighbours of each model.
        images: As of `similarity`.
    """
    if not result.matrix.size:
        return nearest(OnCanvas(maps, images=images), k, centred=result.centred)
    return _from(result.matrix, k)


def _from(matrix: Float64, k: int) -> Neighbours:
    values = np.where(np.isnan(matrix), -np.inf, matrix)
    np.fill_diagonal(values, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")
    # A model is no neighbour of its own, however far all others are.
    others = order[order != np.arange(len(matrix))[:, None]].reshape(len(matrix), -1)[:, :k]
    return Neighbours(others, np.take_along_axis(values, others, axis=1))
