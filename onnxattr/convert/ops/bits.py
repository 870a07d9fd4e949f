"""Bits of integers: shifts, and logic of each bit."""

import torch

from onnxattr.convert.ops.numbers import widened
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

_both = widened(torch.bitwise_and)
_either = widened(torch.bitwise_or)
_one = widened(torch.bitwise_xor)
_other = widened(torch.bitwise_not)


@operator("BitwiseAnd", 18, gradient=False)
def _bitwise_and(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _both(a, b)


@operator("BitwiseOr", 18, gradient=False)
def _bitwise_or(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _either(a, b)


@operator("BitwiseXor", 18, gradient=False)
def _bitwise_xor(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _one(a, b)


@operator("BitwiseNot", 18, gradient=False)
def _bitwise_not(x: torch.Tensor) -> torch.Tensor:
    return _other(x)


@operator("BitShift", 11, 28, gradient=False)
def _bit_shift(x: torch.Tensor, by: torch.Tensor, *, direction: str) -> torch.Tensor:
    """Returns shifted bits; those shifted in are zeros, or copies of a sign that moves right."""
    if direction not in ("LEFT", "RIGHT"):
        raise SupportError(f"shifts of direction `{direction}`")
    wide, by = x.to(torch.int64), by.to(torch.int64)
    # A shift by a negative number, or by all bits and more, leaves what is shifted in.
    outside = (by < 0) | (by >= 8 * x.itemsize)
    inside = by.masked_fill(outside, 0)
    if direction == "LEFT":
        return torch.where(outside, 0, wide << inside).to(x.dtype)
    if x.dtype is not torch.uint64:
        return (wide >> by.masked_fill(outside, 63)).to(x.dtype)
    # int64 would copy the sign, which here is a digit: the first step takes it away.
    stepped = ((wide >> 1) & torch.iinfo(torch.int64).max) >> (inside - 1).clamp(min=0)
    shifted = torch.where(inside == 0, wide, stepped)
    return torch.where(outside, 0, shifted).to(x.dtype)
