"""Layers with their scales undone: each filter of unit length, whatever rescaled the channels."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.types import Layer, Weights

#: Quantiles that a layer is recognised by before its filters are matched.
_QUANTILES = np.linspace(0.02, 0.98, 25)

#: Numbers of a layer that quantiles are taken of.
_SAMPLE = 2**16


@dataclass(frozen=True, eq=False)
class Filters:
    """One layer, ready to be compared.

    Attributes:
        layer: As it was extracted.
        rows: float32 [out, in, kernel]: filters of unit length, zero where one is dead. Columns are
            multiplied by the length of the filters that write them.
        lengths: float64 [out]: of the filters, before.
        sketch: float32: quantiles of the sizes of its numbers, which no reordering changes.
    """

    layer: Layer
    rows: Float32
    lengths: Float64
    sketch: Float32

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of the kernel; none where it is a single place."""
        sizes = self.layer.weight.shape[2:]
        return sizes if any(s != 1 for s in sizes) else ()

    @functools.cached_property
    def stored(self) -> Float32:
        """Filters as they are stored, of unit length: without the lengths of what writes them."""
        weight = self.layer.weight
        rows = weight.reshape(len(weight), weight.shape[1], -1)
        norms = np.sqrt(np.einsum("oik,oik->o", rows, rows, dtype=np.float64))
        return np.asarray(rows / np.where(norms > 0, norms, 1)[:, None, None], np.float32)

    @property
    def length(self) -> int:
        """Numbers in one filter."""
        return self.rows.shape[1] * self.rows.shape[2]


def filters_of(weights: Weights) -> list[Filters]:
    """Returns the layers in an order that no exporter changes: by depth, then shape, then content.

    Where channels are homogeneous (ReLU and the like between layers), the filter of a channel may
    be multiplied by any positive number if what reads it is divided by it. So each filter is
    brought to unit length, and the columns that read its channel take its length over. A channel
    that several layers write, as residual streams do, takes the length of the first one's filter.
    """
    gains = max((int(x.gains_out.max(initial=-1)) for x in weights.layers), default=-1)
    gains = max(gains, *(int(x.gains_in.max(initial=-1)) for x in weights.layers), 0)
    lengths = np.ones(gains + 1)
    settled = np.zeros(gains + 1, bool)
    found = []
    for layer in sorted(weights.layers, key=_order):
        out = len(layer.weight)
        rows = layer.weight.reshape(out, layer.weight.shape[1], -1).astype(np.float64)
        known = layer.gains_in >= 0
        factor = np.where(known, lengths[np.maximum(layer.gains_in, 0)], 1.0)
        rows = rows * factor.reshape((-1, 1, 1) if layer.depthwise else (1, -1, 1))
        norms = np.sqrt(np.einsum("oik,oik->o", rows, rows))
        mine = (layer.gains_out >= 0) & ~settled[np.maximum(layer.gains_out, 0)]
        lengths[layer.gains_out[mine]] = norms[mine]
        settled[layer.gains_out[mine]] = True
        floor = 1e-12 * norms.max(initial=0.0)
        alive = norms > floor
        rows = rows / np.where(alive, norms, 1.0)[:, None, None]
        rows[~alive] = 0.0
        unit = rows.astype(np.float32)
        found.append(Filters(layer, unit, np.where(alive, norms, 0.0), _sketch(unit)))
    return sorted(found, key=lambda f: (*_order(f.layer), float(f.sketch[-3])))


def _order(layer: Layer) -> tuple[int, tuple[int, ...]]:
    return layer.depth, layer.weight.shape


def _sketch(rows: Float32) -> Float32:
    values = np.abs(rows.reshape(-1))
    if values.size > _SAMPLE:
        # Whole filters: a stride over numbers would see some columns alone in one order of them.
        values = np.sort(values)[:: values.size // _SAMPLE]
    scaled = values * np.sqrt(rows[0].size)
    return np.quantile(scaled, _QUANTILES).astype(np.float32)
