"""Which layers of two models correspond: an alignment over depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.lineage.filters import Filters

#: What a pair of equal shape is worth beside its content, and one of another width.
_EQUAL, _OTHER = 1.0, 0.25

#: How much narrower a layer may be: half of its filters may have been pruned.
_NARROWER = 0.5

#: Layers of which alignments are tried: a square of it is kept.
_MOST = 1000


def align(suspect: Sequence[Filters], reference: Sequence[Filters]) -> list[tuple[int, int]]:
    """Returns pairs of layers, both rising, of the greatest worth (Needleman & Wunsch 1970).

    Layers left over cost nothing: a new head, or a backbone in another network, leaves the rest
    aligned. Worth is the kind and the shape, and beside these how alike the distributions of the
    numbers are, by which equal shapes are told apart.
    """
    suspect, reference = suspect[:_MOST], reference[:_MOST]
    worth = _worth(suspect, reference)
    best = np.zeros((len(suspect) + 1, len(reference) + 1))
    for i in range(1, len(suspect) + 1):
        through = best[i - 1, :-1] + worth[i - 1]
        row = np.maximum(best[i - 1, 1:], through)
        # A gap in the reference: the best so far goes on.
        best[i, 1:] = np.maximum.accumulate(row)
    pairs = []
    i, j = len(suspect), len(reference)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _worth(suspect: Sequence[Filters], reference: Sequence[Filters]) -> Float64:
    """Returns what each pair is worth; less than nothing where it is none."""
    if not suspect or not reference:
        return np.zeros((len(suspect), len(reference)))
    first = np.stack([f.sketch for f in suspect]).astype(np.float64)
    second = np.stack([f.sketch for f in reference]).astype(np.float64)
    apart = np.stack([np.abs(row - second).mean(1) for row in first])
    content = 1.0 / (1.0 + 20.0 * apart)
    kinds = np.array([[_kind(a, b) for b in reference] for a in suspect])
    return np.where(kinds > 0, kinds + content, -1.0)


def _kind(a: Filters, b: Filters) -> float:
    if a.kernel != b.kernel or a.layer.depthwise != b.layer.depthwise:
        return 0.0
    if (a.layer.operator == "Embedding") != (b.layer.operator == "Embedding"):
        return 0.0
    if a.rows.shape == b.rows.shape:
        return _EQUAL
    alike = all(
        min(x, y) >= _NARROWER * max(x, y)
        for x, y in zip(a.rows.shape[:2], b.rows.shape[:2], strict=True)
    )
    return _OTHER if alike else 0.0
