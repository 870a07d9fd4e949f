"""Functions whose derivative is infinite or undefined somewhere: there it counts as zero.

Graphs compute such values and then leave them out, `Where(x > 0, Sqrt(x), 0)`, or take a limit,
`1 / (1 + Exp(x))`. The chain rule multiplies the zero of what follows by that derivative, and zero
times infinity is no number, which would spoil the gradient of everything before.
"""

import math
from collections.abc import Callable

import torch


def guarded(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    regular: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Returns the function of `x`, with a gradient of zero wherever `x` is not `regular`."""
    if not x.requires_grad:
        return function(x)
    inside = regular(x)
    return torch.where(inside, function(torch.where(inside, x, 1)), function(x.detach()))


def divided(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns the quotient, with a gradient of zero wherever `b` is zero."""
    if not b.requires_grad:
        return torch.div(a, b)
    inside = b != 0
    return torch.where(inside, torch.div(a, torch.where(inside, b, 1)), (a / b).detach())


def power(x: torch.Tensor, exponent: torch.Tensor | float) -> torch.Tensor:
    """Returns the power, with a gradient of zero wherever it has no finite derivative in `x`."""
    if isinstance(exponent, torch.Tensor):
        if not x.requires_grad:
            return torch.pow(x, exponent)
        whole = (exponent == exponent.round()) & ((x != 0) | (exponent >= 1))
        inside = (whole | (x > 0)).detach()
        of = torch.where(inside, x, 1)
        return torch.where(inside, torch.pow(of, exponent), torch.pow(x, exponent).detach())
    if exponent >= 1 and float(exponent).is_integer():
        return torch.pow(x, exponent)
    return guarded(
        lambda base: torch.pow(base, exponent),
        x,
        not_zero if float(exponent).is_integer() else positive,
    )


def positive(x: torch.Tensor) -> torch.Tensor:
    """Returns where a number is greater than zero."""
    return x > 0


def not_zero(x: torch.Tensor) -> torch.Tensor:
    """Returns where a number is not zero."""
    return x != 0


def before_overflow(x: torch.Tensor) -> torch.Tensor:
    """Returns where the exponential of a number is finite."""
    return x < math.log(torch.finfo(x.dtype).max)
