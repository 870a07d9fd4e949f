"""What rules are made of: functions that keep their values and whose gradient is a multiplier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

Elementwise = Callable[[torch.Tensor], torch.Tensor]


def held(value: Any) -> Any:
    """Returns a tensor, or a list of them, that bears no relevance; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    return [held(v) for v in value] if isinstance(value, list | tuple) else value


def keeping(arguments: Sequence[Any], live: Sequence[int]) -> list[Any]:
    """Returns the arguments of an operator, all of them held but for those at some positions."""
    return [value if i in live else held(value) for i, value in enumerate(arguments)]


def share(x: torch.Tensor, parts: int) -> torch.Tensor:
    """Returns `x`, of whose relevance only one of so many parts goes on."""
    if parts == 1 or not isinstance(x, torch.Tensor) or not x.requires_grad:
        return x
    result: torch.Tensor = _Share.apply(x, 1 / parts)
    return result


def multiplied(x: torch.Tensor, y: torch.Tensor, multiplier: torch.Tensor) -> torch.Tensor:
    """Returns `y`, whose gradient with respect to `x`, which broadcasts to it, is `multiplier`."""
    result: torch.Tensor = _Multiplied.apply(x, y.detach(), multiplier.detach())
    return result


class _Multiplied(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, y: torch.Tensor, multiplier: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(multiplier)
        ctx.shape = x.shape
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (multiplier,) = ctx.saved_tensors
        return (gradients[0] * multiplier).sum_to_size(ctx.shape), None, None


class _Share(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.factor, None


def secant(function: Elementwise, centred: Elementwise | None = None) -> Elementwise:
    """Returns an elementwise function whose multiplier is its secant from zero.

    c(z) = (f(z) − f(0)) / z, and f'(0) at z = 0; f(0) is a bias, which gets no part of the
    relevance (Bach et al. 2015, section 2.4, whose f are without; Ancona et al. 2018).

    Args:
        function: f.
        centred: f − f(0), where it can be had without the cancellation.

    Returns:
        The function; where f(0) is no number it raises a `ValueError` when first called.
    """
    zero = _Zero(centred or function, centred is not None)

    def compute(x: torch.Tensor) -> torch.Tensor:
        if not x.requires_grad:
            return function(x)
        result: torch.Tensor = _Secant.apply(x, function, zero)
        return result

    return compute


class _Zero:
    """f(0) and f'(0), which are found out once.

    Args:
        function: Whose secant is taken: f, or f − f(0).
        centred: Whether it is the latter.
    """

    def __init__(self, function: Elementwise, centred: bool) -> None:
        self.function, self.centred = function, centred
        self.found: tuple[float, float] | None = None

    def __call__(self) -> tuple[float, float]:
        if self.found is None:
            # Not where the numbers are: a device would have to be waited for.
            with torch.enable_grad(), torch.inference_mode(False):
                at = torch.zeros(1, dtype=torch.float64, device="cpu", requires_grad=True)
                value = self.function(at)
                slope = torch.autograd.grad(value.sum(), at)[0] if value.requires_grad else at
            self.found = value.item(), slope.item()
            if not all(map(math.isfinite, self.found)):
                raise ValueError("a function without a value or a slope at zero has no secant")
        return self.found


class _Secant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, function: Elementwise, zero: _Zero) -> torch.Tensor:
        y = function(x)
        intercept, slope = zero()
        rise = zero.function(x) if zero.centred else y - intercept if intercept else y
        multiplier = rise / x
        if intercept:
            # Near zero the difference is rounding; the slope halfway there is off by z²/24 · f'''.
            near = x.abs() < _near(x.dtype)
            multiplier = torch.where(near, _slope(zero.function, x / 2), multiplier)
        else:
            # 0/0 is no number. In place: a new tensor costs more than its numbers do.
            multiplier.nan_to_num_(nan=slope, posinf=math.inf, neginf=-math.inf)
        ctx.save_for_backward(multiplier)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (multiplier,) = ctx.saved_tensors
        return gradients[0] * multiplier, None, None


def _near(dtype: torch.dtype) -> float:
    """Returns below which number two errors are alike: ε/z of a difference, z²/24 of a slope."""
    step: float = torch.finfo(dtype).eps
    return math.cbrt(24 * step)


def _slope(function: Elementwise, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        y = function(at)
        if not y.requires_grad:
            return torch.zeros_like(x)
        (slope,) = torch.autograd.grad(y.sum(), at)
    return slope


def normalised(
    x: torch.Tensor, axes: Sequence[int], epsilon: float, *, centre: bool = True
) -> torch.Tensor:
    """Returns (x − mean) / √(variance + ε) over some axes, the root of which is held.

    The mean is part of the signal (Ali et al. 2022, section 3.2). Without `centre` it is
    x / √(mean of x² + ε).
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    over = list(axes)
    centred = wide - wide.mean(over, keepdim=True) if centre else wide
    inverse = (centred.detach().square().mean(over, keepdim=True) + epsilon).rsqrt()
    return (centred * inverse).to(x.dtype)


def layer_normalised(
    x: torch.Tensor,
    count: int,
    scale: torch.Tensor | None,
    bias: torch.Tensor | None,
    epsilon: float,
) -> torch.Tensor:
    """Returns the same over the last `count` axes, scaled and moved, by one kernel of torch.

    Args:
        x: Of any shape.
        count: Of axes.
        scale: Of the shape of these axes, as torch's kernel wants it, or None.
        bias: Likewise; it bears relevance.
        epsilon: Under the root.
    """
    result: torch.Tensor = _LayerNormalised.apply(x, count, held(scale), bias, epsilon)
    return result


class _LayerNormalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        count: int,
        scale: torch.Tensor | None,
        bias: torch.Tensor | None,
        epsilon: float,
    ) -> torch.Tensor:
        shape = x.shape[x.ndim - count :]
        y, _, inverse = torch.native_layer_norm(x, shape, scale, bias, epsilon)
        ctx.save_for_backward(scale, inverse)
        ctx.count = count
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale, inverse = ctx.saved_tensors
        (gradient,) = gradients
        result = of_bias = None
        last = tuple(range(-ctx.count, 0))
        if ctx.needs_input_grad[0]:
            result = gradient if scale is None else gradient * scale
            result = ((result - result.mean(last, keepdim=True)) * inverse).to(gradient.dtype)
        if ctx.needs_input_grad[3]:
            of_bias = gradient.sum_to_size(gradient.shape[gradient.ndim - ctx.count :])
        return result, None, None, of_bias, None
