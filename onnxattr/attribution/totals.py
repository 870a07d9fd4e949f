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
    exact = torch.from_numpy(rows.astype(np.float64))
    exact = exact[:, None] if exact.dim() == 1 else exact
    found = []
    for target in targets:
        values: Float64 = target.values(exact, spec).numpy()
        found.append(Totals(values, _rounding(exact, values, target, rows.dtype)))
    return found


def _rounding(units: torch.Tensor, values: Float64, target: Target, kind: np.dtype[Any]) -> Float64:
    """Returns the bound of `totals`, or a larger one: float64 [input]."""
    if kind.kind != "f":
        return np.zeros(len(units))
    one = float(np.finfo(kind).eps) / 2
    common = min(one, _SINGLE)
    flat = units.flatten(1)
    # Σ (∂T/∂uᵢ)² eᵢ², in units of r², and Σ |uᵢ ∂T/∂uᵢ|.
    squares = flat.square()
    norm = squares.sum(1)
    if target.kind == "squared-norm":
        own, shared = (squares.square().sum(1) + norm**2 / flat.shape[1]) / 2, norm
    elif target.kind == "unit":
        unit = flat[:, target.number]
        own, shared = (unit.square() + norm / flat.shape[1]) / 2, unit.abs()
    elif target.kind == "rms":
        # |∂T/∂uᵢ| is |uᵢ| / (n · rms) ≤ 1, for n units a channel.
        own, shared = norm, torch.from_numpy(values)
    else:
        own, shared = norm, flat.abs().sum(1)
    bound: Float64 = (_ROUNDING * (one * own.sqrt() + common * shared)).numpy()
    return bound
