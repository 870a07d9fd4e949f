"""Gradients that are multipliers, as functions for autograd: what layers' rules are made of.

Each returns a value y as it is, and says what c becomes on its way to the products that the rule
divides relevance by. The products' own gradients do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

#: What stands for an input of 0 where relevance does not go by the input; half precision holds no
#: smaller number whose quotients it holds, too.
_TINY, _TINY_HALF = 1e-18, 1e-4


#: Numbers that a processor's cache holds, several times over.
_CHUNK = 1 << 17


def nonzero(x: torch.Tensor) -> torch.Tensor:
    """Returns x, with tiny numbers for those that are 0, so that R = (R/x) · x wherever it lies."""
    tiny = _TINY_HALF if x.dtype == torch.float16 else _TINY
    return torch.where(x.abs() < tiny, tiny, x)


def stabilised(z: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Returns z + ε·sign z, where sign 0 = +1, also that of -0.0."""
    return torch.where(z < 0, z - epsilon, z + epsilon)


def _chunks(*tensors: torch.Tensor) -> list[Sequence[torch.Tensor]]:
    """Returns tensors of one shape, each in runs of its memory, so that a few passes are as one.

    Whole ones where they do not lie in memory alike, or where another device has its own ways. On
    the CPU this took a third of the time of three passes over 38 MB.
    """
    first = tensors[0]
    alike = all(t.stride() == first.stride() for t in tensors)
    dense = first.is_contiguous() or first.is_contiguous(memory_format=torch.channels_last)
    if first.device.type != "cpu" or not alike or not dense:
        return [(t,) for t in tensors]
    return [torch.split(t.as_strided((t.numel(),), (1,)), _CHUNK) for t in tensors]


class Epsilon(torch.autograd.Function):
    """z, and c·z / (z + ε·sign z) for c. Arguments: z, ε."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, epsilon: float) -> torch.Tensor:
        """Returns z."""
        ctx.save_for_backward(z)
        ctx.epsilon = epsilon
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *multipliers: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Returns the multiplier of z."""
        (z,), (c,), epsilon = ctx.saved_tensors, multipliers, ctx.epsilon
        # z / (z + ε·sign z) = 1 − ε / (|z| + ε): three passes over memory instead of six.
        out = torch.empty_like(z)
        for part, into, given in zip(*_chunks(z, out, c), strict=True):
            size = torch.abs(part, out=into).add_(epsilon)
            torch.addcdiv(given, given, size, value=-epsilon, out=into)
        return out, None


class Halves(torch.autograd.Function):
    """x⁺ and x⁻, one behind the other along an axis. Arguments: x, the axis."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, axis: int) -> torch.Tensor:
        """Returns both halves."""
        ctx.save_for_backward(x)
        ctx.axis = axis
        return torch.cat([x.clamp(min=0), x.clamp(max=0)], axis)

    @staticmethod
    def backward(ctx: Any, *multipliers: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Returns the multiplier of x: that of the half where it is."""
        (x,) = ctx.saved_tensors
        positive, negative = multipliers[0].chunk(2, ctx.axis)
        return torch.where(x > 0, positive, negative), None


class Positive(torch.autograd.Function):
    """y, and c·y / (z + ε) to z, which is the sum of what speaks for y. Arguments: z, y, ε.

    z is overwritten: nobody else may have it.
    """

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, y: torch.Tensor, epsilon: float) -> torch.Tensor:
        """Returns y."""
        for part, value in zip(*_chunks(z, y), strict=True):
            torch.div(value, part.add_(epsilon), out=part)
        ctx.save_for_backward(z)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *multipliers: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Returns what z gets."""
        (ratio,) = ctx.saved_tensors
        return multipliers[0] * ratio, None, None


class Weighted(torch.autograd.Function):
    """p + n, and c·(p + n)·α/(p + ε) to p, −c·(p + n)·β/(n − ε) to n. Arguments: p, n, α, β, ε.

    p is the sum of what speaks for y = p + n, n that of what speaks against it. Both are
    overwritten: nobody else may have them.
    """

    @staticmethod
    def forward(
        ctx: Any, p: torch.Tensor, n: torch.Tensor, alpha: float, beta: float, epsilon: float
    ) -> torch.Tensor:
        """Returns p + n."""
        y = p + n
        for_p, for_n = p.add_(epsilon), n.sub_(epsilon)
        ctx.save_for_backward(
            torch.div(y, for_p, out=for_p).mul_(alpha), torch.div(y, for_n, out=for_n).mul_(-beta)
        )
        return y

    @staticmethod
    def backward(
        ctx: Any, *multipliers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        """Returns what p and n get."""
        for_p, for_n = ctx.saved_tensors
        return multipliers[0] * for_p, multipliers[0] * for_n, None, None, None


class Signed(torch.autograd.Function):
    """y, and c·y / (p + ε) to p where y is above 0, c·y / (n − ε) to n where it is below.

    Arguments: p, n, y, ε.
    """

    @staticmethod
    def forward(
        ctx: Any, p: torch.Tensor, n: torch.Tensor, y: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        """Returns y."""
        ctx.save_for_backward(p, n, y)
        ctx.epsilon = epsilon
        return y.view_as(y)

    @staticmethod
    def backward(
        ctx: Any, *multipliers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        """Returns what p and n get."""
        p, n, y = ctx.saved_tensors
        relevance = multipliers[0] * y
        # What speaks for y > 0 outweighs what speaks against it: p > 0 there, and n < 0 below.
        for_p = torch.where(y > 0, relevance / stabilised(p, ctx.epsilon), 0.0)
        for_n = torch.where(y < 0, relevance / stabilised(n, ctx.epsilon), 0.0)
        return for_p, for_n, None, None


class Absolute(torch.autograd.Function):
    """y, and R/x for x, where R = `share(x, c·y)`. Arguments: x, y, share.

    `share` says how relevance of y becomes that of x; it may not go by x, so where x is 0 a tiny
    number stands for it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        y: torch.Tensor,
        share: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Returns y."""
        ctx.save_for_backward(x, y)
        ctx.share = share
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *multipliers: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Returns the multiplier of x."""
        x, y = ctx.saved_tensors
        return ctx.share(x, multipliers[0] * y) / nonzero(x), None, None
