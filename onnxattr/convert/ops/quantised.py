"""Quantisation: from numbers to steps of a scale, and back.

A tensor that lives between quantised operators alone is carried (`graph.passes.Carry`): it holds
its integers as floating point, exactly, and its gradient is that of clipping to what the type can
hold. A quantised pair passes the gradient straight through, then, wherever it does not saturate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.calls import Entry, attributes_of, call
from onnxattr.convert.ops.scope import current, known
from onnxattr.convert.ops.table import builder, operator
from onnxattr.convert.ops.tensors import DTYPES, dtype_of
from onnxattr.errors import SupportError

#: What each integer type can hold.
RANGES: dict[int, tuple[int, int]] = {
    TensorProto.UINT2: (0, 3),
    TensorProto.INT2: (-2, 1),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
}

_FLOAT8 = (
    TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
)

#: The type that a tensor of torch's is when nothing else is said.
_KINDS = {
    DTYPES[kind]: kind
    for kind in (
        TensorProto.UINT8,
        TensorProto.INT8,
        TensorProto.UINT16,
        TensorProto.INT16,
        *_FLOAT8,
    )
}


@operator("QuantizeLinear", 10, 13, 19, 21, 23, 24, 25, 28)
@operator("com.microsoft.QuantizeLinear")
def _quantize_linear(
    x: torch.Tensor,
    y_scale: torch.Tensor,
    y_zero_point: torch.Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    saturate: int = 1,
    output_dtype: int = 0,
    precision: int = 0,
    carry: int = 0,
) -> torch.Tensor:
    # ONNX Runtime divides in float32 whatever the types are, unless `precision` is given.
    wide = torch.promote_types(torch.promote_types(x.dtype, y_scale.dtype), torch.float32)
    dtype = dtype_of(precision) if precision else wide
    x = x.to(dtype)
    scale = spread(y_scale, x, axis, block_size)
    zero = None if y_zero_point is None else spread(y_zero_point, x, axis, block_size)
    kind = output_dtype or kind_of(y_zero_point)
    return to_steps((x / scale).to(wide), zero, kind, carry, saturate=saturate)


@builder("com.microsoft.DequantizeLinear", holds=True)
@builder("DequantizeLinear", 10, 13, 19, 21, 23, 24, 25, 28, holds=True)
def _dequantize(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    """Computes weights at conversion, however many there are: they are wanted at every run."""
    stored = current().known
    if all(n == "" or n in stored for n in node.input_values):
        arguments: list[Any] = [stored[n] if n else None for n in node.input_values]
        with torch.no_grad():
            value = dequantised(*arguments, **attributes_of(node.proto))
        return known(node.output_values[0], value), ()
    return call(node, Entry(dequantised))


def dequantised(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    x_zero_point: torch.Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> torch.Tensor:
    """Returns DequantizeLinear of tensors."""
    result = dtype_of(output_dtype) if output_dtype else x_scale.dtype
    dtype = torch.promote_types(result, torch.float32)
    number = x.to(dtype)
    if x_zero_point is not None:
        if x.dtype is torch.int32:
            # float32 cannot hold all of int32, so the difference is taken before.
            number = (x - spread(x_zero_point, x, axis, block_size)).to(dtype)
        else:
            number = number - spread(x_zero_point, number, axis, block_size)
    return (number * spread(x_scale, number, axis, block_size)).to(result)


@operator("DynamicQuantizeLinear", 11)
def quantised_dynamically(
    x: torch.Tensor, *, carry: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns the steps of `x`, and the scale and zero point that its range asks for."""
    # Where the steps are carried their gradient is whole without the scale's: in range, the pair
    # passes its input through whatever the scale is.
    low, high = _bounds(x.detach() if carry else x)
    spacing = (high - low) / 255
    scale = torch.where(spacing == 0, torch.ones_like(spacing), spacing)
    zero = to_steps(-low / scale, None, TensorProto.UINT8, carry=0)
    return to_steps(x / scale, zero, TensorProto.UINT8, carry), scale, zero


