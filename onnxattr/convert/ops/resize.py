"""Resize and Upsample: every axis has its own matrix of weights, built from ONNX's definition.

ONNX interpolates each axis alone, so a resized axis is a matrix product, [out, in] by [in, …], and
its gradient is exact. Names in back-ticks below are those of the operator's definition:
https://onnx.ai/onnx/operators/onnx__Resize.html
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator

Floats = npt.NDArray[np.floating[Any]]


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
    start: float = 0.0
    end: float = 1.0


def _crop(y: Floats, a: Axis) -> Floats:
    if a.target == 1:
        return 0 * y + 0.5 * (a.start + a.end) * (a.size - 1)
    return a.start * (a.size - 1) + y * (a.end - a.start) * (a.size - 1) / (a.target - 1)


#: `x_original` of `x_resized`, by `coordinate_transformation_mode`, each formula as ONNX gives it.
#: For `align_corners` that is with the whole `length_resized`, as ONNX Runtime and torch have it
#: too; onnx's reference puts `scale` · `length_original` there, which may be a fraction.
_POSITIONS: dict[str, Callable[[Floats, Axis], Floats]] = {
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
_NEAREST: dict[str, Callable[[Floats, float], Floats]] = {
    "round_prefer_floor": lambda x, scale: np.ceil(x.round(5) - 0.5),
    "round_prefer_ceil": lambda x, scale: np.floor(x.round(5) + 0.5),
    "floor": lambda x, scale: np.floor(x),
    "ceil": lambda x, scale: np.ceil(x),
    "before 11": lambda x, scale: np.ceil(x) if scale < 1 else np.floor(x),
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
                raise NotImplementedError(f"Resize with {name} `{getattr(self, name)}`")

    def positions(self, axis: Axis, dtype: type[np.floating[Any]]) -> Floats:
        """Returns the place in the input of every value of the output, [axis.target].

        What is decided by them, such as the nearest value, depends on the last digit: there they
        are computed in float32, step by step, as ONNX Runtime does. 1.5 / 0.6 − 0.5 is 2 so.
        """
        y = np.arange(axis.target, dtype=dtype)
        return _POSITIONS[self.coordinate_transformation_mode](y, axis).astype(np.float64)

    def indices(self, axis: Axis) -> npt.NDArray[np.int64]:
        """Returns the input's value that each of the output's is, [axis.target], for `nearest`."""
        whole = _NEAREST[self.nearest_mode](self.positions(axis, np.float32), axis.scale)
        return np.clip(whole, 0, axis.size - 1).astype(np.int64)

    def weights(self, axis: Axis) -> Floats:
        """Returns the share of each input value in each output value, [axis.target, axis.size]."""
        x = self.positions(axis, np.float64)[:, None]
        # `antialias` stretches the filter by max(1, 1 / scale).
        shrink = min(axis.scale, 1.0) if self.antialias else 1.0
        reach = math.ceil(_REACH[self.mode] / shrink)
        taps = np.floor(x).astype(np.int64) + np.arange(1 - reach, reach + 1)
        shares = self._kernel(np.abs(taps - x) * shrink)
        if self.exclude_outside:
            shares = np.where((taps >= 0) & (taps < axis.size), shares, 0.0)
        sums = shares.sum(axis=1, keepdims=True)
        shares = shares / np.where(sums == 0, 1.0, sums)
        matrix = np.zeros((axis.target, axis.size))
        # Beyond its ends an axis goes on with its first and last value.
        inside = np.clip(taps, 0, axis.size - 1)
        np.add.at(matrix, (np.arange(axis.target)[:, None], inside), shares)
        return matrix

    def outside(self, axis: Axis) -> npt.NDArray[np.bool_]:
        """Returns which values of the output are `extrapolation_value`, [axis.target]."""
        if self.coordinate_transformation_mode != "tf_crop_and_resize":
            return np.zeros(axis.target, bool)
        x = self.positions(axis, np.float32)
        return (x < 0) | (x > axis.size - 1)

    def _kernel(self, t: Floats) -> Floats:
        if self.mode == "linear":
            return np.where(t < 1, 1.0 - t, 0.0)
        # Keys, Cubic Convolution Interpolation for Digital Image Processing, equation 4.
        a = self.cubic_coeff_a
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


@functools.lru_cache(maxsize=64)
def _stored(
    rule: Rule, axis: Axis, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns weights (or indices) and what lies outside, None if nothing does, on a device."""
    # A later call may want gradients, which tensors that were made for inference alone refuse.
    with torch.inference_mode(mode=False):
        if rule.mode == "nearest":
            how = torch.from_numpy(rule.indices(axis)).to(device)
        else:
            how = torch.from_numpy(rule.weights(axis)).to(device, dtype)
        outside = rule.outside(axis)
        return how, torch.from_numpy(outside).to(device) if outside.any() else None


