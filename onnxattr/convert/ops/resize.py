"""Resize and Upsample: every axis has its own matrix of weights, built from ONNX's definition.

ONNX interpolates each axis alone, so a resized axis is a matrix product, [out, in] by [in, …], and
its gradient is exact, and the same every time: on GPUs that of torch's own interpolation is not.
Names in back-ticks below are those of the operator's definition:
https://onnx.ai/onnx/operators/onnx__Resize.html
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from onnxattr.convert.ops.numbers import Stored
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

#: Where a region of interest begins or ends: a number, or a tensor if the graph computes it.
Bound = float | torch.Tensor


@dataclass(frozen=True)
class Axis:
    """One axis to resize.

    Attributes:
        size: `length_original`.
        target: `length_resized`, a whole number.
        scale: As the node gives it, or `target` / `size`.
        start: Begin of the region of interest, where 0 is the first value.
        end: Its end, where 1 is the last value.
    """

    size: int
    target: int
    scale: float
    start: Bound = 0.0
    end: Bound = 1.0


def _crop(y: torch.Tensor, a: Axis) -> torch.Tensor:
    if a.target == 1:
        return 0 * y + 0.5 * (a.start + a.end) * (a.size - 1)
    return a.start * (a.size - 1) + y * (a.end - a.start) * (a.size - 1) / (a.target - 1)


#: `x_original` of `x_resized`, by `coordinate_transformation_mode`, each formula as ONNX gives it.
#: For `align_corners` that is with the whole `length_resized`, as ONNX Runtime and torch have it
#: too; onnx's reference puts `scale` · `length_original` there, which may be a fraction.
_POSITIONS: dict[str, Callable[[torch.Tensor, Axis], torch.Tensor]] = {
    "half_pixel": lambda y, a: (y + 0.5) / a.scale - 0.5,
    "half_pixel_symmetric": lambda y, a: (
        a.size / 2 * (1 - a.target / (a.scale * a.size)) + (y + 0.5) / a.scale - 0.5
    ),
    "pytorch_half_pixel": lambda y, a: (y + 0.5) / a.scale - 0.5 if a.target > 1 else 0 * y,
    "align_corners": lambda y, a: y * (a.size - 1) / max(a.target - 1, 1),
    "asymmetric": lambda y, a: y / a.scale,
    "tf_half_pixel_for_nn": lambda y, a: (y + 0.5) / a.scale,
    "tf_crop_and_resize": _crop,
}

#: Whole positions, by `nearest_mode`. As in ONNX Runtime, halves are halves to within the rounding
#: of float32: 7 · 0.5 may be 3.4999998. `before 11` is that of opsets 7 to 10, which say nothing of
#: it: the example in Resize-10's definition and ONNX Runtime round up where an axis shrinks.
_NEAREST: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "round_prefer_floor": lambda x, scale: (x.round(decimals=5) - 0.5).ceil(),
    "round_prefer_ceil": lambda x, scale: (x.round(decimals=5) + 0.5).floor(),
    "floor": lambda x, scale: x.floor(),
    "ceil": lambda x, scale: x.ceil(),
    "before 11": lambda x, scale: x.ceil() if scale < 1 else x.floor(),
}

#: Transformations and `nearest_mode`s by which whole scales repeat every value equally often.
_REPEATING = {
    ("asymmetric", "floor"),
    ("asymmetric", "before 11"),
    ("tf_half_pixel_for_nn", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("half_pixel_symmetric", "round_prefer_floor"),
    ("half_pixel_symmetric", "round_prefer_ceil"),
}

#: How far a value reaches at scale 1, by `mode`.
_REACH = {"nearest": 0, "linear": 1, "cubic": 2}


@dataclass(frozen=True)
class Rule:
    """How an axis is interpolated: the operator's attributes of the same names."""

    mode: str = "nearest"
    coordinate_transformation_mode: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: int = 0
    antialias: int = 0

    def __post_init__(self) -> None:
        for name, known in (
            ("mode", _REACH),
            ("coordinate_transformation_mode", _POSITIONS),
            ("nearest_mode", _NEAREST),
        ):
            if getattr(self, name) not in known:
                raise SupportError(f"Resize with {name} `{getattr(self, name)}`")

    def positions(self, axis: Axis, dtype: torch.dtype) -> torch.Tensor:
        """Returns the place in the input of every value of the output, [axis.target].

        What is decided by them, such as the nearest value, depends on the last digit: there they
        are computed in float32, step by step, as ONNX Runtime does. 1.5 / 0.6 − 0.5 is 2 so.
        """
        region = axis.start if isinstance(axis.start, torch.Tensor) else None
        device = None if region is None else region.device
        y = torch.arange(axis.target, dtype=dtype, device=device)
        return _POSITIONS[self.coordinate_transformation_mode](y, axis).double()

    def indices(self, axis: Axis) -> torch.Tensor:
        """Returns the input's value that each of the output's is, [axis.target], for `nearest`."""
        whole = _NEAREST[self.nearest_mode](self.positions(axis, torch.float32), axis.scale)
        return whole.clamp(0, axis.size - 1).to(torch.int64)

    def weights(self, axis: Axis) -> torch.Tensor:
        """Returns the share of each input value in each output value, [axis.target, axis.size]."""
        x = self.positions(axis, torch.float64)[:, None]
        # `antialias` stretches the filter by max(1, 1 / scale).
        shrink = min(axis.scale, 1.0) if self.antialias else 1.0
        reach = math.ceil(_REACH[self.mode] / shrink)
        taps = x.detach().floor() + torch.arange(1 - reach, reach + 1, device=x.device)
        shares = self._kernel((taps - x).abs() * shrink)
        if self.exclude_outside:
            shares = torch.where((taps >= 0) & (taps < axis.size), shares, 0.0)
        sums = shares.sum(1, keepdim=True)
        shares = shares / torch.where(sums == 0, 1.0, sums)
        # Beyond its ends an axis goes on with its first and last value.
        inside = taps.clamp(0, axis.size - 1).to(torch.int64)
        return shares.new_zeros(axis.target, axis.size).scatter_add(1, inside, shares)

    def outside(self, axis: Axis) -> torch.Tensor:
        """Returns which values of the output are `extrapolation_value`, [axis.target]."""
        x = self.positions(axis, torch.float32)
        return (x < 0) | (x > axis.size - 1)

    def _kernel(self, t: torch.Tensor) -> torch.Tensor:
        if self.mode == "linear":
            return torch.where(t < 1, 1.0 - t, 0.0)
        # Keys, Cubic Convolution Interpolation for Digital Image Processing, equation 4.
        a = self.cubic_coeff_a
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        return torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))

    def crops(self) -> bool:
        """Returns whether there is a region of interest, beyond which nothing is seen."""
        return self.coordinate_transformation_mode == "tf_crop_and_resize"

    def repeats(self, axis: Axis) -> bool:
        """Returns whether every value of the input simply comes `scale` times."""
        how = (self.coordinate_transformation_mode, self.nearest_mode)
        whole = axis.scale.is_integer() and axis.target == axis.scale * axis.size
        return whole and self.mode == "nearest" and how in _REPEATING


