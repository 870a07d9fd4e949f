"""Normalisations as ONNX Runtime's optimiser fuses them, and those that it has of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.quantised import from_steps
from onnxattr.convert.ops.table import operator

Four = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


# Into a graph of an opset that has no LayerNormalization ONNX Runtime writes one all the same, in
# ONNX's own domain.
@operator(".LayerNormalization")
@operator("com.microsoft.LayerNormalization")
def _layer_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = x.shape[axis % x.ndim :]
    if scale.shape == shape and x.dtype == scale.dtype:
        y = F.layer_norm(x, shape, scale, bias, epsilon)
    else:
        y = F.layer_norm(x, shape, None, None, epsilon).to(scale.dtype) * scale
        y = y if bias is None else y + bias
    return (y, *_moments(x, axis, epsilon))


@operator(".SimplifiedLayerNormalization")
@operator("com.microsoft.SimplifiedLayerNormalization")
def _simplified_layer_normalization(
    x: torch.Tensor,
    scale: torch.Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    axes = list(range(axis % x.ndim, x.ndim))
    inverse = _inverse_rms(x, axes, epsilon)
    return (x * inverse).to(scale.dtype) * scale, inverse


@operator("com.microsoft.SkipLayerNormalization")
def _skip_layer_normalization(
    x: torch.Tensor,
    skip: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    *,
    epsilon: float = 1e-12,
) -> Four:
    total = x + skip if bias is None else x + skip + bias
    y = F.layer_norm(total, gamma.shape, gamma, beta, epsilon)
    return (y, *_moments(total, -1, epsilon), total)


@operator("com.microsoft.SkipSimplifiedLayerNormalization")
def _skip_simplified_layer_normalization(
    x: torch.Tensor,
    skip: torch.Tensor,
    gamma: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    epsilon: float = 1e-12,
) -> Four:
    total = x + skip if bias is None else x + skip + bias
    inverse = _inverse_rms(total, [-1], epsilon)
    return (total * inverse).to(gamma.dtype) * gamma, torch.zeros_like(inverse), inverse, total


@operator("com.microsoft.GroupNorm")
def _group_norm(
    x: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    *,
    activation: int,
    groups: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
) -> torch.Tensor:
    y = x.movedim(-1, 1) if channels_last else x
    y = F.group_norm(y, groups, gamma.to(x.dtype), beta.to(x.dtype), epsilon)
    y = F.silu(y) if activation else y
    return y.movedim(1, -1) if channels_last else y


@operator("com.microsoft.SkipGroupNorm")
def _skip_group_norm(
    x: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    skip: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    activation: int,
    groups: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
) -> tuple[torch.Tensor, torch.Tensor]:
    if skip.ndim == 2:
        skip = skip[:, None, None, :] if channels_last else skip[:, :, None, None]
    if bias is not None and not channels_last:
        bias = bias[:, None, None]
    total = x + skip if bias is None else x + skip + bias
    y = _group_norm(
        total,
        gamma,
        beta,
        activation=activation,
        groups=groups,
        channels_last=channels_last,
        epsilon=epsilon,
    )
    return y, total


@operator("com.microsoft.EmbedLayerNormalization")
def _embed_layer_normalization(
    input_ids: torch.Tensor,
    segment_ids: torch.Tensor | None,
    words: torch.Tensor,
    positions: torch.Tensor,
    segments: torch.Tensor | None,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    mask: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    total = F.embedding(input_ids, words)
    if position_ids is None:
        total = total + positions[: input_ids.shape[1]]
    else:
        total = total + F.embedding(position_ids, positions)
    if segment_ids is not None and segments is not None:
        total = total + F.embedding(segment_ids, segments)
    y = F.layer_norm(total, gamma.shape, gamma, beta, epsilon)
    if mask is None:
        index = input_ids.new_zeros(input_ids.shape[0], dtype=torch.int32)
    else:
        index = (mask == 1).sum(1, dtype=torch.int32)
    return y, index, total


@operator("com.microsoft.QEmbedLayerNormalization")
def _qembed_layer_normalization(
    input_ids: torch.Tensor,
    segment_ids: torch.Tensor | None,
    words: torch.Tensor,
    positions: torch.Tensor,
    segments: torch.Tensor | None,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    mask: torch.Tensor | None,
    word_scale: torch.Tensor,
    position_scale: torch.Tensor,
    segment_scale: torch.Tensor | None,
    gamma_scale: torch.Tensor,
    beta_scale: torch.Tensor,
    word_zero: torch.Tensor,
    position_zero: torch.Tensor,
    segment_zero: torch.Tensor | None,
    gamma_zero: torch.Tensor,
    beta_zero: torch.Tensor,
    *,
    epsilon: float = 1e-12,
) -> tuple[torch.Tensor, torch.Tensor]:
    if segments is not None and segment_scale is not None:
        segments = from_steps(segments, segment_scale, segment_zero)
    y, index, _ = _embed_layer_normalization(
        input_ids,
        segment_ids,
        from_steps(words, word_scale, word_zero),
        from_steps(positions, position_scale, position_zero),
        segments,
        from_steps(gamma, gamma_scale, gamma_zero),
        from_steps(beta, beta_scale, beta_zero),
        mask,
        epsilon=epsilon,
    )
    return y, index


def _moments(x: torch.Tensor, axis: int, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the mean and the inverse standard deviation over the axes from `axis` on."""
    axes = list(range(axis % x.ndim, x.ndim))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
    return mean, torch.rsqrt(variance + epsilon)


def _inverse_rms(x: torch.Tensor, axes: list[int], epsilon: float) -> torch.Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return torch.rsqrt(wide.square().mean(axes, keepdim=True) + epsilon)
