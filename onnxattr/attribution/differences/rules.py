"""The multipliers of torch's functions: a table by name.

A multiplier m of a function y = f(x) satisfies y − y₀ = Σ m (x − x₀), where 0 is the baseline
(Shrikumar et al. 2017, eq. 3), and is what is put where autograd has ∂y/∂x. Their paper gives one
for functions that are linear, or of one number. Those of others are, with Δa = a − a₀:

- products: Δ(ab) = Δa (b + b₀)/2 + Δb (a + a₀)/2, whatever is multiplied: matrices, too;
- quotients: a product with the reciprocal;
- maxima: Δy all at one place: that of the maximum if y > y₀, else that of the baseline's;
- logarithms of sums of exponentials: see `compositions`;
- choices that differ at the baseline, as in Where: the smallest change of the mean of both choices'
  gradients with which the sum is right.
"""

from onnxattr.attribution.differences import compositions, maxima, steps
from onnxattr.attribution.differences.table import RULES

__all__ = ["RULES", "compositions", "maxima", "steps"]
