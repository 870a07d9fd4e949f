"""Which numbers of a tensor are which channels, followed through whatever moves them about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64

Int = npt.NDArray[np.int64]

#: Numbers of one value whose channels are followed; more are left alone.
MOST = 2**20


@dataclass(frozen=True, eq=False)
class Labels:
    """The channels that a value holds, along some of its axes.

    Attributes:
        axes: Axes of the value, rising; along the others all is of the same channels.
        channel: [axes…]: which channel.
        place: [axes…]: which place in it, where places were flattened into `axes`.
        gain: [axes…]: which gain, -1 where it cannot be changed without a change of function.
        factor: [axes…]: what the channel was multiplied by since the gain began.
    """

    axes: tuple[int, ...]
    channel: Int
    place: Int
    gain: Int
    factor: Float64

    def map(self, axes: Sequence[int], turn: Callable[[Any], Any]) -> Labels:
        """Returns labels with every array changed alike."""
        parts = (self.channel, self.place, self.gain, self.factor)
        return Labels(tuple(axes), *map(turn, parts))

    def fixed(self) -> Labels:
        """Returns labels whose gains are given up: behind what is not homogeneous."""
        return dataclasses.replace(
            self, gain=np.full_like(self.gain, -1), factor=np.ones_like(self.factor)
        )


class Classes:
    """Numbers of which some turn out to be the same (union-find)."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def make(self, count: int) -> Int:
        """Returns so many new ones."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count, dtype=np.int64)

    def join(self, first: Int, second: Int) -> None:
        """Says that they are the same, one by one; -1 is none."""
        pairs = np.stack([first.reshape(-1), second.reshape(-1)], 1)
        pairs = np.unique(pairs[(pairs >= 0).all(1) & (pairs[:, 0] != pairs[:, 1])], axis=0)
        for a, b in pairs.tolist():
            a, b = self._root(a), self._root(b)
            # The older one stands for both, so that numbers rise in the order of the graph.
            self._parent[max(a, b)] = min(a, b)

    def roots(self) -> Int:
        """Returns, for each, the one that stands for it."""
        return np.array([self._root(i) for i in range(len(self._parent))], np.int64)

    def _root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i


def transposed(labels: Labels, perm: Sequence[int]) -> Labels:
    """Returns the labels of a value whose axes are permuted."""
    where = [list(perm).index(axis) for axis in labels.axes]
    order = np.argsort(where)
    return labels.map([where[i] for i in order], lambda a: np.transpose(a, order))


def reshaped(labels: Labels, before: Sequence[int], after: Sequence[int]) -> Labels | None:
    """Returns the labels of a value of other sizes, or None where channels are torn apart."""
    groups = _groups(before, after)
    if groups is None:
        return None
    wanted: list[int] = []
    sizes: list[int] = []
    inner: list[int] = []
    for old, new in groups:
        if any(axis in labels.axes for axis in old):
            inner += old
            wanted += new
            sizes += [after[axis] for axis in new]
    if int(np.prod(sizes, dtype=object)) > MOST:
        return None
    shape = [before[axis] for axis in inner]
    at = [inner.index(axis) for axis in labels.axes]

    def spread(array: Any) -> Any:
        given = array.reshape([before[a] if a in labels.axes else 1 for a in inner])
        return np.broadcast_to(given, shape)

    # What was no axis of channels until now is places of them.
    extra = [i for i in range(len(inner)) if i not in at]
    places = np.zeros(shape, np.int64)
    for i in extra:
        step = np.arange(shape[i]).reshape([-1 if j == i else 1 for j in range(len(shape))])
        places = places * shape[i] + step
    count = int(np.prod([shape[i] for i in extra], dtype=object))
    wide = labels.map(inner, spread)
    wide = dataclasses.replace(wide, place=wide.place * count + places)
    return wide.map(wanted, lambda a: a.reshape(sizes))


def _groups(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[list[int], list[int]]] | None:
    """Returns the smallest groups of axes that have as many numbers before as after."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [], []
        a = b = 1
        if i < len(before):
            old.append(i)
            a, i = before[i], i + 1
        if j < len(after):
            new.append(j)
            b, j = after[j], j + 1
        while a != b:
            if a < b and i < len(before):
                old.append(i)
                a, i = a * before[i], i + 1
            elif b < a and j < len(after):
                new.append(j)
                b, j = b * after[j], j + 1
            else:
                return None
        groups.append((old, new))
    return groups
