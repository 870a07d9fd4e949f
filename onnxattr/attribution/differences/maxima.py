"""Multipliers of maxima and minima: of several numbers, along axes, in windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.attribution.differences.steps import of_one_number
from onnxattr.attribution.differences.table import moves, quotient, rule
from onnxattr.attribution.differences.walk import Walk, graft


@rule("maximum", "minimum")
def _larger_of_two(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    a, b = args
    if not (moves(a) and moves(b)):
        return of_one_number(walk, func, args, kwargs)
    pair = torch.stack(torch.broadcast_tensors(a, b))  # type: ignore[no-untyped-call]
    return graft(func(a, b), _extreme(walk, pair, (0,), func.__name__ == "maximum"))


@rule("amax", "amin")
def _largest(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    y = func(*args, **kwargs)
    x, axes = args[0], args[1] if len(args) > 1 else kwargs.get("dim", ())
    axes = (axes,) if isinstance(axes, int) else tuple(axes) or tuple(range(x.dim()))
    axes = tuple(range(x.dim())[axis] for axis in axes)
    return graft(y, _extreme(walk, x, axes, func.__name__ == "amax").reshape(y.shape))


def _extreme(walk: Walk, x: torch.Tensor, axes: Sequence[int], largest: bool) -> torch.Tensor:
    """Returns the largest or the smallest along axes, which are gone, by the rule of maxima."""
    rest = [axis for axis in range(x.dim()) if axis not in axes]
    lines = x.permute(*rest, *axes).flatten(len(rest)) if axes else x.unsqueeze(-1)
    sign = 1 if largest else -1
    y, place = (lines if largest else -lines).max(-1, keepdim=True)
    return _at_one_place(walk, lines, sign * y, place).squeeze(-1)


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    y, place = func(*args, **{**kwargs, "return_indices": True})
    last = int(func.__name__[-2])
    x = args[0].flatten(-last)
    slope = _at_one_place(walk, x, y.flatten(-last), place.flatten(-last))
    return graft(y, slope.reshape(y.shape))


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool_and_places(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    plain = {k: v for k, v in kwargs.items() if k != "return_indices"}
    pool = getattr(F, func.__name__.removesuffix("_with_indices"))
    places = func(*args, **kwargs)[1]
    return _max_pool(walk, pool, args, plain), places


def _at_one_place(
    walk: Walk, x: torch.Tensor, y: torch.Tensor, place: torch.Tensor
) -> torch.Tensor:
    """Returns the extremes of lines of x, one line for several places, by the rule of maxima.

    Where y > y₀, x at the place of y has risen by more than y; where y < y₀, x at the place of y₀
    has fallen by more. So the quotient is in [0, 1]. Of minima it is the other way round.
    """
    if walk.first:
        return walk.note(x.gather(-1, place), x, y, place)
    x0, y0, place0 = walk.before(x, y, place)
    change = y.detach() - y0
    reached = x.detach().gather(-1, place) - x0.gather(-1, place)
    # At the place of the extreme the change is at least as large; if not, it is that of y₀.
    at = torch.where(reached.abs() >= change.abs(), place, place0)
    at = torch.where(reached * change < 0, place0, at)
    here, there = x.gather(-1, at), x0.gather(-1, at)
    return quotient(change, here.detach(), there, torch.ones_like(change)) * here
