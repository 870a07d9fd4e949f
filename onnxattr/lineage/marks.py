"""What training alone leaves in a layer, whatever numbers it began with.

Frameworks begin with weights of one distribution for all channels, and with biases, and scales of
normalisation, that are the same for all of them or of no effect later. How strong each channel is in
the end, and how far its bias moves it, is learned. Two models that were trained apart from one and
the same initialisation share much of their filters, and little of that.
"""

from __future__ import annotations

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.lineage.channels import Int
from onnxattr.lineage.filters import Filters

#: Channels from which a correlation says something.
_FEW = 8


def marks(
    a: Filters, b: Filters, rows: tuple[Int, Int], columns: tuple[Int, Int]
) -> float | None:
    """Returns how alike what was learned of two matched layers' channels is, -1..1.

    That is the mean of two rank correlations (Spearman 1904): of the biases, in units of the length
    of their filters, and of the strength of the columns, summed over all filters of unit length.
    Neither changes where hidden channels are reordered or rescaled. None where there are too few.
    """
    found = []
    if len(rows[0]) >= _FEW and a.layer.bias is not None and b.layer.bias is not None:
        found.append(_ranked(_bias(a)[rows[0]], _bias(b)[rows[1]]))
    if len(columns[0]) >= _FEW and not a.layer.depthwise:
        found.append(_ranked(_strength(a)[columns[0]], _strength(b)[columns[1]]))
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _bias(f: Filters) -> Float64:
    assert f.layer.bias is not None
    alive = f.lengths > 0
    return np.where(alive, f.layer.bias / np.where(alive, f.lengths, 1.0), 0.0)


def _strength(f: Filters) -> Float64:
    return np.asarray(np.einsum("oik,oik->i", f.rows, f.rows, dtype=np.float64))


def _ranked(first: Float64, second: Float64) -> float | None:
    """Returns Spearman's correlation; None where one side is all the same."""
    if np.ptp(first) <= 1e-9 or np.ptp(second) <= 1e-9:
        return None
    from scipy.stats import rankdata

    ranks = np.corrcoef(rankdata(first), rankdata(second))
    return float(ranks[0, 1])
