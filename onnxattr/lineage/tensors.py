"""Layers that hold the same weights, wherever they are in two models."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.types import Layer, TensorMatch, Weights

#: Mean cosine of the filters from which two layers count as nearly the same.
NEAR = 0.98

#: Numbers of a layer, and of a filter, below which a match says nothing.
_FEW, _SHORT = 64, 8

#: Numbers by which most pairs are told apart.
_GLANCE = 1024

#: Matches that are kept.
_MOST = 1000


def tensor_matches(suspect: Weights, reference: Weights) -> tuple[TensorMatch, ...]:
    """Returns pairs of layers of one shape with the same or nearly the same weights.

    The order of filters and columns is as it is stored; the scale of a filter does not count, so
    that another batch normalisation behind a copied layer hides nothing. Of each of the suspect's
    layers the best match is kept. The largest come first.
    """
    by_shape: dict[tuple[int, ...], list[tuple[Layer, Float32]]] = defaultdict(list)
    for layer in reference.layers:
        if layer.weight.size >= _FEW and layer.weight[0].size >= _SHORT:
            by_shape[layer.weight.shape].append((layer, _glance(layer)))
    found = []
    for layer in suspect.layers:
        others = by_shape.get(layer.weight.shape, [])
        glance = _glance(layer) if others else None
        best: TensorMatch | None = None
        for other, seen in others:
            if glance is None or float(glance @ seen) < NEAR - 0.2:
                continue
            exact = bool(np.array_equal(layer.weight, other.weight))
            similarity = 1.0 if exact else _similarity(layer, other)
            if similarity < NEAR or (best is not None and similarity <= best.similarity):
                continue
            best = TensorMatch(
                suspect=layer.name,
                reference=other.name,
                shape=layer.weight.shape,
                parameters=layer.weight.size,
                similarity=similarity,
                exact=exact,
            )
        if best is not None:
            found.append(best)
    found.sort(key=lambda m: (-m.parameters, -m.similarity, m.suspect))
    return tuple(found[:_MOST])


def _unit(rows: Float32) -> Float32:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def _glance(layer: Layer) -> Float32:
    """Returns some numbers of a layer as a vector of unit length."""
    rows = layer.weight.reshape(len(layer.weight), -1)
    some = _unit(rows[:: max(1, rows.size // (_GLANCE * 16))]).reshape(-1)
    some = some[:: max(1, some.size // _GLANCE)]
    length = float(np.linalg.norm(some))
    return np.asarray(some / length if length else some)


def _similarity(first: Layer, second: Layer) -> float:
    a, b = (x.weight.reshape(len(x.weight), -1) for x in (first, second))
    alive = a.any(1) | b.any(1)
    found = np.einsum("ij,ij->i", _unit(a), _unit(b), dtype=np.float64)
    return float(found[alive].mean()) if alive.any() else 0.0
