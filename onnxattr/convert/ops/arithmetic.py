"""Arithmetic of two numbers, and of any number of them."""

from functools import reduce
from typing import Any

import torch

from onnxattr.convert.ops.broadcast import Aligned
from onnxattr.convert.ops.numbers import ordered, widened
from onnxattr.convert.ops.singular import divided, power
from onnxattr.convert.ops.table import operator

_plus = widened(torch.add)
_minus = widened(torch.sub)
_times = widened(torch.mul)
_larger = ordered(torch.maximum)
_smaller = ordered(torch.minimum)


@operator("Add", 7, 13, 14)
def _add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _plus(a, b)


operator("Add", 1, 6)(Aligned(_add))


@operator("Sub", 7, 13, 14)
def _sub(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _minus(a, b)


operator("Sub", 1, 6)(Aligned(_sub))


@operator("Mul", 7, 13, 14)
def _mul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _times(a, b)


operator("Mul", 1, 6)(Aligned(_mul))


@operator("Div", 7, 13, 14)
def _div(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return divided(a, b) if a.is_floating_point() else _quotient(a, b)


operator("Div", 1, 6)(Aligned(_div))


def _quotient(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns the quotient of integers, rounded towards zero; 0 where they are divided by zero."""
    if a.dtype is torch.uint64:
        return _unsigned_quotient(a.to(torch.int64), b.to(torch.int64)).to(a.dtype)
    return widened(_signed_quotient)(a, b)


def _signed_quotient(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Processors trap on a division by zero, and on that of the lowest number by minus one.
    by = b.masked_fill(_trapping(b), 1)
    quotient = torch.div(a, by, rounding_mode="trunc")
    if b.dtype.is_signed:
        quotient = torch.where(b == -1, -quotient, quotient)
    return torch.where(b == 0, 0, quotient)


def _trapping(b: torch.Tensor) -> torch.Tensor:
    return (b == 0) | (b == -1) if b.dtype.is_signed else b == 0


def _unsigned_quotient(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns the quotient of 64 bits that are read as unsigned."""
    lowest = torch.iinfo(torch.int64).min
    # Of half the dividend, doubled, it is too small by one at most.
    half = (a >> 1) & ~lowest
    quotient = _signed_quotient(half, b) << 1
    quotient = quotient + (((a - quotient * b) ^ lowest) >= (b ^ lowest))
    # A divisor of 2^63 and more goes in once or not at all.
    quotient = torch.where(b < 0, ((a ^ lowest) >= (b ^ lowest)).to(a.dtype), quotient)
    return torch.where(b == 0, 0, quotient)


@operator("Mod", 10, 13, 28)
def _mod(a: torch.Tensor, b: torch.Tensor, *, fmod: int = 0) -> torch.Tensor:
    """Returns the remainder: of the divisor's sign, or with `fmod` of the dividend's."""
    remainder = torch.fmod if fmod else torch.remainder
    if a.is_floating_point():
        return remainder(a, b)
    if a.dtype is torch.uint64:
        return torch.where(b == 0, 0, _minus(a, _times(_quotient(a, b), b)).to(torch.int64)).to(
            a.dtype
        )
    return widened(_truncated if fmod else _floored)(a, b)


def _floored(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Modulo one it is zero, as it is modulo minus one; modulo zero numpy says so too.
    return torch.remainder(a, b.masked_fill(_trapping(b), 1))


def _truncated(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.fmod(a, b.masked_fill(_trapping(b), 1))


@operator("Pow", 7, 12, 13, 15, stored=(1,))
def _pow(x: torch.Tensor, exponent: Any) -> torch.Tensor:
    """Returns the power, in the type of the base, whatever the exponent's."""
    exponent = _single(exponent, x.ndim)
    if isinstance(exponent, int | float) and x.is_floating_point():
        return power(x, exponent)
    exponent = _tensor(exponent, x)
    if exponent.dtype is x.dtype:
        return power(x, exponent)
    if not exponent.is_floating_point():
        wide, exponent = x, exponent.to(torch.int64)
    elif x.is_floating_point():
        wide = x.to(torch.promote_types(x.dtype, exponent.dtype))
    else:
        # float32 has not the digits for the powers of an integer.
        wide, exponent = x.double(), exponent.double()
    return power(wide, exponent.to(wide.dtype)).to(x.dtype)


operator("Pow", 1)(Aligned(power))


def _tensor(exponent: Any, x: torch.Tensor) -> torch.Tensor:
    tensor = torch.as_tensor(exponent, device=x.device)
    if isinstance(exponent, torch.Tensor) or not tensor.is_floating_point():
        return tensor
    # Of Python's numbers torch makes float32 by itself.
    kind = x.dtype if x.is_floating_point() else torch.float64
    return torch.as_tensor(exponent, dtype=kind, device=x.device)


def _single(value: Any, axes: int) -> Any:
    """Returns the only number in a list of at most so many axes; anything else as it is."""
    inner = value
    while isinstance(inner, list) and len(inner) == 1 and axes:
        inner, axes = inner[0], axes - 1
    return value if isinstance(inner, list) else inner


@operator("Max", 1, 6, 8, 12, 13)
def _max(*xs: torch.Tensor, consumed_inputs: object = None) -> torch.Tensor:
    return reduce(_larger, xs)


@operator("Min", 1, 6, 8, 12, 13)
def _min(*xs: torch.Tensor, consumed_inputs: object = None) -> torch.Tensor:
    return reduce(_smaller, xs)


@operator("Sum", 1, 6, 8, 13)
def _sum(*xs: torch.Tensor, consumed_inputs: object = None) -> torch.Tensor:
    return reduce(torch.add, xs)


@operator("Mean", 1, 6, 8, 13)
def _mean(*xs: torch.Tensor, consumed_inputs: object = None) -> torch.Tensor:
    return reduce(torch.add, xs) / len(xs)
