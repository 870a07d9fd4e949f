"""Products of quantised tensors: QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger.

Sums are exact, as ONNX Runtime's 32-bit ones are. torch has no fast product of integers with a
gradient, so they are computed in floating point that holds all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.quantised import kind_of, to_steps
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.windows import ones, padded, pads_of, reaches

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

#: The largest difference of two numbers of eight bits.
_LARGEST = 255

#: float32 holds every integer up to here.
_EXACT = 1 << 24

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@operator("MatMulInteger", 10)
def _matmul_integer(
    a: torch.Tensor,
    b: torch.Tensor,
    a_zero_point: torch.Tensor | None = None,
    b_zero_point: torch.Tensor | None = None,
    *,
    carry: int = 0,
) -> torch.Tensor:
    total = matmul(a, a_zero_point, b, b_zero_point)
    return total if carry else total.to(torch.int32)


@operator("ConvInteger", 10)
def _conv_integer(
    x: torch.Tensor,
    w: torch.Tensor,
    x_zero_point: torch.Tensor | None = None,
    w_zero_point: torch.Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    carry: int = 0,
) -> torch.Tensor:
    product = partial(
        convolve, group=group, pads=pads, strides=strides, dilations=dilations, auto_pad=auto_pad
    )
    total = conv(x, x_zero_point, w, w_zero_point, product)
    return total if carry else total.to(torch.int32)


@operator("QLinearMatMul", 10, 21)
def _qlinear_matmul(
    a: torch.Tensor,
    a_scale: torch.Tensor,
    a_zero_point: torch.Tensor,
    b: torch.Tensor,
    b_scale: torch.Tensor,
    b_zero_point: torch.Tensor,
    y_scale: torch.Tensor,
    y_zero_point: torch.Tensor,
    *,
    carry: int = 0,
) -> torch.Tensor:
    total = matmul(a, a_zero_point, b, b_zero_point)
    dtype = torch.promote_types(a_scale.dtype, torch.float32)
    scale = rows(a_scale.to(dtype)) * b_scale / rows(y_scale.to(dtype))
    return to_steps(total.to(dtype) * scale, rows(y_zero_point), kind_of(y_zero_point), carry)


@operator("QLinearConv", 10)
def _qlinear_conv(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero_point: torch.Tensor | None,
    w: torch.Tensor,
    w_scale: torch.Tensor,
    w_zero_point: torch.Tensor | None,
    y_scale: torch.Tensor,
    y_zero_point: torch.Tensor | None,
    bias: torch.Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    carry: int = 0,
) -> torch.Tensor:
    product = partial(
        convolve, group=group, pads=pads, strides=strides, dilations=dilations, auto_pad=auto_pad
    )
    total = conv(x, x_zero_point, w, w_zero_point, product)
    kind = kind_of(x_zero_point if y_zero_point is None else y_zero_point)
    factor = x_scale * w_scale / y_scale
    return requantised_conv(total, bias, factor, y_zero_point, kind, carry)


def requantised_conv(
    total: torch.Tensor,
    bias: torch.Tensor | None,
    factor: torch.Tensor,
    zero: torch.Tensor | None,
    kind: int,
    carry: int,
) -> torch.Tensor:
    """Returns the steps of a convolution's sums.

    Args:
        total: The sums.
        bias: In their units.
        factor: One number in float32, or one for each channel, as ONNX Runtime has it.
        zero: Of the result.
        kind: The ONNX type of the result.
        carry: See `to_steps`.
    """
    if bias is not None:
        total = wide(total) + channels(bias, total.ndim)
    number = total.to(torch.promote_types(factor.dtype, torch.float32))
    return to_steps(number * channels(factor, total.ndim), zero, kind, carry)


def matmul(
    a: torch.Tensor,
    a_zero: torch.Tensor | None,
    b: torch.Tensor,
    b_zero: torch.Tensor | None,
) -> torch.Tensor:
    """Returns the exact matrix product of steps, as floating point.

    Zero points are scalars, a number for each row of `a` and each column of `b`, or broadcast.
    """
    left = steps(a) if a_zero is None else steps(a) - rows(a_zero)
    right = steps(b) if b_zero is None else steps(b) - b_zero
    return exact(torch.matmul, left, right, a.shape[-1])


def conv(
    x: torch.Tensor,
    x_zero: torch.Tensor | None,
    w: torch.Tensor,
    w_zero: torch.Tensor | None,
    product: Product,
) -> torch.Tensor:
    """Returns the exact convolution of steps, as floating point; pads are the zero point.

    Zero points are scalars, or one for each channel of the output for `w`.
    """
    left = steps(x) if x_zero is None else steps(x) - x_zero.reshape(())
    right = steps(w) if w_zero is None else steps(w) - channels(w_zero, w.ndim).movedim(1, 0)
    return exact(product, left, right, w[0].numel())


def exact(product: Product, a: torch.Tensor, b: torch.Tensor, terms: int) -> torch.Tensor:
    """Returns a product of integers of at most 255, as if it were computed in integers.

    Where float32 cannot hold the sums, one operand is taken apart into two digits, whose sums it
    can: on a CPU that takes twice as long as the plain product, where float64 takes 2 to 16 times
    as long. The gradient goes the way of the lower digit, whose derivative is 1.

    Args:
        product: Bilinear.
        a: Integers as floating point, of at most 255.
        b: Likewise.
        terms: How many products are summed.
    """
    if torch.float64 in (a.dtype, b.dtype):
        return product(a.to(torch.float64), b.to(torch.float64))
    if terms * _LARGEST**2 <= _EXACT:
        return product(a, b)
    if terms * 16 * _LARGEST > _EXACT:
        return product(wide(a), wide(b))
    upper = (a.detach() / 16).floor()
    return torch.add(wide(product(a - 16 * upper, b)), product(upper, b), alpha=16)


def wide(x: torch.Tensor) -> torch.Tensor:
    """Returns `x` in float64, which holds every sum; in float32 on the one device without it."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def steps(x: torch.Tensor) -> torch.Tensor:
    """Returns quantised numbers as floating point: those that are carried are so already."""
    return x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32)


def rows(value: torch.Tensor) -> torch.Tensor:
    """Returns one number for each row so that it broadcasts against a matrix."""
    return value.unsqueeze(-1) if value.ndim == 1 and value.shape[0] != 1 else value


def channels(value: torch.Tensor, ndim: int) -> torch.Tensor:
    """Returns one number for each channel so that it broadcasts against `ndim` axes."""
    return value.reshape(1, -1, *[1] * (ndim - 2))


def convolve(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
) -> torch.Tensor:
    """Returns the convolution of `x` by `w`, with the attributes of ONNX's Conv."""
    kernel = w.shape[2:]
    steps, spread = ones(strides, len(kernel)), ones(dilations, len(kernel))
    before, after = pads_of(auto_pad, pads, x.shape[2:], reaches(kernel, spread), steps)
    if before != after:
        x, before = padded(x, (before, after)), [0] * len(kernel)
    return _CONVOLUTIONS[len(kernel)](x, w, bias, steps, before, spread, group)
