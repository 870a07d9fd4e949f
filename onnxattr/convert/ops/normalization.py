"""Normalisation by statistics: those that are given, or those of the input itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.tensors import dtype_of


def _by_channel(value: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Returns statistics or weights in a shape that fits `x`: one a channel, or one a feature."""
    return value.reshape(-1, *[1] * (x.ndim - 2)) if value.ndim == 1 else value


def _inferred(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    epsilon: float,
) -> torch.Tensor:
    """Returns (x − mean) / √(variance + ε) · scale + bias."""
    if x.ndim == 1:
        # By definition a batch of one channel.
        return _inferred(x[:, None], scale, bias, mean, variance, epsilon)[:, 0]
    plain = mean.ndim == 1 and mean.dtype == variance.dtype == scale.dtype == bias.dtype == x.dtype
    # torch gives the statistics no gradient.
    if plain and not (mean.requires_grad or variance.requires_grad):
        return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)
    dtype = torch.promote_types(x.dtype, torch.float32)
    wide, *parts = (v.to(dtype) for v in (x, scale, bias, mean, variance))
    scale, bias, mean, variance = (_by_channel(v, x) for v in parts)
    return ((wide - mean) * (variance + epsilon).rsqrt() * scale + bias).to(x.dtype)


def _trained(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    epsilon: float,
    momentum: float,
    spatial: bool = True,
) -> tuple[torch.Tensor, ...]:
    """Returns the result by the batch's own statistics, what is to be kept of them, and them."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [0, *range(2, x.ndim)] if spatial else [0]
    own = wide.mean(axes), wide.var(axes, correction=0)
    y = _inferred(wide, scale, bias, *own, epsilon).to(x.dtype)
    kept = (
        (v * momentum + o * (1 - momentum)).to(v.dtype)
        for v, o in zip((mean, variance), own, strict=True)
    )
    return (y, *kept, *(o.to(v.dtype) for v, o in zip((mean, variance), own, strict=True)))


@operator("BatchNormalization", 14, 15)
def _batch_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> tuple[torch.Tensor, ...]:
    if training_mode:
        return _trained(x, scale, bias, mean, variance, epsilon, momentum)[:3]
    return (_inferred(x, scale, bias, mean, variance, epsilon),)


@operator("BatchNormalization", 7, 9)
def _batch_normalization_7(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    outputs: int = 1,
) -> tuple[torch.Tensor, ...]:
    # These versions have no attribute for it: more than one output means training.
    if outputs > 1:
        return _trained(x, scale, bias, mean, variance, epsilon, momentum, bool(spatial))
    return (_inferred(x, scale, bias, mean, variance, epsilon),)


@operator("BatchNormalization", 1, 6)
def _batch_normalization_1(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    *,
    consumed_inputs: object = None,
    epsilon: float = 1e-5,
    is_test: int = 0,
    momentum: float = 0.9,
    spatial: int = 1,
) -> tuple[torch.Tensor, ...]:
    if not is_test:
        return _trained(x, scale, bias, mean, variance, epsilon, momentum, bool(spatial))
    return (_inferred(x, scale, bias, mean, variance, epsilon),)


@operator("InstanceNormalization", 1, 6, 22)
def _instance_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    *,
    consumed_inputs: object = None,
    epsilon: float = 1e-5,
) -> torch.Tensor:
    # Every channel is a group of its own; unlike F.group_norm this takes single values too.
    return torch.group_norm(x, x.shape[1], scale, bias, epsilon)


@operator("GroupNormalization", 18)
def _group_normalization_18(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
) -> torch.Tensor:
    """The form that was withdrawn: scale and bias have one value a group."""
    channels = x.shape[1] // num_groups
    scale, bias = (v.repeat_interleave(channels) for v in (scale, bias))
    return torch.group_norm(x, num_groups, scale, bias, epsilon)


@operator("GroupNormalization", 21)
def _group_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> torch.Tensor:
    # torch computes halves in float32 inside, which is what `stash_type` asks for.
    return torch.group_norm(x, num_groups, scale, bias, epsilon)


@operator("LayerNormalization", 17)
def _layer_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    outputs: int = 1,
) -> tuple[torch.Tensor, ...]:
    shape = x.shape[axis:]
    if outputs == 1 and scale.shape == shape and (bias is None or bias.shape == shape):
        return (F.layer_norm(x, shape, scale, bias, epsilon),)
    if outputs == 1:
        y = F.layer_norm(x, shape, eps=epsilon) * scale
        return (y if bias is None else y + bias,)
    stash = dtype_of(stash_type)
    wide = x.to(torch.promote_types(x.dtype, stash))
    axes = [*range(axis % x.ndim, x.ndim)]
    mean = wide.mean(axes, keepdim=True)
    centred = wide - mean
    inverse = ((centred * centred).mean(axes, keepdim=True) + epsilon).rsqrt()
    y = (centred * inverse).to(x.dtype) * scale
    y = y if bias is None else y + bias
    return y, mean.to(stash), inverse.to(stash)


@operator("RMSNormalization", 23)
def _rms_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> torch.Tensor:
    shape = x.shape[axis:]
    if scale.shape == shape and scale.dtype == x.dtype:
        return F.rms_norm(x, shape, scale, epsilon)
    # The result has the type of `scale`.
    return F.rms_norm(x, shape, eps=epsilon).to(scale.dtype) * scale


@operator("LRN", 1, 13)
def _lrn(
    x: torch.Tensor,
    *,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    bias: float = 1.0,
) -> torch.Tensor:
    """Unlike torch's, the larger half of an even region comes after the channel."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    squares = (wide * wide).reshape(x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    squares = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    means = F.avg_pool2d(squares, (size, 1), 1).reshape(x.shape)
    return (wide / (bias + alpha * means).pow(beta)).to(x.dtype)


@operator("LpNormalization", 1, 22)
def _lp_normalization(x: torch.Tensor, *, axis: int = -1, p: int = 2) -> torch.Tensor:
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    zero = norm == 0
    return torch.where(zero, 0.0, x / torch.where(zero, 1.0, norm))


@operator("MeanVarianceNormalization", 9, 13)
def _mean_variance_normalization(
    x: torch.Tensor, *, axes: Sequence[int] = (0, 2, 3)
) -> torch.Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    over = tuple(axes)
    centred = wide - wide.mean(over, keepdim=True)
    variance = (centred * centred).mean(over, keepdim=True)
    zero = variance == 0
    deviation = torch.where(zero, 0.0, torch.where(zero, 1.0, variance).sqrt())
    # The small number is that of the operator's own function.
    return (centred / (deviation + 1e-9)).to(x.dtype)
