"""Which channels of two models correspond: filters matched layer by layer, streams as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, permutations

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.lineage.channels import Int
from onnxattr.lineage.filters import Filters
from onnxattr.types import Weights

#: Times that each stream is matched again with what became known of the others.
SWEEPS = 3

#: Mean similarity from which matching again is not worth its time.
_DONE = 0.98

#: Gain in mean similarity below which it is not done once more.
_GAIN = 0.005

#: Channels of an input whose orders are all tried: colours, with or without opacity.
_COLOURS = 4

#: Layers of one depth and one shape that are paired by content.
_TWINS = 8

#: Channels of a stream, or filters of a layer, that are matched; more are taken in their order. Of
#: 4096 the assignment takes seconds.
WIDEST = 4096

#: How much larger than a layer its columns may be once they are put in order by channel and place.
_SPARSE = 4

#: Gain in mean cosine for which the colours of an input are taken to be in another order.
_BETTER = 1e-3


def assign(worth: Float32 | Float64) -> tuple[Int, Int]:
    """Returns rows and columns of the assignment of the greatest worth (Kuhn 1955).

    Where the best column of each row is another one, that is it; SciPy is asked otherwise.
    """
    if worth.size == 0:
        none = np.zeros(0, np.int64)
        return none, none
    if worth.shape[0] <= worth.shape[1]:
        best = worth.argmax(1)
        if len(np.unique(best)) == len(best):
            return np.arange(len(best)), best.astype(np.int64)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(worth, maximize=True)
    return rows.astype(np.int64), columns.astype(np.int64)


class Order:
    """The suspect's channel for each of the reference's, found stream by stream.

    Args:
        suspect: The suspect, and its filters.
        reference: The reference, and its.
        pairs: Layers that correspond.
    """

    def __init__(
        self,
        suspect: tuple[Weights, Sequence[Filters]],
        reference: tuple[Weights, Sequence[Filters]],
        pairs: Sequence[tuple[int, int]],
    ) -> None:
        self._streams = suspect[0].streams, reference[0].streams
        self.pairs = [(suspect[1][a], reference[1][b]) for a, b in pairs]
        #: The suspect's channel for each of the reference's, -1 where it is not known.
        self.channel: Int = np.full(len(reference[0].streams), -1, np.int64)
        self._partner: dict[int, int] = {}
        self._local = [_places(streams) for streams in self._streams]
        self._inputs()
        self._find()

    def columns(self, a: Filters, b: Filters) -> tuple[Int, Int] | None:
        """Returns the columns of both that read the same, in one order; None if none are known."""
        x, y = a.layer, b.layer
        if x.depthwise:
            return np.zeros(1, np.int64), np.zeros(1, np.int64)
        mine = np.where(x.reads >= 0, x.reads, -2)
        theirs = np.where(y.reads >= 0, self.channel[np.maximum(y.reads, 0)], -2)
        if (x.reads < 0).all() or (y.reads < 0).all():
            if len(x.reads) != len(y.reads):
                return None
            return np.arange(len(x.reads)), np.arange(len(y.reads))
        most = int(max(x.places.max(initial=0), y.places.max(initial=0))) + 1
        kept = [np.flatnonzero(mine != -1), np.flatnonzero(theirs != -1)]
        span = max(len(mine), len(theirs)) + 1
        keys = [
            _ranked((mine * most + x.places)[kept[0]], span),
            _ranked((theirs * most + y.places)[kept[1]], span),
        ]
        _, first, second = np.intersect1d(*keys, assume_unique=True, return_indices=True)
        first, second = kept[0][first], kept[1][second]
        return (first, second) if len(first) else None

    def rows(self, a: Filters, b: Filters) -> tuple[Int, Int]:
        """Returns the filters of both that correspond; none where their stream has no partner."""
        wanted = self.channel[b.layer.writes]
        where = {int(c): i for i, c in enumerate(a.layer.writes)}
        found = [(where[int(c)], j) for j, c in enumerate(wanted) if int(c) in where]
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        first, second = zip(*found, strict=True)
        return np.array(first, np.int64), np.array(second, np.int64)

    def _inputs(self) -> None:
        """Takes inputs as they are; of colours, the order that suits what reads them best."""
        written = [np.zeros(len(s), bool) for s in self._streams]
        for a, b in self.pairs:
            written[0][a.layer.writes] = written[1][b.layer.writes] = True
        for a, b in self.pairs:
            if a.layer.depthwise:
                continue
            for sa, sb in self._meet(a.layer.reads, b.layer.reads):
                mine, theirs = self._members(0, sa), self._members(1, sb)
                given = written[0][mine].any() or written[1][theirs].any()
                if given or len(mine) != len(theirs) or sb in self._partner:
                    continue
                self._partner[sb] = sa
                self.channel[theirs] = mine
                if len(mine) <= _COLOURS:
                    self.channel[theirs] = mine[self._colours(a, b, mine, theirs)]

    def _colours(self, a: Filters, b: Filters, mine: Int, theirs: Int) -> list[int]:
        best, order = -np.inf, list(range(len(mine)))
        for tried in permutations(range(len(mine))):
            self.channel[theirs] = mine[list(tried)]
            worth = self._writers(a, b)
            if worth is None:
                break
            rows, columns = assign(worth)
            value = float(worth[rows, columns].mean())
            if value > best + _BETTER:  # The order as it is comes first.
                best, order = value, list(tried)
        return order

    def _meet(self, first: Int, second: Int) -> list[tuple[int, int]]:
        """Returns the streams of two layers' ends, paired as they come."""
        found = []
        for streams, channels in zip(self._streams, (first, second), strict=True):
            seen = streams[channels[channels >= 0]]
            _, places = np.unique(seen, return_index=True)
            found.append([int(seen[p]) for p in np.sort(places)])
        return list(zip(*found, strict=False)) if len(found[0]) == len(found[1]) else []

    def _members(self, side: int, stream: int) -> Int:
        return self._local[side][1][stream]

    def _find(self) -> None:
        """Matches every stream that a layer writes, first by what is before it, then by all."""
        order: list[int] = []
        groups = groupby(range(len(self.pairs)), lambda i: _twins(*self.pairs[i]))
        for group in [list(members) for _, members in groups]:
            self._settle(group)
            for a, b in (self.pairs[i] for i in group):
                for sa, sb in self._meet(a.layer.writes, b.layer.writes):
                    if sb not in self._partner and sa not in self._partner.values():
                        self._partner[sb] = sa
                        self._match(sb, readers=False)
                        order.append(sb)
        mean = self._mean()
        for _ in range(SWEEPS):
            if mean >= _DONE:
                break
            for stream in order:
                self._match(stream, readers=True)
            before, mean = mean, self._mean()
            if mean - before < _GAIN:
                break

    def _settle(self, group: Sequence[int]) -> None:
        """Pairs layers of one depth and one shape, such as query, key and value, by content."""
        if not 1 < len(group) <= _TWINS:
            return
        mine, theirs = ([self.pairs[i][side] for i in group] for side in (0, 1))
        worth = np.zeros((len(group), len(group)))
        for i, a in enumerate(mine):
            for j, b in enumerate(theirs):
                found = self._writers(a, b)
                worth[i, j] = 0.0 if found is None else float(found.max(1).mean())
        rows, columns = assign(worth)
        for place, i, j in zip(group, rows, columns, strict=True):
            self.pairs[place] = mine[i], theirs[j]

    def _mean(self) -> float:
        found = []
        for a, b in self.pairs:
            rows, columns = self.rows(a, b), self.columns(a, b)
            if columns is not None and len(rows[0]):
                found.append(float(cosines(a, b, rows, columns).mean()))
        return float(np.mean(found)) if found else 0.0

    def _match(self, stream: int, *, readers: bool) -> None:
        """Matches the channels of one of the reference's streams, if anything is known of them."""
        mine = self._members(0, self._partner[stream])
        theirs = self._members(1, stream)
        if max(len(mine), len(theirs)) > WIDEST:
            if len(mine) == len(theirs):
                self.channel[theirs] = mine
            return
        worth = np.zeros((len(mine), len(theirs)), np.float32)
        known = False
        for a, b in self.pairs:
            if self._touches(a.layer.writes, b.layer.writes, stream):
                part = self._writers(a, b)
                if part is not None:
                    self._add(worth, part, a.layer.writes, b.layer.writes, stream)
                    known = True
            behind = readers and not a.layer.depthwise
            if behind and self._touches(a.layer.reads, b.layer.reads, stream):
                known |= self._readers(a, b, worth, stream)
        if not known:
            return
        rows, columns = assign(worth)
        new = np.full(len(theirs), -1, np.int64)
        new[columns] = mine[rows]
        self.channel[theirs] = new

    def _touches(self, first: Int, second: Int, stream: int) -> bool:
        mine, theirs = self._streams
        a, b = mine[first[first >= 0]], theirs[second[second >= 0]]
        return bool((b == stream).any() and (a == self._partner[stream]).any())

    def _add(self, worth: Float32, part: Float32, first: Int, second: Int, stream: int) -> None:
        a = np.flatnonzero(self._streams[0][first] == self._partner[stream])
        b = np.flatnonzero(self._streams[1][second] == stream)
        rows, columns = self._local[0][0][first[a]], self._local[1][0][second[b]]
        worth[np.ix_(rows, columns)] += part[np.ix_(a, b)]

    def _writers(self, a: Filters, b: Filters) -> Float32 | None:
        """Returns the cosine of each of the suspect's filters with each of the reference's."""
        columns = self.columns(a, b)
        if columns is None or max(len(a.rows), len(b.rows)) > WIDEST:
            return None
        first, second = filters(a, b, columns)
        return np.asarray(first @ second.T)

    def _readers(self, a: Filters, b: Filters, worth: Float32, stream: int) -> bool:
        """Adds what layers behind a stream say, once the order of their own filters is known."""
        rows = self.rows(a, b)
        if not len(rows[0]):
            return False
        most = int(max(a.layer.places.max(initial=0), b.layer.places.max(initial=0))) + 1
        wide = max(len(self._members(0, self._partner[stream])), worth.shape[1]) * most
        if any(wide * len(rows[0]) * f.rows.shape[2] > _SPARSE * f.rows.size for f in (a, b)):
            return False
        first = self._tall(0, a, rows[0], self._partner[stream], most)
        second = self._tall(1, b, rows[1], stream, most)
        worth += first @ second.T
        return True

    def _tall(self, side: int, f: Filters, rows: Int, stream: int, most: int) -> Float32:
        """Returns [channel of the stream, everything that reads it]."""
        reads = f.layer.reads
        at = np.flatnonzero(reads >= 0)
        at = at[self._streams[side][reads[at]] == stream]
        tall = np.zeros(
            (len(self._members(side, stream)), most, len(rows), f.rows.shape[2]), np.float32
        )
        values = f.rows[rows][:, at].transpose(1, 0, 2)
        tall[self._local[side][0][reads[at]], f.layer.places[at]] = values
        return tall.reshape(len(tall), -1)


