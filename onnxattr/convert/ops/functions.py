"""Functions of one number: roots, exponentials, rounding, trigonometry."""

import torch

from onnxattr.convert.ops.numbers import UNSIGNED
from onnxattr.convert.ops.singular import before_overflow, guarded, not_zero, positive
from onnxattr.convert.ops.table import operator


@operator("Sqrt", 1, 6, 13)
def _sqrt(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return guarded(torch.sqrt, x, positive)


@operator("Reciprocal", 1, 6, 13)
def _reciprocal(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return guarded(torch.reciprocal, x, not_zero)


@operator("Neg", 1, 6, 13)
def _neg(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return torch.neg(x)


@operator("Exp", 1, 6, 13)
def _exp(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return guarded(torch.exp, x, before_overflow)


@operator("Log", 1, 6, 13)
def _log(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return guarded(torch.log, x, positive)


@operator("Abs", 1, 6, 13)
def _abs(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return x if x.dtype in UNSIGNED else torch.abs(x)


@operator("Sign", 9, 13, gradient=False)
def _sign(x: torch.Tensor) -> torch.Tensor:
    return (x != 0).to(x.dtype) if x.dtype in UNSIGNED else torch.sign(x)


@operator("Floor", 1, 6, 13, gradient=False)
def _floor(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return torch.floor(x)


@operator("Ceil", 1, 6, 13, gradient=False)
def _ceil(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return torch.ceil(x)


@operator("Round", 11, 22, gradient=False)
def _round(x: torch.Tensor) -> torch.Tensor:
    return torch.round(x)


@operator("Sin", 7, 22)
def _sin(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x)


@operator("Cos", 7, 22)
def _cos(x: torch.Tensor) -> torch.Tensor:
    return torch.cos(x)


@operator("Tan", 7, 22)
def _tan(x: torch.Tensor) -> torch.Tensor:
    return torch.tan(x)


@operator("Asin", 7, 22)
def _asin(x: torch.Tensor) -> torch.Tensor:
    return torch.asin(x)


@operator("Acos", 7, 22)
def _acos(x: torch.Tensor) -> torch.Tensor:
    return torch.acos(x)


@operator("Atan", 7, 22)
def _atan(x: torch.Tensor) -> torch.Tensor:
    return torch.atan(x)


@operator("Sinh", 9, 22)
def _sinh(x: torch.Tensor) -> torch.Tensor:
    return torch.sinh(x)


@operator("Cosh", 9, 22)
def _cosh(x: torch.Tensor) -> torch.Tensor:
    return torch.cosh(x)


@operator("Tanh", 1, 6, 13)
def _tanh(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return torch.tanh(x)


@operator("Asinh", 9, 22)
def _asinh(x: torch.Tensor) -> torch.Tensor:
    return torch.asinh(x)


@operator("Acosh", 9, 22)
def _acosh(x: torch.Tensor) -> torch.Tensor:
    return torch.acosh(x)


@operator("Atanh", 9, 22)
def _atanh(x: torch.Tensor) -> torch.Tensor:
    return torch.atanh(x)


@operator("Erf", 9, 13)
def _erf(x: torch.Tensor) -> torch.Tensor:
    # Integers are admitted, and come out as such.
    return torch.erf(x).to(x.dtype)
