"""T of units that ONNX Runtime made, and how far rounding may have moved it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from onnxattr.arrays import Float64
from onnxattr.attribution.hiding import Totals
from onnxattr.attribution.reductions import Target
from onnxattr.types import InputSpec

#: A tensor of numbers of any type.
Units = np.ndarray[Any, Any]

#: Rounding of T, in roundings of one number.
_ROUNDING = 8

#: What units have in common, such as the denominator of a softmax, is computed in float32 at least.
_SINGLE = 2.0**-24


def totals(rows: Units, targets: Sequence[Target], spec: InputSpec) -> list[Totals]:
    """Returns T of some inputs, for each target.

    Rounding is taken to move each unit uᵢ by eᵢ = r √((uᵢ² + q²) / 2), with r that of the units'
    type and q the root mean square of all units of the input (one that comes out small is no more
    exact than the others), independently of one another; and by a part s ≤ r of uᵢ that all have
    in common. To first order that moves T by

        8 (√(Σ (∂T/∂uᵢ)² eᵢ²) + s Σ |uᵢ ∂T/∂uᵢ|)

    or, in short, for a sum with any signs, 8 (r ‖u‖₂ + s ‖u‖₁). Whole numbers are exact.

    Args:
        rows: Units, [input, …].
        targets: What T is.
        spec: The model's input.

    Raises:
        SupportError: There is no such unit.
    """
    if "N" not in spec.layout:
        spec = replace(spec, layout=f"N{spec.layout}")
    rows = rows[:, None] if rows.ndim == 1 else rows
    exact = torch.from_numpy(rows.astype(np.float64))
    found = []
    for target in targets:
        values: Float64 = target.values(exact, spec).numpy()
        found.append(Totals(values, _rounding(rows, values, target)))
    return found


def _rounding(rows: Units, values: Float64, target: Target) -> Float64:
    """Returns the bound of `totals`, or a larger one: float64 [input]."""
    if rows.dtype.kind != "f":
        return np.zeros(len(rows))
    one = float(np.finfo(rows.dtype).eps) / 2
    common = min(one, _SINGLE)
    # In their own type: of a bound, a few digits are enough.
    flat = torch.from_numpy(rows).flatten(1)
    flat = flat.float() if flat.dtype == torch.float16 else flat
    norm = torch.linalg.vector_norm(flat, dim=1).double()
    # √(Σ (∂T/∂uᵢ)² eᵢ²), in units of r, and Σ |uᵢ ∂T/∂uᵢ|.
    if target.kind == "squared-norm":
        fourth = torch.linalg.vector_norm(flat, ord=4, dim=1).double() ** 4
        own, shared = ((fourth + norm**4 / flat.shape[1]) / 2).sqrt(), norm**2
    elif target.kind == "unit":
        unit = flat[:, target.number].double()
        own, shared = ((unit**2 + norm**2 / flat.shape[1]) / 2).sqrt(), unit.abs()
    elif target.kind == "rms":
        # |∂T/∂uᵢ| is |uᵢ| / (n · rms) ≤ 1, for n units a channel.
        own, shared = norm, torch.from_numpy(values)
    else:
        own, shared = norm, torch.linalg.vector_norm(flat, ord=1, dim=1).double()
    bound: Float64 = (_ROUNDING * (one * own + common * shared)).numpy()
    # What is infinite, or no number, was made so by no rounding: it must not count as nothing.
    return np.where(np.isfinite(values), bound, 0.0)
