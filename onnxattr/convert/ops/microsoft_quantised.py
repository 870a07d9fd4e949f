"""Quantised operators of ONNX Runtime: elementwise ones, pools, and what works on steps at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.quantised import from_steps, kind_of, straight, to_steps
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.windows import ones, padded, pads_of

Zero = torch.Tensor | None


@operator("com.microsoft.QLinearAdd")
def _qlinear_add(
    a: torch.Tensor,
    a_scale: torch.Tensor,
    a_zero: Zero,
    b: torch.Tensor,
    b_scale: torch.Tensor,
    b_zero: Zero,
    c_scale: torch.Tensor,
    c_zero: Zero = None,
    *,
    carry: int = 0,
) -> torch.Tensor:
    # In ONNX Runtime's order: all zero points go into one number, and rounding comes last. Where
    # the scales have a simple ratio, many sums are ties, which another order rounds differently.
    a_ratio, b_ratio = a_scale / c_scale, b_scale / c_scale
    offset = a_scale.new_zeros(()) if c_zero is None else c_zero.to(a_scale.dtype)
    shift = (0 if a_zero is None else a_ratio * a_zero) + (
        0 if b_zero is None else b_ratio * b_zero
    )
    number = (a * a_ratio + (offset - shift)) + b * b_ratio
    return to_steps(number, None, _kind(c_zero, a), carry)


@operator("com.microsoft.QLinearMul")
def _qlinear_mul(
    a: torch.Tensor,
    a_scale: torch.Tensor,
    a_zero: Zero,
    b: torch.Tensor,
    b_scale: torch.Tensor,
    b_zero: Zero,
    c_scale: torch.Tensor,
    c_zero: Zero = None,
    *,
    carry: int = 0,
) -> torch.Tensor:
    # The product of the steps is exact, and is scaled once.
    one = torch.ones_like(a_scale)
    product = from_steps(a, one, a_zero) * from_steps(b, one, b_zero)
    number = product * (a_scale * b_scale / c_scale)
    return to_steps(number, c_zero, _kind(c_zero, a), carry)


@operator("com.microsoft.QLinearSigmoid")
def _qlinear_sigmoid(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y_scale: torch.Tensor,
    y_zero: Zero = None,
    *,
    carry: int = 0,
) -> torch.Tensor:
    y = torch.sigmoid(from_steps(x, x_scale, x_zero))
    return _requantised(y, y_scale, y_zero, x, carry)


@operator("com.microsoft.QLinearLeakyRelu")
def _qlinear_leaky_relu(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y_scale: torch.Tensor,
    y_zero: Zero = None,
    *,
    alpha: float = 0.01,
    carry: int = 0,
) -> torch.Tensor:
    y = F.leaky_relu(from_steps(x, x_scale, x_zero), alpha)
    return _requantised(y, y_scale, y_zero, x, carry)


@operator("com.microsoft.QLinearSoftmax")
def _qlinear_softmax(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y_scale: torch.Tensor,
    y_zero: Zero = None,
    *,
    opset: int,
    axis: int = -1,
    carry: int = 0,
) -> torch.Tensor:
    number = from_steps(x, x_scale, x_zero)
    if opset >= 13:
        y = number.softmax(axis)
    else:
        y = number.flatten(axis % x.ndim).softmax(-1).reshape(x.shape)
    # ONNX Runtime computes in integers, of which the number of steps is one.
    count = 1 / y_scale
    return to_steps(y * straight(count, count.floor()), y_zero, _kind(y_zero, x), carry)


@operator("com.microsoft.QLinearReduceMean")
def _qlinear_reduce_mean(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y_scale: torch.Tensor,
    y_zero: Zero = None,
    *,
    axes: Sequence[int] = (),
    keepdims: int = 1,
    carry: int = 0,
) -> torch.Tensor:
    dims = list(axes or range(x.ndim))
    y = from_steps(x, x_scale, x_zero).mean(dims, keepdim=bool(keepdims))
    return _requantised(y, y_scale, y_zero, x, carry)


@operator("com.microsoft.QLinearWhere")
def _qlinear_where(
    condition: torch.Tensor,
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y: torch.Tensor,
    y_scale: torch.Tensor,
    y_zero: Zero,
    z_scale: torch.Tensor,
    z_zero: Zero = None,
    *,
    carry: int = 0,
) -> torch.Tensor:
    z = torch.where(condition, from_steps(x, x_scale, x_zero), from_steps(y, y_scale, y_zero))
    return _requantised(z, z_scale, z_zero, x, carry)


@operator("com.microsoft.QLinearConcat")
def _qlinear_concat(
    y_scale: torch.Tensor,
    y_zero: Zero,
    *inputs: torch.Tensor,
    axis: int,
    carry: int = 0,
) -> torch.Tensor:
    numbers = [
        from_steps(x, scale, zero)
        for x, scale, zero in zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True)
    ]
    return _requantised(torch.cat(numbers, axis), y_scale, y_zero, inputs[0], carry)


@operator("com.microsoft.QLinearGlobalAveragePool")
def _qlinear_global_average_pool(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y_scale: torch.Tensor,
    y_zero: Zero = None,
    *,
    channels_last: int = 0,
    carry: int = 0,
) -> torch.Tensor:
    axes = list(range(1, x.ndim - 1) if channels_last else range(2, x.ndim))
    y = from_steps(x, x_scale, x_zero).mean(axes, keepdim=True)
    return _requantised(y, y_scale, y_zero, x, carry)


@operator("com.microsoft.QLinearAveragePool")
def _qlinear_average_pool(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero: Zero,
    y_scale: torch.Tensor,
    y_zero: Zero = None,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    carry: int = 0,
) -> torch.Tensor:
    number = from_steps(x, x_scale, x_zero)
    number = number.movedim(-1, 1) if channels_last else number
    kernel = list(kernel_shape)
    steps = ones(strides, len(kernel))
    sides = pads_of(auto_pad, pads, number.shape[2:], kernel, steps)
    # The sum over what there is, divided by how much counts of it.
    counted = padded(torch.ones_like(number[:1, :1]), sides, float(bool(count_include_pad)))
    total = _window_sums(padded(number, sides), kernel, steps, ceil_mode)
    y = total / _window_sums(counted, kernel, steps, ceil_mode)
    y = y.movedim(1, -1) if channels_last else y
    return _requantised(y, y_scale, y_zero, x, carry)


@operator("com.microsoft.MulInteger", gradient=False)
def _mul_integer(
    a: torch.Tensor, a_zero: Zero, b: torch.Tensor, b_zero: Zero = None
) -> torch.Tensor:
    left, right = a.to(torch.int32), b.to(torch.int32)
    left = left if a_zero is None else left - a_zero
    return left * (right if b_zero is None else right - b_zero)


@operator("com.microsoft.ReduceSumInteger", gradient=False)
def _reduce_sum_integer(x: torch.Tensor, *, axes: Sequence[int], keepdims: int = 1) -> torch.Tensor:
    if x.dtype is torch.uint8:
        wide = x.sum(list(axes), keepdim=bool(keepdims), dtype=torch.int64)
        return wide.to(torch.uint32)
    return x.sum(list(axes), keepdim=bool(keepdims), dtype=torch.int32)


def _window_sums(
    x: torch.Tensor, kernel: list[int], strides: list[int], ceil_mode: int
) -> torch.Tensor:
    if len(kernel) == 3:
        return F.avg_pool3d(x, kernel, strides, 0, bool(ceil_mode), divisor_override=1)
    if len(kernel) == 2:
        return F.avg_pool2d(x, kernel, strides, 0, bool(ceil_mode), divisor_override=1)
    # The one over a single axis always divides.
    return _window_sums(x.unsqueeze(2), [1, *kernel], [1, *strides], ceil_mode).squeeze(2)


def _requantised(
    number: torch.Tensor, scale: torch.Tensor, zero: Zero, like: torch.Tensor, carry: int
) -> torch.Tensor:
    return to_steps(number / scale, zero, _kind(zero, like), carry)


def _kind(zero: Zero, like: torch.Tensor) -> int:
    """Returns the ONNX type of a result: its zero point's, or that of the first input."""
    if zero is not None or like.dtype is torch.float32:
        return kind_of(zero)
    return kind_of(like)
