"""Matrix products and convolutions of ONNX Runtime with quantised operands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.quantised import kind_of, quantised_dynamically, to_steps
from onnxattr.convert.ops.quantised_products import (
    conv,
    convolve,
    matmul,
    requantised_conv,
    wide,
)
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError


@operator("com.microsoft.QLinearConv")
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
    channels_last: int = 0,
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
    image = x.movedim(-1, 1) if channels_last else x
    total = conv(image, x_zero_point, w, w_zero_point, product)
    kind = kind_of(x_zero_point if y_zero_point is None else y_zero_point)
    factor = x_scale * w_scale / y_scale
    y = requantised_conv(total, bias, factor, y_zero_point, kind, carry)
    return y.movedim(1, -1) if channels_last else y


@operator("com.microsoft.QGemm")
def _qgemm(
    a: torch.Tensor,
    a_scale: torch.Tensor,
    a_zero: torch.Tensor,
    b: torch.Tensor,
    b_scale: torch.Tensor,
    b_zero: torch.Tensor,
    c: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    y_zero: torch.Tensor | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803 - the attribute's name
    transB: int = 0,  # noqa: N803
    carry: int = 0,
) -> torch.Tensor:
    total = matmul(a.T if transA else a, a_zero, b.T if transB else b, b_zero)
    if c is not None:
        total = wide(total) + c
    factor = alpha * a_scale * b_scale
    number = total.to(factor.dtype)
    if y_scale is None:
        return number * factor
    return to_steps(number * (factor / y_scale), y_zero, kind_of(y_zero), carry)


@operator("com.microsoft.MatMulIntegerToFloat")
def _matmul_integer_to_float(
    a: torch.Tensor,
    b: torch.Tensor,
    a_scale: torch.Tensor,
    b_scale: torch.Tensor,
    a_zero: torch.Tensor | None = None,
    b_zero: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    dtype = torch.promote_types(a_scale.dtype, torch.float32)
    total = matmul(a, a_zero, b, b_zero).to(dtype)
    y = total * (a_scale.to(dtype) * b_scale)
    y = y if bias is None else y + bias
    return y.to(a_scale.dtype)


@operator("com.microsoft.DynamicQuantizeMatMul")
def _dynamic_quantize_matmul(
    a: torch.Tensor,
    b: torch.Tensor,
    b_scale: torch.Tensor,
    b_zero: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    steps, scale, zero = quantised_dynamically(a, carry=1)
    y: torch.Tensor = _matmul_integer_to_float(steps, b, scale, b_scale, zero, b_zero, bias)
    return y


@operator("com.microsoft.MatMulInteger16")
def _matmul_integer_16(a: torch.Tensor, b: torch.Tensor, *, carry: int = 0) -> torch.Tensor:
    unsigned = a.dtype is torch.uint16 and b.dtype is torch.uint16
    total = torch.matmul(wide(a), wide(b))
    if carry:
        return total
    return total.to(torch.int64).to(torch.uint32 if unsigned else torch.int32)


@operator("com.microsoft.MatMulNBits")
def _matmul_nbits(
    a: torch.Tensor,
    b: torch.Tensor,
    scales: torch.Tensor,
    zero_points: torch.Tensor | None = None,
    g_idx: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    *,
    K: int,  # noqa: N803 - the attribute's name
    N: int,  # noqa: N803
    block_size: int,
    bits: int = 4,
    accuracy_level: int = 0,
    weight_prepacked: int = 0,
) -> torch.Tensor:
    # `accuracy_level` lets an engine round the other factor, too; ONNX Runtime's default does not.
    if weight_prepacked:
        raise SupportError("weights that are packed for one engine")
    blocks = -(-K // block_size)
    steps = _unpacked(b.reshape(N, blocks, -1), bits)[..., :block_size].to(scales.dtype)
    zero: torch.Tensor | float
    if zero_points is None:
        zero = 2.0 ** (bits - 1)
    elif zero_points.dtype is torch.uint8:
        zero = _unpacked(zero_points.reshape(N, -1), bits)[:, :blocks, None].to(scales.dtype)
    else:
        zero = zero_points.reshape(N, blocks, 1)
    if g_idx is None:
        weight = ((steps - zero) * scales.reshape(N, blocks, 1)).reshape(N, -1)[:, :K]
    else:
        # Each row of the weight names the group whose scale it has.
        groups = g_idx.to(torch.int64)
        offset = zero if isinstance(zero, float) else zero[:, groups, 0]
        weight = (steps.reshape(N, -1)[:, :K] - offset) * scales.reshape(N, blocks)[:, groups]
    return F.linear(a, weight, bias)


def _unpacked(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Returns the numbers in the bytes of the last axis, those in the lowest bits first."""
    if bits not in (2, 4, 8):
        raise SupportError(f"weights of {bits} bits")
    shifts = torch.arange(0, 8, bits, device=x.device, dtype=torch.int32)
    numbers = (x.to(torch.int32).unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return numbers.flatten(-2)
