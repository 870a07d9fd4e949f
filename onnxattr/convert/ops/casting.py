"""Conversions between types of numbers."""

import math
from collections.abc import Sequence

import onnx
import torch
from onnx import TensorProto, helper
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.calls import Entry, call
from onnxattr.convert.ops.table import OPERATORS, builder, operator
from onnxattr.convert.ops.tensors import dtype_of
from onnxattr.errors import SupportError

#: Integers of less than a byte, which take up a whole one here: their bits and their home.
_SMALL: dict[int, tuple[int, torch.dtype]] = {
    TensorProto.INT4: (4, torch.int8),
    TensorProto.UINT4: (4, torch.uint8),
    TensorProto.INT2: (2, torch.int8),
    TensorProto.UINT2: (2, torch.uint8),
}

#: Numbers of eight bits with a sign, whose overflow `saturate` decides.
_FLOAT8 = (
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
)

#: What torch cannot hold as such: the type of the result does not say what it stands for.
_HOUSED = {*_SMALL, TensorProto.FLOAT4E2M1}


@operator("Cast", 1)
def _cast_by_name(x: torch.Tensor, *, to: str) -> torch.Tensor:
    kinds = dict(TensorProto.DataType.items())
    if to not in kinds:
        raise SupportError(f"tensors of type `{to}`")
    cast: torch.Tensor = _cast(x, to=kinds[to])
    return cast


@operator("Cast", 6, 9, 13, 19, 21, 23, 24, 25, 28)
def _cast(x: torch.Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> torch.Tensor:
    if to in _SMALL:
        return _small(x, to)
    if to == TensorProto.FLOAT4E2M1:
        return _float4(x)
    return _converted(x, dtype_of(to), saturate, round_mode)


def _converted(x: torch.Tensor, dtype: torch.dtype, saturate: int, round_mode: str) -> torch.Tensor:
    if dtype in _FLOAT8:
        wide = x if x.is_floating_point() and x.itemsize > 1 else x.float()
        limit = torch.finfo(dtype).max
        if saturate:
            wide = wide.clamp(-limit, limit)
        elif dtype is torch.float8_e4m3fn:
            # Of this one torch saturates by itself; half a step beyond its limit rounds down to it.
            wide = torch.where(wide.abs() > limit + 16, math.nan, wide)
        return wide.to(dtype)
    if dtype is torch.float8_e8m0fnu:
        return _power_of_two(x, saturate, round_mode)
    if x.is_floating_point() and x.itemsize == 1:
        x = x.float()
    return x.to(dtype)


def _small(x: torch.Tensor, to: int) -> torch.Tensor:
    """Returns integers of few bits: higher ones are dropped, as in every cast of integers."""
    bits, home = _SMALL[to]
    whole = _converted(x, torch.int64, 1, "up") & ((1 << bits) - 1)
    if home.is_signed:
        sign = 1 << (bits - 1)
        whole = (whole ^ sign) - sign
    return whole.to(home)


def _float4(x: torch.Tensor) -> torch.Tensor:
    """Returns the nearest of 0, ½, 1, 1½, 2, 3, 4 and 6, ties to the even one, in float32."""
    # There is no NaN: ml_dtypes, and so ONNX's tests, make it a negative zero.
    x = torch.where(x.isnan(), -0.0, x.float())
    size = x.abs().clamp(max=6)
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.copysign(torch.round(size / step) * step, x)


def _power_of_two(x: torch.Tensor, saturate: int, round_mode: str) -> torch.Tensor:
    """Returns the bits of a float32's exponent, rounded: `float8_e8m0`."""
    bits = x.float().view(torch.int32)
    exponent, fraction = (bits >> 23) & 0xFF, bits & 0x7FFFFF
    if round_mode == "up":
        up = fraction > 0
    elif round_mode == "nearest":
        # Halves go up, save from below the least power to it.
        up = torch.where(exponent > 0, fraction >= 0x400000, fraction > 0x400000)
    elif round_mode == "down":
        up = torch.zeros_like(fraction, dtype=torch.bool)
    else:
        raise SupportError(f"the `round_mode` `{round_mode}`")
    # 255 says that it is no number.
    up = up & (exponent < (0xFE if saturate else 0xFF))
    return (exponent + up).to(torch.uint8).view(torch.float8_e8m0fnu)


def _as(
    x: torch.Tensor, like: torch.Tensor, *, saturate: int = 1, round_mode: str = "up"
) -> torch.Tensor:
    return _converted(x, like.dtype, saturate, round_mode)


_AS = Entry(_as)


@builder("CastLike", 15, 19, 21, 23, 24, 25)
def _cast_like(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    value, target = node.input_values
    info = graph.value_info.get(target, onnx.ValueInfoProto())
    kind = info.type.tensor_type.elem_type
    if kind not in _HOUSED:
        return call(node, _AS)
    name = node.proto.name
    proto = helper.make_node("Cast", [value], node.output_values, name=name, to=kind)
    return call(OnnxNode(proto, node.unique_name), OPERATORS["Cast_25"])


@operator("BitCast", 26, gradient=False)
def _bit_cast(x: torch.Tensor, *, to: int) -> torch.Tensor:
    """Returns the same bits, read as another type of the same size."""
    if to in _SMALL:
        return _small(x, to)
    dtype = dtype_of(to)
    if to == TensorProto.FLOAT4E2M1 or dtype.itemsize != x.itemsize:
        raise SupportError(f"bits of {x.dtype} as {TensorProto.DataType.Name(to)}")
    return x.view(dtype)
