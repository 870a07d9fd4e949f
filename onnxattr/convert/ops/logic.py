"""Logic and comparisons."""

import math

import torch

from onnxattr.convert.ops.broadcast import Aligned
from onnxattr.convert.ops.numbers import ordered, widened
from onnxattr.convert.ops.table import operator

_same = widened(torch.eq)
_more = ordered(torch.gt)
_less_than = ordered(torch.lt)
_at_least = ordered(torch.ge)
_at_most = ordered(torch.le)


@operator("And", 7, gradient=False)
def _and(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.logical_and(a, b)


operator("And", 1, gradient=False)(Aligned(_and))


@operator("Or", 7, gradient=False)
def _or(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.logical_or(a, b)


operator("Or", 1, gradient=False)(Aligned(_or))


@operator("Xor", 7, gradient=False)
def _xor(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.logical_xor(a, b)


operator("Xor", 1, gradient=False)(Aligned(_xor))


@operator("Equal", 7, 11, 13, 19, gradient=False)
def _equal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _same(a, b)


operator("Equal", 1, gradient=False)(Aligned(_equal))


@operator("Greater", 7, 9, 13, gradient=False)
def _greater(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _more(a, b)


operator("Greater", 1, gradient=False)(Aligned(_greater))


@operator("Less", 7, 9, 13, gradient=False)
def _less(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _less_than(a, b)


operator("Less", 1, gradient=False)(Aligned(_less))


@operator("GreaterOrEqual", 12, 16, gradient=False)
def _greater_or_equal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _at_least(a, b)


@operator("LessOrEqual", 12, 16, gradient=False)
def _less_or_equal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _at_most(a, b)


@operator("Not", 1, gradient=False)
def _not(x: torch.Tensor) -> torch.Tensor:
    return torch.logical_not(x)


@operator("Where", 9, 16)
def _where(condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.where(condition, a, b)


@operator("IsNaN", 9, 13, 20, gradient=False)
def _is_nan(x: torch.Tensor) -> torch.Tensor:
    return torch.isnan(x)


@operator("IsInf", 10, 20, gradient=False)
def _is_inf(x: torch.Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> torch.Tensor:
    if x.itemsize == 1:
        # torch compares no numbers of eight bits.
        x = x.float()
    if detect_negative and detect_positive:
        return torch.isinf(x)
    if detect_positive:
        return x == math.inf
    if detect_negative:
        return x == -math.inf
    return torch.zeros_like(x, dtype=torch.bool)