def _computed(
    rule: Rule, axis: Axis, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns weights (or indices) and what lies outside, None if nothing does, on a device."""
    how = rule.indices(axis) if rule.mode == "nearest" else rule.weights(axis).to(dtype)
    return how.to(device), rule.outside(axis).to(device) if rule.crops() else None


@functools.lru_cache(maxsize=64)
def _stored(
    rule: Rule, axis: Axis, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    # A later call may want gradients, which tensors that were made for inference alone refuse.
    with torch.inference_mode(False):
        return _computed(rule, axis, dtype, device)


def _resized(
    x: torch.Tensor, rule: Rule, axes: Iterator[tuple[int, Axis]], extrapolation: float = 0.0
) -> torch.Tensor:
    whole = not (x.is_floating_point() or x.is_complex())
    wide = x
    if rule.mode != "nearest":
        wide = x.double() if whole else x.to(torch.promote_types(x.dtype, torch.float32))
    for dim, axis in axes:
        wide = _along(wide, rule, dim, axis, extrapolation)
    # Of integers, as in ONNX Runtime, what follows the point is cut off; 6.9999999 is 7.
    rounds = whole and rule.mode != "nearest"
    return (wide.round(decimals=6) if rounds else wide).to(x.dtype)


def _along(x: torch.Tensor, rule: Rule, dim: int, axis: Axis, extrapolation: float) -> torch.Tensor:
    if rule.repeats(axis):
        times = int(axis.scale)
        shape = [*x.shape[: dim + 1], times, *x.shape[dim + 1 :]]
        return x.unsqueeze(dim + 1).expand(shape).flatten(dim, dim + 1)
    # Tensors of a trace, or of a region that the graph computes, are not to be kept.
    fixed = type(x) is torch.Tensor and not isinstance(axis.start, torch.Tensor)
    how, outside = (_stored if fixed else _computed)(rule, axis, x.dtype, x.device)
    if rule.mode == "nearest":
        x = x.index_select(dim, how)
    elif dim == x.ndim - 1:
        x = x @ how.T
    else:
        x = (how @ x.movedim(dim, -2)).movedim(-2, dim)
    if outside is not None:
        x = x.masked_fill(outside.reshape(-1, *[1] * (x.ndim - 1 - dim)), extrapolation)
    return x


def _floats(value: Stored) -> list[float]:
    """Returns scales or sizes; none where they are blank or empty."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    return [float(v) for v in value] if isinstance(value, Sequence) else []


def _single(value: float) -> float:
    """Returns the number of float32 that is nearest."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(mantissa, 24)), exponent - 24)


def _axes(
    shape: torch.Size,
    scales: Sequence[float],
    sizes: Sequence[float] = (),
    region: torch.Tensor | Sequence[float] = (),
    axes: Sequence[int] | None = None,
    policy: str = "stretch",
) -> Iterator[tuple[int, Axis]]:
    """Yields the axes that change, with their places in `shape`."""
    dims = [d % len(shape) for d in (axes or range(len(shape)))]
    lengths = [shape[d] for d in dims]
    if sizes:
        targets = [int(s) for s in sizes]
        scales = [t / n if n else 1.0 for t, n in zip(targets, lengths, strict=True)]
        if policy not in ("stretch", "not_larger", "not_smaller"):
            raise SupportError(f"Resize with keep_aspect_ratio_policy `{policy}`")
        if policy != "stretch":
            chosen = min(scales) if policy == "not_larger" else max(scales)
            scales = [chosen] * len(dims)
            targets = [math.floor(chosen * n + 0.5) for n in lengths]
    else:
        # In float32, as onnx infers shapes: 3 · 2.3333333 is 7. The definition's words multiply by
        # the region's length too; neither onnx's code nor ONNX Runtime does.
        targets = [math.floor(_single(s * n)) for s, n in zip(scales, lengths, strict=True)]
    whole = [0.0] * len(dims) + [1.0] * len(dims)
    bounds: Any = region if len(region) else whole
    starts, ends = bounds[: len(dims)], bounds[len(dims) :]
    known = not isinstance(bounds, torch.Tensor)
    for d, n, target, scale, start, end in zip(
        dims, lengths, targets, scales, starts, ends, strict=True
    ):
        if [n, scale] != [target, 1.0] or not known or [start, end] != [0.0, 1.0]:
            yield d, Axis(n, target, scale, start, end)


@operator("Resize", 11, 13, 18, 19, stored=(1, 2, 3))
def _resize(
    x: torch.Tensor,
    roi: Stored = None,
    scales: Stored = None,
    sizes: Stored = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> torch.Tensor:
    rule = Rule(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        exclude_outside,
        antialias,
    )
    region: torch.Tensor | Sequence[float] = ()
    if rule.crops():
        region = roi if isinstance(roi, torch.Tensor) else _floats(roi)
    changed = _axes(
        x.shape, _floats(scales), _floats(sizes), region, axes, keep_aspect_ratio_policy
    )
    return _resized(x, rule, changed, extrapolation_value)


@operator("Resize", 10, stored=(1,))
@operator("Upsample", 7, 9, 10, stored=(1,))
def _upsample(x: torch.Tensor, scales: Stored, *, mode: str = "nearest") -> torch.Tensor:
    """Scales that are an attribute, as in Upsample 7, come in the place of the input."""
    return _resized(x, _old_rule(mode), _axes(x.shape, _floats(scales)))


@operator("Upsample", 1)
def _upsample_1(
    x: torch.Tensor, *, height_scale: float, width_scale: float, mode: str = "nearest"
) -> torch.Tensor:
    scales = [1.0, 1.0, height_scale, width_scale]
    return _resized(x, _old_rule(mode), _axes(x.shape, scales))


def _old_rule(mode: str) -> Rule:
    return Rule("linear" if mode == "bilinear" else mode, "asymmetric", "before 11")
