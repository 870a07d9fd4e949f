"""Functions of torch that are made of steps: softmax, normalisations, attention, norms."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from onnxattr.attribution.differences.table import rule
from onnxattr.attribution.differences.walk import Walk, graft
from onnxattr.errors import SupportError


@rule("logsumexp")
def _log_sum_exp(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    x, axes, *rest = args
    keep = rest[0] if rest else kwargs.get("keepdim", False)
    y = func(*args, **kwargs)
    slope = _of_exponentials(walk, x, axes)
    return graft(y, slope if keep else slope.reshape(y.shape))


def _of_exponentials(walk: Walk, x: torch.Tensor, axes: Any) -> torch.Tensor:
    """Returns log Σ exp x along axes, which are kept.

    Of its steps the multiplier is Δexp(x_i)/Δx_i · Δy/Δexp(y). Without the overflow:

        m_i = exp(max(x_i, x₀_i) − max(y, y₀)) · φ(|Δx_i|) / φ(|Δy|),  φ(t) = (1 − exp(−t)) / t
    """
    y = x.logsumexp(axes, keepdim=True)
    if walk.first:
        return walk.note(y, x, y)
    x0, y0 = walk.before(x, y)
    with torch.no_grad():
        m = torch.exp(torch.maximum(x, x0) - torch.maximum(y, y0))
        m = torch.nan_to_num(m * _phi((x - x0).abs()) / _phi((y - y0).abs()), 0.0, 0.0, 0.0)
    return _summed(m * x, y)


def _summed(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    # A score of minus infinity has no part in the sum, and zero times it is no number.
    return torch.where(x.detach().isfinite(), x, 0.0).sum_to_size(like.shape)


def _phi(t: torch.Tensor) -> torch.Tensor:
    """Returns (1 − exp(−t)) / t, for t ≥ 0."""
    small = t < 1e-8
    return torch.where(small, 1 - t / 2, -torch.expm1(-t) / torch.where(small, 1.0, t))


@rule("softmax", "log_softmax")
def _softmax(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns exp(x − log Σ exp x): a difference, and a function of one number."""
    x = args[0]
    axis = args[1] if len(args) > 1 else kwargs["dim"]
    y = func(*args, **kwargs)
    whole = x if kwargs.get("dtype") is None else x.to(kwargs["dtype"])
    logarithms = whole - graft(
        whole.logsumexp(axis, keepdim=True), _of_exponentials(walk, whole, axis)
    )
    if func.__name__ == "log_softmax":
        return graft(y, logarithms)
    return graft(y, walk.apply(torch.exp, logarithms))


@rule("layer_norm", "rms_norm")
def _layer_norm(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    given = dict(zip(("input", "normalized_shape", "weight", "bias", "eps"), args, strict=False))
    if rms := func.__name__ == "rms_norm":
        given = dict(zip(("input", "normalized_shape", "weight", "eps"), args, strict=False))
    given |= kwargs
    x = given["input"]
    epsilon = given.get("eps", None if rms else 1e-5)
    epsilon = torch.finfo(x.dtype).eps if epsilon is None else epsilon
    axes = tuple(range(-len(given["normalized_shape"]), 0))
    y = _normalised(walk, x, axes, epsilon, centre=not rms)
    return graft(
        func(*args, **kwargs), _scaled(walk, y, given.get("weight"), given.get("bias"), None)
    )


@rule("group_norm")
def _group_norm(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    given = dict(zip(("input", "num_groups", "weight", "bias", "eps"), args, strict=False))
    given |= kwargs
    x = given["input"]
    groups = x.reshape(len(x), given["num_groups"], -1)
    y = _normalised(walk, groups, (-1,), given.get("eps", 1e-5), centre=True).reshape(x.shape)
    shape = (-1, *[1] * (x.dim() - 2))
    return graft(
        func(*args, **kwargs), _scaled(walk, y, given.get("weight"), given.get("bias"), shape)
    )


def _normalised(
    walk: Walk, x: torch.Tensor, axes: tuple[int, ...], epsilon: float, *, centre: bool
) -> torch.Tensor:
    """Returns x over the root of its mean square, by steps."""
    centred = x - x.mean(axes, keepdim=True) if centre else x
    variance = walk.apply(torch.square, centred).mean(axes, keepdim=True)
    root: torch.Tensor = walk.apply(torch.rsqrt, variance + epsilon)
    found: torch.Tensor = walk.apply(torch.mul, centred, root)
    return found


def _scaled(
    walk: Walk,
    y: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    shape: tuple[int, ...] | None,
) -> torch.Tensor:
    weight, bias = (v if v is None or shape is None else v.reshape(shape) for v in (weight, bias))
    y = y if weight is None else walk.apply(torch.mul, y, weight)
    return y if bias is None else y + bias


@rule("scaled_dot_product_attention")
def _attention(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    q, k, v, *rest = args
    mask = rest[0] if rest else kwargs.get("attn_mask")
    if kwargs.get("enable_gqa"):
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    if kwargs.get("is_causal"):
        mask = q.new_ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    scale = kwargs.get("scale")
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = walk.apply(torch.matmul, q, k.transpose(-1, -2)) * scale
    if mask is not None and mask.dtype is torch.bool:
        scores = walk.apply(torch.where, mask, scores, -math.inf)
    elif mask is not None:
        scores = scores + mask
    weights = walk.apply(torch.softmax, scores, -1)
    return graft(func(*args, **kwargs), walk.apply(torch.matmul, weights, v))


@rule("var")
def _variance(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    x, axes = args
    y = func(x, axes, **kwargs)
    squares = walk.apply(torch.square, x - x.mean(axes, keepdim=True))
    lost = kwargs.get("correction", 1)
    count = x.numel() // max(y.numel(), 1)
    return graft(y, squares.sum(axes).reshape(y.shape) / (count - lost))


@rule("prod")
def _product_of_all(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns a product of many, one after the other."""
    y = func(*args, **kwargs)
    if not args[0].numel():
        return y
    factors = args[0].unbind(args[1]) if len(args) > 1 else args[0].flatten().unbind()
    found = functools.reduce(functools.partial(walk.apply, torch.mul), factors)
    return graft(y, found.reshape(y.shape))


@rule("linalg_vector_norm")
def _norm(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    x, order = args[:2]
    axes = args[2] if len(args) > 2 else kwargs.get("dim")
    keep = args[3] if len(args) > 3 else kwargs.get("keepdim", False)
    axes = tuple(range(x.dim())) if axes is None else axes
    y = func(*args, **kwargs)
    if order == 1:
        return graft(y, walk.apply(torch.abs, x).sum(axes, keep))
    if order == 2:
        squares = walk.apply(torch.square, x).sum(axes, keep)
        return graft(y, walk.apply(torch.sqrt, squares))
    raise SupportError(f"DeepLIFT has no rule for norms of order {order}")


@rule("sort", "topk")
def _sorted(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns numbers in order, as what stands at the places where they were."""
    found = func(*args, **kwargs)
    axis = kwargs.get("dim", -1)
    values = walk.apply(torch.gather, args[0], axis, found.indices)
    return type(found)((graft(found.values, values), found.indices))
