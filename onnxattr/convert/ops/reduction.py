"""Reductions along axes, which are an attribute of early versions and an input of later ones."""

import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import UNSIGNED, Stored, integers, number, widened
from onnxattr.convert.ops.ordering import ordered, unordered
from onnxattr.convert.ops.table import operator

#: A reduction of a tensor along axes, of which it gets all, with sizes of one kept or not.
Reduction = Callable[[torch.Tensor, list[int], bool], torch.Tensor]

_FIRST = (1, 11, 13)


def _reduce(
    reduction: Reduction, x: torch.Tensor, axes: Stored, keepdims: int, noop: int
) -> torch.Tensor:
    chosen = integers(axes)
    if chosen:
        return reduction(x, chosen, bool(keepdims))
    if noop:
        # Each number is a set of its own: what is not summed may be squared all the same.
        return reduction(x.unsqueeze(-1), [-1], False)
    return reduction(x, list(range(x.ndim)), bool(keepdims))


def _count(x: torch.Tensor, axes: Sequence[int]) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def _in_double(reduction: Reduction) -> Reduction:
    """Returns `reduction` for integers too, with its result cut to an integer."""

    @functools.wraps(reduction)
    def compute(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
        if x.is_floating_point():
            return reduction(x, axes, keep)
        return reduction(x.double(), axes, keep).to(x.dtype)

    return compute


def _sum(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    if x.dtype in UNSIGNED:
        return x.to(torch.int64).sum(axes, keep).to(x.dtype)
    return x.sum(axes, keep, dtype=x.dtype)


@operator("ReduceSum", *_FIRST, stored=(1,))
def _reduce_sum(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_sum, x, axes, keepdims, noop_with_empty_axes)


def _sum_square(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return _sum(widened(torch.square)(x), axes, keep)


@operator("ReduceSumSquare", *_FIRST, 18, stored=(1,))
def _reduce_sum_square(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_sum_square, x, axes, keepdims, noop_with_empty_axes)


def _l1(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return _sum(widened(torch.abs)(x), axes, keep)


@operator("ReduceL1", *_FIRST, 18, stored=(1,))
def _reduce_l1(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_l1, x, axes, keepdims, noop_with_empty_axes)


@_in_double
def _l2(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    # Its gradient at zero is zero, where that of a square root is infinite.
    norm: torch.Tensor = torch.linalg.vector_norm(x, 2, axes, keep)
    return norm


@operator("ReduceL2", *_FIRST, 18, stored=(1,))
def _reduce_l2(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_l2, x, axes, keepdims, noop_with_empty_axes)


@_in_double
def _log_sum(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return x.sum(axes, keep).log()


@operator("ReduceLogSum", *_FIRST, 18, 28, stored=(1,))
def _reduce_log_sum(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_log_sum, x, axes, keepdims, noop_with_empty_axes)


@_in_double
def _log_sum_exp(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    if not _count(x, axes):
        return x.logsumexp(axes, keep)
    # The gradient of torch is NaN where all numbers are -inf, or one is inf.
    peak = x.detach().amax(axes, True)
    endless = peak.isinf()
    result = x.masked_fill(endless, 0.0).logsumexp(axes, True)
    result = torch.where(endless, peak, result)
    return result if keep else result.squeeze(axes)


@operator("ReduceLogSumExp", *_FIRST, 18, 28, stored=(1,))
def _reduce_log_sum_exp(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_log_sum_exp, x, axes, keepdims, noop_with_empty_axes)


def _mean(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    if x.is_floating_point():
        return x.mean(axes, keep)
    total = x.to(torch.int64).sum(axes, keep)
    return total.div(_count(x, axes), rounding_mode="trunc").to(x.dtype)


@operator("ReduceMean", *_FIRST, 18, stored=(1,))
def _reduce_mean(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_mean, x, axes, keepdims, noop_with_empty_axes)


def _prod(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    y = x.to(torch.int64) if x.dtype in UNSIGNED else x
    for axis in sorted((range(x.ndim)[axis] for axis in axes), reverse=True):
        y = y.prod(axis, keep, dtype=y.dtype)
    return y.to(x.dtype)


@operator("ReduceProd", *_FIRST, 18, stored=(1,))
def _reduce_prod(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_prod, x, axes, keepdims, noop_with_empty_axes)


def _max(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return _extreme(torch.amax, x, axes, keep)


def _min(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return _extreme(torch.amin, x, axes, keep)


def _extreme(
    function: Callable[[torch.Tensor, list[int], bool], torch.Tensor],
    x: torch.Tensor,
    axes: list[int],
    keep: bool,
) -> torch.Tensor:
    if not _count(x, axes):
        return torch.full_like(_sum(x, axes, keep), _of_nothing(x.dtype, function is torch.amax))
    if x.dtype in UNSIGNED:
        return unordered(function(ordered(x), axes, keep), x.dtype)
    return function(x, axes, keep)


def _of_nothing(dtype: torch.dtype, largest: bool) -> float:
    """Returns what the largest or the smallest of no numbers is."""
    if dtype.is_floating_point:
        return -math.inf if largest else math.inf
    if dtype is torch.bool:
        return not largest
    return torch.iinfo(dtype).min if largest else torch.iinfo(dtype).max


@operator("ReduceMax", 1, 11, 12, 13, 18, 20, stored=(1,))
def _reduce_max(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_max, x, axes, keepdims, noop_with_empty_axes)


@operator("ReduceMin", 1, 11, 12, 13, 18, 20, stored=(1,))
def _reduce_min(
    x: torch.Tensor, axes: Stored = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> torch.Tensor:
    return _reduce(_min, x, axes, keepdims, noop_with_empty_axes)


@operator("CumSum", 11, 14, stored=(1,))
def _cumulative_sum(
    x: torch.Tensor, axis: Stored, *, exclusive: int = 0, reverse: int = 0
) -> torch.Tensor:
    return _cumulative(torch.cumsum, x, axis, 0, bool(exclusive), bool(reverse))


@operator("CumProd", 26, stored=(1,))
def _cumulative_product(
    x: torch.Tensor, axis: Stored, *, exclusive: int = 0, reverse: int = 0
) -> torch.Tensor:
    return _cumulative(torch.cumprod, x, axis, 1, bool(exclusive), bool(reverse))


def _cumulative(
    function: Callable[..., torch.Tensor],
    x: torch.Tensor,
    axis: Stored,
    first: int,
    exclusive: bool,
    reverse: bool,
) -> torch.Tensor:
    along = range(x.ndim)[int(number(axis) or 0)]
    y = x.to(torch.int64) if x.dtype in UNSIGNED else x
    y = y.flip(along) if reverse else y
    if exclusive and y.numel():
        # Shifted by one, since taking the number off again would not be exact.
        y = F.pad(y, [0, 0] * (x.ndim - along - 1) + [1, -1], value=first)
    y = function(y, along, dtype=y.dtype)
    return (y.flip(along) if reverse else y).to(x.dtype)
