"""Whether models are alike on one set of probes as they are on another."""

import numpy as np

from onnxattr.arrays import Float64

#: Fewer models have too few pairs for a correlation.
FEWEST = 8

#: Two sets of images that the models know agree by more than this; noise, patterns and underexposed
#: images by less (docs/model-space.md).
FAMILIAR = 0.8


def accord(one: Float64, other: Float64) -> float:
    """Returns Pearson's r between the similarities of all pairs of models on two sets, −1..1.

    No labels are needed: the zoo itself is the instrument. Where probes show models nothing that
    they know, who is alike to whom depends on other things.

    Args:
        one: Similarities on one set, [model, model]; NaN where two models have none.
        other: On the other set, of the same models.

    Returns:
        0 where fewer than three pairs are known to both, or all are equal: there is no accord.

    Example:
        >>> rows = np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.0]])
        >>> round(accord(rows, 0.1 * rows), 6)
        1.0
    """
    pairs = np.triu_indices(len(one), 1)
    left, right = one[pairs], other[pairs]
    known = ~(np.isnan(left) | np.isnan(right))
    left, right = left[known], right[known]
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
