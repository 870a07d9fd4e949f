"""Similarities of very many models: maps in blocks, memory bounded."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import InputError
from onnxattr.space.similarity import normalised

#: Bytes of the maps that are worked on at a time, as float64.
BLOCK = 2**28

#: Bytes of maps that are brought to unit norm at a time: what a core's cache holds. That takes ten
#: passes over them; in memory they would take longer than the products of a thousand models.
_CACHED = 2**19

Indices = npt.NDArray[np.integer[Any]]
Truths = npt.NDArray[np.bool_]


class Maps(Protocol):
    """Maps that are read as they are needed, [model, probe, pixel], all on one canvas.

    An array will do, as will `numpy.memmap`, and anything else with a shape that returns a part
    when it is indexed by a slice of models, or an array of their numbers, and a slice of probes.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of models, probes and pixels."""
        ...

    def __getitem__(self, key: Any, /) -> Float32:
        """Returns the maps of some models on some probes."""
        ...


class Kernel(Protocol):
    """The work on one block of maps, [model, probe, pixel]; a device may do it."""

    def sums(self, maps: Float32) -> tuple[Float64, Truths]:
        """Returns the sum of each model's maps at unit norm, [model, pixel], without the unusable.

        And which are usable, [model, probe].
        """
        ...

    def products(self, maps: Float32, centres: Float64 | None) -> tuple[Float64, Truths]:
        """Returns the sum of the cosines of every two models, [model, model].

        With the centres [model, pixel] removed from the maps at unit norm, where there are any. A
        probe counts where both maps are usable. And which are usable, [model, probe].
        """
        ...


class Numpy:
    """The kernel of NumPy.

    Args:
        precision: Of the products: float64, or float32, which is twice as fast and errs by 2e-6.
    """

    def __init__(self, precision: npt.DTypeLike = np.float64) -> None:
        self._precision = precision

    def sums(self, maps: Float32) -> tuple[Float64, Truths]:
        """See `Kernel`."""
        values, usable = units(maps, None)
        total: Float64 = values.sum(axis=1)
        return total, usable

    def products(self, maps: Float32, centres: Float64 | None) -> tuple[Float64, Truths]:
        """See `Kernel`."""
        values, usable = units(maps, centres, self._precision)
        rows = values.reshape(len(values), -1)
        # NumPy sees that it is a matrix with its own transpose, and does half of the work.
        return np.asarray(rows @ rows.T, np.float64), usable


def streamed(
    maps: Maps, *, centred: bool = True, kernel: Kernel | None = None, block: int = BLOCK
) -> Float64:
    """Returns the mean cosine between every two models, float64 [model, model].

    As `streamed_with_gaps`, which says what it takes.
    """
    return streamed_with_gaps(maps, centred=centred, kernel=kernel, block=block)[0]


def streamed_with_gaps(
    maps: Maps, *, centred: bool = True, kernel: Kernel | None = None, block: int = BLOCK
) -> tuple[Float64, Indices]:
    """Returns the mean cosine between every two models, float64 [model, model].

    And on how many probes each model has no usable map, [model].

    The same numbers as `similarity`'s matrix, to 1e-12 in double precision, without the cosines of
    each probe: maps are read a block of probes at a time, and each block is one matrix product.
    Memory is a few blocks, two matrices and, if centred, the mean map of each model; maps are read
    once, or twice if centred.

    Args:
        maps: [model, probe, pixel].
        centred: Remove each model's mean map first; see `similarity`.
        kernel: Who does the work; `Numpy()` if nobody is named.
        block: Bytes of a block.

    Returns:
        NaN of two models that share no probe on which both maps are usable.

    Raises:
        InputError: The maps are not [model, probe, pixel].
    """
    kernel = kernel or Numpy()
    models, probes, pixels = sizes(maps)
    centres = None
    if centred:
        total, count = np.zeros((models, pixels)), np.zeros(models)
        for part in parts(probes, models * pixels, block):
            sums, usable = kernel.sums(maps[:, part])
            total += sums
            count += usable.sum(axis=1)
        total /= np.maximum(count, 1)[:, None]
        centres = total
    cosines, shared = np.zeros((models, models)), np.zeros((models, models))
    gaps = np.zeros(models, np.intp)
    for part in parts(probes, models * pixels, block):
        products, usable = kernel.products(maps[:, part], centres)
        cosines += products
        gaps += (~usable).sum(axis=1)
        # Sums of ones: exact in single precision, up to 2²⁴ of them.
        ones = usable.astype(np.float32)
        shared += usable.shape[1] if usable.all() else ones @ ones.T
    cosines += cosines.T.copy()
    means = np.full_like(cosines, np.nan)
    np.divide(cosines, 2 * shared, out=means, where=shared > 0)
    return means, gaps


def gaps(maps: Maps, *, centred: bool = True, block: int = BLOCK) -> Indices:
    """Returns on how many probes each model has no usable map, [model]; see `similarity`.

    Args:
        maps: [model, probe, pixel].
        centred: As of `streamed`: of a map that equals the model's mean nothing is left.
        block: Bytes that are worked on at a time.
    """
    models, probes, pixels = sizes(maps)
    result = np.zeros(models, np.intp)
    for some in parts(models, probes * pixels, block):
        which = np.arange(some.start, some.stop)
        centres = means(maps, which, block=block) if centred else None
        for part in parts(probes, len(which) * pixels, block):
            _, usable = units(maps[some, part], centres)
            result[some] += (~usable).sum(axis=1)
    return result


def row(maps: Maps, target: int, *, centred: bool = True, block: int = BLOCK) -> Float64:
    """Returns the cosine of every model's maps with those of one, on each probe, [model, probe].

    What one row of all cosines is, from as many models at a time as fill a block.

    Args:
        maps: [model, probe, pixel].
        target: The one, by its number.
        centred: As of `streamed`.
        block: Bytes that are worked on at a time.
    """
    models, probes, pixels = sizes(maps)
    result = np.empty((models, probes))
    for some in parts(models, pixels, block):
        one = np.arange(some.start, some.stop)
        other = np.full(len(one), target)
        result[some] = pairs(maps, one, other, centred=centred, block=block)
    return result


def pairs(
    maps: Maps, one: Indices, other: Indices, *, centred: bool = True, block: int = BLOCK
) -> Float64:
    """Returns the cosine of the maps of some pairs of models on each probe, [pair, probe].

    What `streamed` does not keep, for the spread of a few similarities among many.

    Args:
        maps: [model, probe, pixel].
        one: One model of each pair, by its number.
        other: The other.
        centred: As of `streamed`.
        block: Bytes of a block.
    """
    result = np.empty((len(one), maps.shape[1]))
    for probe, cosines in _by_probe(maps, one, other, centred, block):
        result[:, probe] = cosines
    return result


def pair_means(
    maps: Maps, one: Indices, other: Indices, *, centred: bool = True, block: int = BLOCK
) -> Float64:
    """Returns the mean cosine of some pairs of models, [pair]; NaN where no probe is usable.

    As `pairs`, for so many pairs that their cosines on each probe are too many.

    Args:
        maps: [model, probe, pixel].
        one: One model of each pair, by its number.
        other: The other.
        centred: As of `streamed`.
        block: Bytes of a block.
    """
    total, count = np.zeros(len(one)), np.zeros(len(one))
    for _, cosines in _by_probe(maps, one, other, centred, block):
        count += ~np.isnan(cosines)
        total += np.nan_to_num(cosines)
    result: Float64 = np.divide(total, count, out=np.full(len(one), np.nan), where=count > 0)
    return result


def _by_probe(
    maps: Maps, one: Indices, other: Indices, centred: bool, block: int
) -> Iterator[tuple[int, Float64]]:
    """Yields each probe and the cosines of all pairs on it, [pair]."""
    _, probes, pixels = sizes(maps)
    chosen, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    first, second = places[: len(one)], places[len(one) :]
    centres = means(maps, chosen, block=block) if centred else None
    at_once = max(1, block // (16 * pixels))
    for part in parts(probes, len(chosen) * pixels, block):
        values, usable = units(maps[chosen, part], centres)
        for offset, probe in enumerate(range(part.start, part.stop)):
            rows, known = values[:, offset], usable[:, offset]
            cosines = np.empty(len(one))
            for start in range(0, len(one), at_once):
                a, b = first[start : start + at_once], second[start : start + at_once]
                cosines[start : start + at_once] = np.einsum("np,np->n", rows[a], rows[b])
            cosines[~(known[first] & known[second])] = np.nan
            yield probe, np.clip(cosines, -1.0, 1.0)


def means(maps: Maps, which: Indices, *, block: int = BLOCK) -> Float64:
    """Returns the mean of each model's usable maps at unit norm, [model, pixel]; 0 of none.

    Args:
        maps: [model, probe, pixel].
        which: Models, by their numbers.
        block: Bytes of a block.
    """
    _, probes, pixels = sizes(maps)
    result = np.zeros((len(which), pixels))
    for some in parts(len(which), probes * pixels, block):
        count = np.zeros(some.stop - some.start)
        for part in parts(probes, len(count) * pixels, block):
            values, usable = units(maps[which[some], part], None)
            result[some] += values.sum(axis=1)
            count += usable.sum(axis=1)
        result[some] /= np.maximum(count, 1)[:, None]
    return result


def units(
    maps: Float32, centres: Float64 | None, precision: npt.DTypeLike = np.float64
) -> tuple[Any, Truths]:
    """Returns maps at unit norm, [model, probe, pixel], 0 where unusable; and which are usable.

    As `similarity` has it: with centres, what is left without them is brought to unit norm again.
    All of it is in double precision, whatever the result is rounded to.

    Args:
        maps: [model, probe, pixel].
        centres: What is removed, [model, pixel], or None.
        precision: Of the result.
    """
    models, probes, pixels = maps.shape
    result = np.empty(maps.shape, precision)
    usable = np.empty((models, probes), bool)
    for some in parts(models, probes * pixels, _CACHED):
        for part in parts(probes, (some.stop - some.start) * pixels, _CACHED):
            values = np.asarray(maps[some, part], np.float64)
            rows = normalised(values.reshape(-1, pixels)).reshape(values.shape)
            if centres is not None:
                rows -= centres[some, None]
                # What is left of a map that equals the mean is rounding, not a direction.
                norms = np.sqrt(np.einsum("mkp,mkp->mk", rows, rows))
                norms[~(norms >= 1e-9)] = np.nan
                rows /= norms[:, :, None]
            known = ~np.isnan(rows[:, :, 0])
            if not known.all():
                rows[~known] = 0.0
            result[some, part], usable[some, part] = rows, known
    return result, usable


def sizes(maps: Maps) -> tuple[int, int, int]:
    """Returns the numbers of models, probes and pixels.

    Raises:
        InputError: The maps are not [model, probe, pixel].
    """
    if len(maps.shape) != 3 or not maps.shape[2]:
        raise InputError(f"maps in blocks are [model, probe, pixel], not `{maps.shape}`")
    models, probes, pixels = maps.shape
    return models, probes, pixels


def parts(count: int, size: int, block: int) -> Iterator[slice]:
    """Yields slices of `count` things, each of `size` numbers, that fill a block."""
    step = max(1, block // max(8 * size, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