def _bounds(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the least and the greatest number of `x`, or 0 where all are on one side of it."""
    if x.numel() == 0:
        return x.new_zeros(()), x.new_zeros(())
    return x.amin().clamp(max=0), x.amax().clamp(min=0)


def kind_of(zero_point: torch.Tensor | None) -> int:
    """Returns the ONNX type of quantised numbers from their zero point; uint8 where it is blank.

    Types of less than a byte look like int8 and uint8 here: `graph.passes.Carry` writes them down.
    """
    if zero_point is None:
        return TensorProto.UINT8
    # Four-bit floating point is kept as float32, in which no zero point can be.
    return _KINDS.get(zero_point.dtype, TensorProto.FLOAT4E2M1)


def spread(value: torch.Tensor, x: torch.Tensor, axis: int, block: int = 0) -> torch.Tensor:
    """Returns scales or zero points so that they broadcast against `x`, in its type."""
    value = value.to(x.dtype)
    if block and value.ndim == x.ndim:
        # The last block may be cut short.
        block = min(block, x.shape[axis])
        return value.repeat_interleave(block, dim=axis).narrow(axis, 0, x.shape[axis])
    if value.ndim != 1:
        return value
    if value.shape[0] == 1:
        return value.reshape(())
    shape = [1] * x.ndim
    shape[axis] = -1
    return value.reshape(shape)


def to_steps(
    number: torch.Tensor,
    zero: torch.Tensor | None,
    kind: int,
    carry: int,
    *,
    saturate: int = 1,
) -> torch.Tensor:
    """Returns numbers, in units of the scale, rounded, moved by the zero point, and saturated.

    Args:
        number: Real numbers, already divided by the scale.
        zero: Zero points that broadcast against `number`.
        kind: The ONNX type of the result.
        carry: Whether the result keeps the type of `number`, and a gradient.
        saturate: For float8: whether what is too large becomes the largest number there is.
    """
    if kind not in RANGES:
        number = number if zero is None else number + zero
        return _to_float(number, kind, carry, saturate)
    low, high = RANGES[kind]
    if zero is None:
        steps = number.clamp(low, high)
    else:
        zero = zero.to(number.dtype)
        steps = number.clamp(low - zero, high - zero)
    # The spec rounds before the zero point is added: 0.5 goes to the even neighbour without it.
    steps = straight(steps, steps.round()) if carry else steps.round()
    steps = steps if zero is None else steps + zero
    return steps if carry else steps.to(dtype_of(kind))


def from_steps(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None) -> torch.Tensor:
    """Returns the numbers that steps stand for, in the type of the scale."""
    steps = x.to(torch.promote_types(scale.dtype, torch.float32))
    return (steps if zero is None else steps - zero) * scale


def straight(x: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Returns `rounded`, with the gradient of `x`.

    Both differences are exact: `x` is next to the number that it is rounded to.
    """
    return x + (rounded - x).detach()


def _to_float(number: torch.Tensor, kind: int, carry: int, saturate: int) -> torch.Tensor:
    if kind == TensorProto.FLOAT4E2M1:
        number = number.clamp(-6, 6)
        size = number.detach().abs()
        spacing = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0)).to(number.dtype)
        return straight(number, (number / spacing).round() * spacing)
    if kind not in _FLOAT8:
        raise SupportError(f"quantising to {TensorProto.DataType.Name(kind)}")
    dtype = dtype_of(kind)
    if saturate:
        largest = torch.finfo(dtype).max
        number = number.clamp(-largest, largest)
    elif kind == TensorProto.FLOAT8E4M3FN:
        # This type alone has no infinity, and torch saturates then. 464 is the last that rounds
        # down to the largest number.
        number = torch.where(number.abs() > 464, torch.nan, number)
    rounded = number.to(dtype)
    return straight(number, rounded.to(number.dtype)) if carry else rounded
