"""Rules of functions of one number each: the secant from zero."""

from __future__ import annotations

import functools
from typing import Any

import torch

from onnxattr.attribution.rules.parts import Elementwise, held, multiplied, secant
from onnxattr.attribution.rules.table import Function, Rule, Site, row, rule
from onnxattr.convert.ops.numbers import number

#: Functions that are zero at zero, or of which f(z) − f(0) is found by taking the difference.
_FUNCTIONS = [
    "Acos",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "FusedGelu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Mish",
    "Selu",
    "Shrink",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    ".ParametricSoftplus",
    ".ScaledTanh",
    "com.microsoft.Gelu",
    "com.microsoft.QuickGelu",
]

#: f(z) − f(0) of those that are not zero at zero, without the cancellation.
_CENTRED: dict[str, Elementwise] = {
    "Exp": torch.expm1,
    "Sigmoid": lambda z: torch.tanh(z / 2) / 2,
}


def _secant(centred: Elementwise | None = None) -> Rule:
    def rule(site: Site) -> Function:
        return secant(site.function, centred)

    return rule


row(*_FUNCTIONS, rule=_secant())
for _name, _function in _CENTRED.items():
    row(_name, rule=_secant(_function))


@rule("Clip")
def _clip(site: Site) -> Function:
    """Its bounds are held; from zero up it is a Relu, whose own gradient is the secant."""

    @functools.lru_cache(maxsize=4)
    def within(*bounds: float | None) -> Elementwise:
        clip = functools.partial(_bounded, site, bounds)
        return clip if bounds in ((0, None), (None, 0), (None, None)) else secant(clip)

    def compute(x: torch.Tensor, *bounds: Any) -> torch.Tensor:
        if any(isinstance(bound, torch.Tensor) for bound in bounds):
            return secant(functools.partial(_bounded, site, held(bounds)))(x)
        return within(*map(number, bounds))(x)

    return compute


def _bounded(site: Site, bounds: Any, x: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = site.function(x, *bounds)
    return y


@rule("Pow")
def _pow(site: Site) -> Function:
    """The exponent is held. A power that falls divides what it multiplies, and is held whole."""

    @functools.lru_cache(maxsize=4)
    def of(exponent: float) -> Elementwise:
        power = functools.partial(_raised, site, exponent)
        return secant(power) if exponent >= 0 else lambda x: power(x.detach())

    def compute(x: torch.Tensor, exponent: Any) -> torch.Tensor:
        if isinstance(exponent, int | float):
            return of(float(exponent))(x)
        # Many exponents, or computed ones. 0⁰ is 1, a bias, and 0¹ has the slope 1.
        power = torch.as_tensor(exponent, dtype=x.dtype, device=x.device).detach()
        y = site.function(x.detach(), held(exponent))
        c = torch.where(x == 0, (power == 1).to(x.dtype), y / torch.where(x == 0, 1, x.detach()))
        return multiplied(x, y, torch.where(power > 0, c, 0))

    return compute


def _raised(site: Site, exponent: float, x: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = site.function(x, exponent)
    return y
