"""Pooling over windows: maxima with their places, averages and norms, and their inverse.

A pool is one call of torch where torch allows its pads; otherwise the input is padded first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import Stored, integers
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.windows import Pads, hang, ones, padded, pads_of, reaches
from onnxattr.errors import SupportError

_SUMS: dict[int, Callable[..., torch.Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_MEANS: dict[int, Callable[..., torch.Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def _geometry(
    x: torch.Tensor,
    kernel: Sequence[int],
    auto_pad: str,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
) -> tuple[list[int], list[int], list[int], Pads]:
    """Returns strides, dilations, reaches and pads of a pool over `x`."""
    steps, dilated = ones(strides, len(kernel)), ones(dilations, len(kernel))
    reach = reaches(kernel, dilated)
    return steps, dilated, reach, pads_of(auto_pad, pads, x.shape[2:], reach, steps)


def _is_native(pads: Pads, kernel: Sequence[int]) -> bool:
    """Returns whether torch has such a pool, and takes these pads itself."""
    begin, end = pads
    fit = all(0 <= 2 * p <= k for p, k in zip(begin, kernel, strict=True))
    return begin == end and fit and len(kernel) in _MEANS


def _axis_by_axis(
    pool: Callable[..., torch.Tensor], x: torch.Tensor, *windows: Sequence[int]
) -> torch.Tensor:
    """Returns a pool over any number of axes: maxima and sums may take one after the other."""
    for axis, window in enumerate(zip(*windows, strict=True), start=2):
        lines = x.movedim(axis, -1)
        pooled = pool(lines.reshape(-1, 1, lines.shape[-1]), *([v] for v in window))
        x = pooled.reshape(*lines.shape[:-1], pooled.shape[-1]).movedim(-1, axis)
    return x


@operator("MaxPool", 1, 8, 10, 11, 12, 22)
def _max_pool(
    x: torch.Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
    outputs: int = 1,
) -> tuple[torch.Tensor, ...]:
    """Returns the maximum of every window, and its place in the whole input; pads never win."""
    steps, dilated, reach, at_ends = _geometry(x, kernel_shape, auto_pad, pads, strides, dilations)
    pool = _MAXIMA.get(len(kernel_shape), _maxima)
    native = _is_native(at_ends, kernel_shape) and x.is_floating_point()
    if native:
        whole, shift = x, at_ends[0]
        result = pool(
            x,
            kernel_shape,
            steps,
            shift,
            dilated,
            ceil_mode=bool(ceil_mode),
            return_indices=outputs > 1,
        )
    else:
        # Integers of 8 bits, which torch hardly pools, are exact as floats.
        lowest = float("-inf") if x.is_floating_point() else float(torch.iinfo(x.dtype).min)
        whole = padded(x if x.is_floating_point() else x.float(), at_ends, lowest)
        if ceil_mode:
            more = hang(x.shape[2:], reach, steps, at_ends)
            whole = padded(whole, ([0] * len(more), more), lowest)
        shift = [0] * len(reach)
        result = pool(whole, kernel_shape, steps, 0, dilated, return_indices=outputs > 1)
    if outputs == 1:
        return (result.to(x.dtype),)
    y, places = result
    if native:
        return y, _whole_places(places, x, x.shape[2:], [0] * len(reach), storage_order)
    return y.to(x.dtype), _whole_places(places, x, whole.shape[2:], at_ends[0], storage_order)


def _maxima(
    x: torch.Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: int,
    dilations: Sequence[int],
    *,
    return_indices: bool,
) -> torch.Tensor:
    if return_indices:
        raise SupportError(f"the places of maxima over {len(kernel)} axes")
    return _axis_by_axis(_maxima_of_lines, x, kernel, strides, dilations)


def _maxima_of_lines(
    x: torch.Tensor, kernel: list[int], strides: list[int], dilations: list[int]
) -> torch.Tensor:
    return F.max_pool1d(x, kernel, strides, 0, dilations)


def _whole_places(
    places: torch.Tensor,
    x: torch.Tensor,
    size: Sequence[int],
    begin: Sequence[int],
    storage_order: int,
) -> torch.Tensor:
    """Returns places in a padded plane of `size` as places in the whole of `x`.

    With `storage_order` the first axis of a plane runs fastest, as in a matrix by columns.
    """
    at = []
    for n, shift in zip(reversed(size), reversed(begin), strict=True):
        at.append(places % n - shift)
        places = places // n
    at.reverse()
    axes = list(zip(at, x.shape[2:], strict=True))
    place = torch.zeros_like(places)
    for here, n in reversed(axes) if storage_order else axes:
        place = place * n + here
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(x.shape[2:])
    return place + planes.reshape(*x.shape[:2], *[1] * len(size))


@operator("AveragePool", 1, 7, 10, 11, 19, 22)
def _average_pool(
    x: torch.Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    """Returns the mean over a window, of the values inside, or of its pads too.

    Where torch lacks the pads, sums over a zero-padded input are divided by sums over the padded
    indicator of what counts: so windows that `ceil_mode` lets hang over the end are right too.
    """
    steps, dilated, reach, at_ends = _geometry(x, kernel_shape, auto_pad, pads, strides, dilations)
    if (
        _is_native(at_ends, kernel_shape)
        and max(dilated, default=1) == 1
        and _has_means(x, kernel_shape)
    ):
        mean = _MEANS[len(kernel_shape)]
        return mean(x, kernel_shape, steps, at_ends[0], bool(ceil_mode), bool(count_include_pad))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inside = wide.new_ones((1, 1, *x.shape[2:]))
    counted = padded(inside, at_ends, 1.0 if count_include_pad else 0.0)
    wide = padded(wide, at_ends)
    if ceil_mode:
        more = hang(x.shape[2:], reach, steps, at_ends)
        wide, counted = (padded(v, ([0] * len(more), more)) for v in (wide, counted))
    sums = _sums(wide, kernel_shape, steps, dilated)
    return (sums / _sums(counted, kernel_shape, steps, dilated)).to(x.dtype)


def _has_means(x: torch.Tensor, kernel: Sequence[int]) -> bool:
    # torch has no means over three axes of half precision on the CPU.
    return len(kernel) < 3 or x.itemsize > 2 or x.device.type != "cpu"


def _sums(
    x: torch.Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> torch.Tensor:
    """Returns the sum of every window over the axes after the first two."""
    if len(kernel) not in _MEANS:
        return _axis_by_axis(_sums, x, kernel, strides, dilations)
    if all(d == 1 for d in dilations):
        return _MEANS[len(kernel)](x, kernel, strides) * math.prod(kernel)
    # torch averages no dilated windows.
    single = x.reshape(-1, 1, *x.shape[2:])
    weight = x.new_ones((1, 1, *kernel))
    sums = _SUMS[len(kernel)](single, weight, None, strides, 0, dilations)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


@operator("LpPool", 1, 2, 11, 18, 22)
def _lp_pool(
    x: torch.Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    p: float = 2,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    steps, dilated, reach, at_ends = _geometry(x, kernel_shape, auto_pad, pads, strides, dilations)
    wide = padded(x.to(torch.promote_types(x.dtype, torch.float32)), at_ends)
    if ceil_mode:
        more = hang(x.shape[2:], reach, steps, at_ends)
        wide = padded(wide, ([0] * len(more), more))
    return _root(_sums(_power(wide, p), kernel_shape, steps, dilated), p).to(x.dtype)


def _power(x: torch.Tensor, p: float) -> torch.Tensor:
    return x * x if p == 2 else x.abs() if p == 1 else x.abs().pow(p)


def _root(sums: torch.Tensor, p: float) -> torch.Tensor:
    """Returns the p-th root, whose gradient at zero is taken as zero, as that of any norm."""
    positive = sums > 0
    root = torch.where(positive, sums, 1.0) ** (1 / p)
    return torch.where(positive, root, torch.zeros_like(sums))


@operator("GlobalAveragePool", 1, 22)
def _global_average_pool(x: torch.Tensor) -> torch.Tensor:
    axes = tuple(range(2, x.ndim))
    return x.mean(axes, keepdim=True) if axes else x


@operator("GlobalMaxPool", 1, 22)
def _global_max_pool(x: torch.Tensor) -> torch.Tensor:
    axes = tuple(range(2, x.ndim))
    return x.amax(axes, keepdim=True) if axes else x


@operator("GlobalLpPool", 1, 2, 22)
def _global_lp_pool(x: torch.Tensor, *, p: float = 2) -> torch.Tensor:
    axes = tuple(range(2, x.ndim))
    if not axes:
        return x.abs()
    wide = _power(x.to(torch.promote_types(x.dtype, torch.float32)), p)
    return _root(wide.sum(axes, keepdim=True), p).to(x.dtype)


@operator("MaxUnpool", 9, 11, 22, stored=(2,))
def _max_unpool(
    x: torch.Tensor,
    places: torch.Tensor,
    output_shape: Stored = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    axes = len(kernel_shape)
    steps = ones(strides, axes)
    begin, end = pads_of("NOTSET", pads, x.shape[2:], kernel_shape, steps)
    shape = integers(output_shape) or [
        *x.shape[:2],
        *(
            (n - 1) * s - p - e + k
            for n, s, p, e, k in zip(x.shape[2:], steps, begin, end, kernel_shape, strict=True)
        ),
    ]
    flat = x.new_zeros(math.prod(shape))
    return flat.scatter(0, places.reshape(-1), x.reshape(-1)).reshape(shape)