def filters(a: Filters, b: Filters, columns: tuple[Int, Int]) -> tuple[Float32, Float32]:
    """Returns both layers' filters, [filter, number], of unit length, columns in one order.

    Where it is not known what one of them reads, neither is the scale of it: then columns count as
    they are stored, in both.
    """
    if (a.layer.reads < 0).all() or (b.layer.reads < 0).all():
        return _cut(a.stored, columns[0]), _cut(b.stored, columns[1])
    return _cut(a.rows, columns[0]), _cut(b.rows, columns[1])


def cosines(a: Filters, b: Filters, rows: tuple[Int, Int], columns: tuple[Int, Int]) -> Float64:
    """Returns the cosine of each pair of filters; pairs of which both are dead are left out."""
    first, second = filters(a, b, columns)
    first, second = first[rows[0]], second[rows[1]]
    dead = ~first.any(1) & ~second.any(1)
    found = np.einsum("ij,ij->i", first, second, dtype=np.float64)
    return np.asarray(found[~dead] if not dead.all() else np.ones(1))


def _twins(a: Filters, b: Filters) -> tuple[object, ...]:
    return a.layer.depth, a.rows.shape, b.layer.depth, b.rows.shape


def _cut(rows: Float32, columns: Int) -> Float32:
    """Returns [filter, number] of some columns, of unit length again if some were left out."""
    if len(columns) == rows.shape[1]:
        return rows[:, columns].reshape(len(rows), -1)
    cut = rows[:, columns].reshape(len(rows), -1)
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.asarray(cut / np.where(norms > 0, norms, 1))


def _ranked(keys: Int, span: int) -> Int:
    """Returns keys of which none is there twice: the second of two is another one."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    starts = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    rank = np.arange(len(keys)) - np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    result = np.empty_like(keys)
    result[order] = ranked * span + rank
    return result


def _places(streams: Int) -> tuple[Int, dict[int, Int]]:
    """Returns each channel's place in its stream, and the channels of each stream."""
    local = np.zeros(len(streams), np.int64)
    order = np.argsort(streams, kind="stable")
    order = order[streams[order] >= 0]
    names, starts = np.unique(streams[order], return_index=True)
    members = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=False))
    for channels in members.values():
        local[channels] = np.arange(len(channels))
    return local, members