class Resize(nn.Module):
    """ONNX Resize: `nearest`, `linear` or `cubic` interpolation along any axes.

    Args:
        rule: How an axis is interpolated.
        stored: `roi`, `scales` or `sizes`, as far as the graph stores them.
        computed: Names of those that it computes: they are the further inputs, in this order.
        axes: What these refer to; None for all axes.
        policy: `keep_aspect_ratio_policy`.
        extrapolation: `extrapolation_value`.
    """

    def __init__(
        self,
        rule: Rule,
        stored: Mapping[str, Sequence[float]],
        computed: Sequence[str] = (),
        axes: Sequence[int] | None = None,
        policy: str = "stretch",
        extrapolation: float = 0.0,
    ) -> None:
        super().__init__()
        self.rule, self.stored, self.computed = rule, dict(stored), tuple(computed)
        self.axes, self.policy, self.extrapolation = axes, policy, extrapolation

    def forward(self, x: torch.Tensor, *computed: torch.Tensor) -> torch.Tensor:
        if not (x.is_floating_point() or self.rule.mode == "nearest"):
            # As in ONNX Runtime, what follows the point is cut off.
            return self.forward(x.double(), *computed).to(x.dtype)
        values = (value.tolist() for value in computed)
        given = {**self.stored, **dict(zip(self.computed, values, strict=True))}
        for dim, axis in self._resized(x.shape, given):
            x = self._along(x, dim, axis)
        return x

    def _resized(
        self, shape: torch.Size, given: Mapping[str, Sequence[float]]
    ) -> Iterator[tuple[int, Axis]]:
        """Yields the axes that change, with their places in `shape`."""
        dims = [d % len(shape) for d in (self.axes or range(len(shape)))]
        lengths = [shape[d] for d in dims]
        roi = given.get("roi") or [0.0] * len(dims) + [1.0] * len(dims)
        starts, ends = roi[: len(dims)], roi[len(dims) :]
        if sizes := given.get("sizes"):
            targets = [int(s) for s in sizes]
            scales: Sequence[float] = [t / n for t, n in zip(targets, lengths, strict=True)]
            if self.policy != "stretch":
                scales = [{"not_larger": min, "not_smaller": max}[self.policy](scales)] * len(dims)
                targets = [math.floor(s * n + 0.5) for s, n in zip(scales, lengths, strict=True)]
        else:
            scales = given["scales"]
            # In float32, as onnx infers shapes: 3 · 2.3333333 is 7. The definition's words
            # multiply by the region's length too; neither onnx's code nor ONNX Runtime does.
            targets = [
                math.floor(np.float32(s) * np.float32(n))
                for s, n in zip(scales, lengths, strict=True)
            ]
        for d, *axis in zip(dims, lengths, targets, scales, starts, ends, strict=True):
            if axis != [shape[d], shape[d], 1.0, 0.0, 1.0]:
                yield d, Axis(*axis)

    def _along(self, x: torch.Tensor, dim: int, axis: Axis) -> torch.Tensor:
        how, outside = _stored(self.rule, axis, x.dtype, x.device)
        if self.rule.mode == "nearest":
            x = x.index_select(dim, how)
        elif dim == x.ndim - 1:
            x = x @ how.T
        else:
            x = (how @ x.movedim(dim, -2)).movedim(-2, dim)
        if outside is not None:
            x = x.masked_fill(outside.reshape(-1, *[1] * (x.ndim - 1 - dim)), self.extrapolation)
        return x


def _inputs(
    node: OnnxNode, graph: OnnxGraph, *names: str
) -> tuple[dict[str, Sequence[float]], dict[str, str]]:
    """Returns the inputs after the first, by `names`: what is stored, and values' names."""
    given = {n: v for n, v in zip(names, node.input_values[1:], strict=False) if n and v}
    stored = {
        name: graph.initializers[value].to_torch().tolist()
        for name, value in given.items()
        if value in graph.initializers
    }
    return stored, {name: value for name, value in given.items() if name not in stored}


# onnx2torch takes every coordinate transformation for torch's, and rounds all positions down.
@operator("Resize", 11, 13, 18, 19)
def _resize(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    given = node.attributes
    rule = Rule(**{name: given[name] for name in Rule.__dataclass_fields__ if name in given})
    crop = rule.coordinate_transformation_mode == "tf_crop_and_resize"
    stored, computed = _inputs(node, graph, "roi" if crop else "", "scales", "sizes")
    axes, policy = given.get("axes"), given.get("keep_aspect_ratio_policy", "stretch")
    module = Resize(rule, stored, [*computed], axes, policy, given.get("extrapolation_value", 0.0))
    return module, [node.input_values[0], *computed.values()]


@operator("Upsample", 7, 9)
@operator("Resize", 10)
def _scale(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    rule = Rule(node.attributes.get("mode", "nearest"), "asymmetric", "before 11")
    stored, computed = _inputs(node, graph, "scales")
    stored = {"scales": node.attributes["scales"]} if "scales" in node.attributes else stored
    return Resize(rule, stored, [*computed]), [node.input_values[0], *computed.values()]
