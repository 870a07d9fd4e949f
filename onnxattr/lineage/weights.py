"""How the weights of two models agree: layers aligned over depth, filters matched in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxattr.lineage.filters import Filters, filters_of
from onnxattr.lineage.marks import marks
from onnxattr.lineage.order import WIDEST, Order, assign, cosines, filters
from onnxattr.lineage.pairing import align
from onnxattr.lineage.tensors import tensor_matches
from onnxattr.types import LayerMatch, WeightMatch, Weights

#: Layers that the late similarity is the mean of, at least, and the share of all.
LATE, LATE_SHARE = 3, 1 / 3

#: Numbers of a filter from which its cosine says something.
MIN_LENGTH = 16

#: Filters that chance is measured on.
_CHANCE = 128

#: Difference of two numbers, of the largest one, that exporters' rounding makes.
_ROUNDING = 1e-5

#: Different numbers from which on two models do not hold the same ones by chance.
_TELLING = 16


def match_weights(
    suspect: Weights, reference: Weights, names: tuple[str, str] = ("", "")
) -> WeightMatch:
    """Returns how a suspect's weights agree with a reference's.

    Layers are aligned over depth. In each stream of channels the suspect's are matched with the
    reference's by the assignment that makes the sum of all cosines greatest, those of the filters
    that write it and, once more is known, those of the columns that read it (as Ainsworth et al.
    2023, Git Re-Basin, equation 2, layer by layer; here with filters of unit length, so that
    rescaled channels change nothing). The similarity of a layer is the mean cosine of its filters.

    Args:
        suspect: The suspect's layers.
        reference: The reference's.
        names: What the two are called.
    """
    mine, theirs = filters_of(suspect), filters_of(reference)
    pairs = align(mine, theirs)
    order = Order((suspect, mine), (reference, theirs), pairs)
    profile, used, deciding = [], 0, []
    for a, b in order.pairs:
        found = _layer(order, a, b)
        if found is not None:
            profile.append(found)
            used += a.layer.weight.size
            if a.length >= MIN_LENGTH and not a.layer.depthwise:
                deciding.append(found)
    total = sum(x.weight.size for x in suspect.layers)
    tensors = tensor_matches(suspect, reference)
    copied = {t.suspect: t.parameters for t in tensors}
    count = max(LATE, round(LATE_SHARE * len(deciding)))
    late = early = chance = learned = None
    if len(deciding) > LATE:
        late = _mean([m.similarity for m in deciding[-count:]])
        early = _mean([m.similarity for m in deciding[: min(count, len(deciding) - count)]])
        chance = _mean([m.chance for m in deciding[-count:]])
        known = [m.marks for m in deciding[-count:] if m.marks is not None]
        learned = _mean(known) if known else None
    return WeightMatch(
        suspect=names[0],
        reference=names[1],
        profile=tuple(profile),
        late=late,
        early=early,
        chance=chance,
        marks=learned,
        covered=used / total if total else 0.0,
        tensors=tensors,
        copied=min(1.0, sum(copied.values()) / total) if total else 0.0,
        identical=_identical(mine, theirs, pairs),
        reason="" if late is not None else _reason(suspect, reference, len(deciding)),
    )


def _reason(suspect: Weights, reference: Weights, deciding: int) -> str:
    if not suspect.layers:
        return "the suspect has no layers with stored weights"
    if not reference.layers:
        return "the reference has no layers with stored weights"
    counts = len(suspect.layers), len(reference.layers)
    found = "1 layer corresponds" if deciding == 1 else f"{deciding} layers correspond"
    why = "the nets are too small" if max(counts) <= LATE else "the architectures differ"
    return f"{found}, of {counts[0]} and {counts[1]}, and more than {LATE} must: {why}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _layer(order: Order, a: Filters, b: Filters) -> LayerMatch | None:
    """Returns how two layers agree; None if nothing tells which of their columns are the same."""
    columns = order.columns(a, b)
    if columns is None:
        return None
    rows = order.rows(a, b)
    if not len(rows[0]):
        # Another layer of the stream decided otherwise: this one is matched by itself.
        if max(len(a.rows), len(b.rows)) > WIDEST:
            return None
        first, second = filters(a, b, columns)
        rows = assign(first @ second.T)
    return LayerMatch(
        suspect=a.layer.name,
        reference=b.layer.name,
        operator=a.layer.operator,
        shape=a.layer.weight.shape,
        depth=b.layer.depth,
        similarity=_mean(cosines(a, b, rows, columns).tolist()),
        chance=_chance(a, b),
        marks=marks(a, b, rows),
        filters=len(rows[0]),
    )


def _chance(a: Filters, b: Filters) -> float:
    """Returns the similarity to the reference's filters, each with its channels shuffled."""
    draw = np.random.default_rng(0)
    rows, columns = min(len(a.rows), len(b.rows), _CHANCE), min(a.rows.shape[1], b.rows.shape[1])
    first, second = a.rows[:rows, :columns], b.rows[:rows, :columns]
    order = np.argsort(draw.random((rows, columns)), 1)
    second = np.take_along_axis(second, order[:, :, None], 1)
    worth = first.reshape(rows, -1) @ second.reshape(rows, -1).T
    i, j = assign(worth)
    return float(worth[i, j].mean())


def _identical(
    mine: Sequence[Filters], theirs: Sequence[Filters], pairs: Sequence[tuple[int, int]]
) -> bool:
    """Whether all layers of both hold the same numbers in the same order, but for rounding.

    Of numbers that are the same few over and over, as of fixed filters, that tells nothing.
    """
    if not len(mine) == len(theirs) == len(pairs):
        return False
    told = {value for x in mine for value in np.unique(x.layer.weight)[:_TELLING].tolist()}
    return len(told) >= _TELLING and all(_same(mine[a], theirs[b]) for a, b in pairs)


def _same(a: Filters, b: Filters) -> bool:
    first, second = a.layer, b.layer
    if first.weight.shape != second.weight.shape:
        return False
    parts = [(first.weight, second.weight)]
    if first.bias is not None or second.bias is not None:
        none = np.zeros(len(first.weight), np.float32)
        parts.append(tuple(none if x.bias is None else x.bias for x in (first, second)))  # type: ignore[arg-type]
    for x, y in parts:
        scale = float(np.abs(y).max(initial=0.0))
        if float(np.abs(x - y).max(initial=0.0)) > _ROUNDING * scale:
            return False
    return True
