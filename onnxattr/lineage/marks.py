"""What training alone leaves in a layer, whatever numbers it began with.

Frameworks begin with biases, and with shifts and scales of normalisation, that are the same for all
channels, or that normalisation takes away again. What a bias has become once normalisation is
folded is learned: it tells where each channel begins to answer. Two models that were trained apart
from one and the same initialisation share much of their filters, and little of that.

PyTorch without normalisation begins with biases drawn from ±1/√(numbers of a filter), of which
training leaves much: two networks of one start, trained 400 steps each on other tasks, agreed by
.81 in them. Biases of that size are left out. With normalisation they are larger by ten.
"""

from __future__ import annotations

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.lineage.channels import Int
from onnxattr.lineage.filters import Filters

#: Channels from which a correlation says something.
_FEW = 8

#: Root mean square of biases, in units of 1/√(numbers of a filter), below which they may be what
#: the network began with: drawn at random, that is 0.58; after training without normalisation it
#: was 0.6 to 1, with normalisation 5 to 25 in all but one of 49 layers.
_DRAWN = 2.0


def marks(a: Filters, b: Filters, rows: tuple[Int, Int]) -> float | None:
    """Returns how alike what was learned of two matched layers' channels is, -1..1.

    That is the rank correlation (Spearman 1904) of the biases, in units of the length of their
    filters. Neither reordered nor rescaled hidden channels change it. None where there are too few,
    or the reference's may be what it began with.

    Args:
        a: The suspect's layer.
        b: The reference's.
        rows: Filters that correspond.
    """
    if len(rows[0]) < _FEW or a.layer.bias is None or b.layer.bias is None:
        return None
    first, second = _bias(a)[rows[0]], _bias(b)[rows[1]]
    size = float(np.sqrt(np.square(b.layer.bias, dtype=np.float64).mean()))
    if size * np.sqrt(b.layer.weight[0].size) < _DRAWN:
        return None
    if np.ptp(first) <= 1e-9 or np.ptp(second) <= 1e-9:
        return None
    from scipy.stats import rankdata

    ranks = np.corrcoef(rankdata(first), rankdata(second))
    return float(ranks[0, 1])


def _bias(f: Filters) -> Float64:
    assert f.layer.bias is not None
    alive = f.lengths > 0
    return np.where(alive, f.layer.bias / np.where(alive, f.lengths, 1.0), 0.0)
