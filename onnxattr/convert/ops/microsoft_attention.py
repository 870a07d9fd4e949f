"""Attention as ONNX Runtime's optimiser fuses it, and rotary embeddings.

Masks add `mask_filter_value`, -10000 by default, and only what lies ahead is ruled out for good, as
ONNX Runtime has it. Buffers that an engine shares between past and present, and beams, are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.quantised_products import matmul
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@operator("com.microsoft.Attention")
def _attention(
    x: torch.Tensor,
    weights: torch.Tensor,
    bias: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    past: torch.Tensor | None = None,
    attention_bias: torch.Tensor | None = None,
    past_length: torch.Tensor | None = None,
    *,
    num_heads: int,
    do_rotary: int = 0,
    mask_filter_value: float = -10000.0,
    past_present_share_buffer: int = 0,
    qkv_hidden_sizes: Sequence[int] = (),
    rotary_embedding_dim: int = 0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    if do_rotary or past_present_share_buffer:
        raise SupportError("a rotary Attention, or one that shares a buffer with its past")
    projected = F.linear(x, weights.T, bias)
    sizes = list(qkv_hidden_sizes) or [projected.shape[-1] // 3] * 3
    q, k, v = (_heads(t, num_heads) for t in torch.split(projected, sizes, -1))
    return _attend_with_past(
        (q, k, v), past, mask, attention_bias, unidirectional, scale, mask_filter_value
    )


@operator("com.microsoft.QAttention")
def _qattention(
    x: torch.Tensor,
    weights: torch.Tensor,
    bias: torch.Tensor,
    x_scale: torch.Tensor,
    w_scale: torch.Tensor,
    mask: torch.Tensor | None = None,
    x_zero: torch.Tensor | None = None,
    w_zero: torch.Tensor | None = None,
    past: torch.Tensor | None = None,
    *,
    num_heads: int,
    do_rotary: int = 0,
    mask_filter_value: float = -10000.0,
    past_present_share_buffer: int = 0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    if do_rotary or past_present_share_buffer:
        raise SupportError("a rotary QAttention, or one that shares a buffer with its past")
    total = matmul(x, x_zero, weights, w_zero).to(x_scale.dtype)
    projected = total * (x_scale * w_scale) + bias
    q, k, v = (_heads(t, num_heads) for t in projected.chunk(3, dim=-1))
    return _attend_with_past((q, k, v), past, mask, None, unidirectional, scale, mask_filter_value)


@operator("com.microsoft.MultiHeadAttention")
def _multi_head_attention(
    query: torch.Tensor,
    key: torch.Tensor | None = None,
    value: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    attention_bias: torch.Tensor | None = None,
    past_key: torch.Tensor | None = None,
    past_value: torch.Tensor | None = None,
    past_length: torch.Tensor | None = None,
    beams: torch.Tensor | None = None,
    *,
    num_heads: int,
    mask_filter_value: float = -10000.0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> Three:
    if past_length is not None or beams is not None:
        raise SupportError("a MultiHeadAttention with a shared buffer or beams")
    q, k, v = _given_heads(query, key, value, num_heads, bias)
    before = 0
    if past_key is not None and past_value is not None:
        before = past_key.shape[2]
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    seen = before if unidirectional else None
    y = _attend((q, k, v), mask, attention_bias, seen, scale, mask_filter_value)
    return y, k, v


@operator("com.microsoft.DecoderMaskedMultiHeadAttention")
def _decoder_masked_multi_head_attention(
    query: torch.Tensor,
    key: torch.Tensor | None = None,
    value: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    attention_bias: torch.Tensor | None = None,
    past_key: torch.Tensor | None = None,
    past_value: torch.Tensor | None = None,
    past_length: torch.Tensor | None = None,
    beam_width: torch.Tensor | None = None,
    beams: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    *,
    num_heads: int,
    mask_filter_value: float = -10000.0,
    output_qk: int = 0,
    past_present_share_buffer: int = 0,
    scale: float = 0.0,
) -> Three:
    if past_present_share_buffer or beams is not None or output_qk:
        raise SupportError("a DecoderMaskedMultiHeadAttention with a shared buffer or beams")
    y: Three = _multi_head_attention(
        query,
        key,
        value,
        bias,
        mask,
        attention_bias,
        past_key,
        past_value,
        num_heads=num_heads,
        mask_filter_value=mask_filter_value,
        scale=scale,
    )
    return y


@operator("com.microsoft.GroupQueryAttention")
def _group_query_attention(
    query: torch.Tensor,
    key: torch.Tensor | None,
    value: torch.Tensor | None,
    past_key: torch.Tensor | None,
    past_value: torch.Tensor | None,
    seqlens_k: torch.Tensor,
    total_sequence_length: torch.Tensor,
    cos_cache: torch.Tensor | None = None,
    sin_cache: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
    attention_bias: torch.Tensor | None = None,
    head_sink: torch.Tensor | None = None,
    *,
    kv_num_heads: int,
    num_heads: int,
    causal: int = 1,
    do_rotary: int = 0,
    k_quant_type: str = "NONE",
    kv_cache_bit_width: int = 0,
    local_window_size: int = -1,
    qk_norm_epsilon: float = 1e-6,
    qk_output: int = 0,
    rotary_interleaved: int = 0,
    scale: float = 0.0,
    sliding_window_cache: int = 0,
    smooth_softmax: int = -1,
    softcap: float = 0.0,
    v_quant_type: str = "NONE",
) -> Three:
    """Attends to as many keys as are there: the past must hold what is valid, and nothing more."""
    if sliding_window_cache or qk_output or {k_quant_type, v_quant_type} != {"NONE"}:
        raise SupportError("a GroupQueryAttention with a windowed or quantised cache")
    if key is None or value is None:
        size = query.shape[-1] // (num_heads + 2 * kv_num_heads)
        sizes = [num_heads * size, kv_num_heads * size, kv_num_heads * size]
        query, key, value = torch.split(query, sizes, -1)
    q, k = _heads(query, num_heads), _heads(key, kv_num_heads)
    v = _heads(value, kv_num_heads)
    before = 0 if past_key is None else past_key.shape[2]
    if do_rotary and cos_cache is not None and sin_cache is not None:
        if position_ids is None:
            position_ids = torch.arange(before, before + q.shape[2], device=q.device)[None]
        q = _rotated(q, position_ids, cos_cache, sin_cache, rotary_interleaved)
        k = _rotated(k, position_ids, cos_cache, sin_cache, rotary_interleaved)
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    groups = num_heads // kv_num_heads
    scores = (q @ k.repeat_interleave(groups, 1).transpose(-1, -2)) * (
        scale or 1 / math.sqrt(q.shape[-1])
    )
    scores = softcap * torch.tanh(scores / softcap) if softcap else scores
    scores = scores if attention_bias is None else scores + attention_bias
    rows = torch.arange(before, before + q.shape[2], device=q.device)[:, None]
    columns = torch.arange(k.shape[2], device=q.device)
    seen = columns <= seqlens_k.reshape(-1, 1, 1, 1)
    if causal:
        seen = seen & (columns <= rows)
    if local_window_size > 0:
        seen = seen & (columns > rows - local_window_size)
    scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    if head_sink is not None or smooth_softmax > 0:
        # One more key, of which nothing is taken.
        sink = scores.new_zeros(num_heads) if head_sink is None else head_sink
        sink = sink.reshape(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        probabilities = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    else:
        probabilities = scores.softmax(-1)
    return _joined(probabilities @ v.repeat_interleave(groups, 1)), k, v


@operator("com.microsoft.RotaryEmbedding")
def _rotary_embedding(
    x: torch.Tensor,
    position_ids: torch.Tensor,
    cos_cache: torch.Tensor,
    sin_cache: torch.Tensor,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> torch.Tensor:
    if is_packed_batching:
        raise SupportError("a RotaryEmbedding of batches that are packed")
    if x.ndim == 4:
        return _rotated(x, _positions(position_ids, x.shape[2]), cos_cache, sin_cache, interleaved)
    heads = num_heads or x.shape[-1] // (2 * cos_cache.shape[-1])
    y = _heads(x, heads)
    y = _rotated(y, _positions(position_ids, y.shape[2]), cos_cache, sin_cache, interleaved)
    return _joined(y)


@operator("com.microsoft.GemmaRotaryEmbedding")
def _gemma_rotary_embedding(
    emb: torch.Tensor,
    q: torch.Tensor,
    q_rotated: torch.Tensor,
    k: torch.Tensor,
    k_rotated: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    sine, cosine = (f(emb).to(q.dtype).unsqueeze(1) for f in (torch.sin, torch.cos))
    return q * cosine + q_rotated * sine, k * cosine + k_rotated * sine


def _positions(given: torch.Tensor, count: int) -> torch.Tensor:
    """Returns the position of each token, of which a single number gives the first."""
    if given.ndim == 2:
        return given
    return given.reshape(1, 1) + torch.arange(count, device=given.device)


def _rotated(
    x: torch.Tensor,
    positions: torch.Tensor,
    cos_cache: torch.Tensor,
    sin_cache: torch.Tensor,
    interleaved: int,
) -> torch.Tensor:
    """Returns [batch, head, token, size] with the first numbers of each token turned in pairs."""
    # [batch, 1, token, pairs]
    cosine, sine = (F.embedding(positions, t).unsqueeze(1) for t in (cos_cache, sin_cache))
    pairs = cosine.shape[-1]
    turned, rest = x[..., : 2 * pairs], x[..., 2 * pairs :]
    if interleaved:
        a, b = turned[..., ::2], turned[..., 1::2]
    else:
        a, b = turned[..., :pairs], turned[..., pairs:]
    real, imaginary = a * cosine - b * sine, a * sine + b * cosine
    if interleaved:
        turned = torch.stack([real, imaginary], -1).flatten(-2)
    else:
        turned = torch.cat([real, imaginary], -1)
    return torch.cat([turned, rest], -1) if rest.shape[-1] else turned


def _given_heads(
    query: torch.Tensor,
    key: torch.Tensor | None,
    value: torch.Tensor | None,
    count: int,
    bias: torch.Tensor | None,
) -> Three:
    """Returns queries, keys and values by head, from all the forms that they may be given in."""
    if key is None:
        # [batch, token, head, 3, size]
        query, key, value = (t.flatten(2) for t in query.unbind(3))
    elif value is None:
        # [batch, token, head, 2, size]
        key, value = (t.flatten(2) for t in key.unbind(3))
    assert value is not None
    if bias is not None:
        width = query.shape[-1]
        query = query + bias[:width]
        if key.ndim == 3:
            key, value = key + bias[width : 2 * width], value + bias[2 * width :]
    if key.ndim == 4:
        return _heads(query, count), key, value
    return _heads(query, count), _heads(key, count), _heads(value, count)


def _heads(x: torch.Tensor, count: int) -> torch.Tensor:
    """Returns [batch, token, width] as [batch, head, token, size]."""
    return x.reshape(*x.shape[:2], count, -1).transpose(1, 2)


def _joined(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).flatten(2)


def _attend_with_past(
    qkv: Three,
    past: torch.Tensor | None,
    mask: torch.Tensor | None,
    attention_bias: torch.Tensor | None,
    unidirectional: int,
    scale: float,
    filtered: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    q, k, v = qkv
    before = 0
    if past is not None:
        before = past.shape[3]
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    seen = before if unidirectional else None
    y = _attend((q, k, v), mask, attention_bias, seen, scale, filtered)
    return y, torch.stack([k, v]) if k.shape == v.shape else k


def _attend(
    qkv: Three,
    mask: torch.Tensor | None,
    attention_bias: torch.Tensor | None,
    seen: int | None,
    scale: float,
    filtered: float,
) -> torch.Tensor:
    """Returns the attention of [batch, head, token, size], heads joined.

    Args:
        qkv: Queries, keys and values.
        mask: Of keys, in one of the forms that ONNX Runtime has.
        attention_bias: Added to the scores.
        seen: How many keys the first query sees before its own, where none sees those after it.
        scale: Of the scores; 0 for the usual one.
        filtered: What is added to the scores of keys that `mask` hides.
    """
    q, k, v = qkv
    added = attention_bias
    if mask is not None:
        hidden = _hidden(mask, q.shape[0], q.shape[2], k.shape[2])
        weight = q.new_zeros(()).where(~hidden, filtered)
        added = weight if added is None else added + weight
    if seen is not None:
        ahead = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
        ahead = ahead.triu(1 + seen)
        none = q.new_zeros(()) if added is None else added
        added = none.masked_fill(ahead, torch.finfo(q.dtype).min)
    y = F.scaled_dot_product_attention(q, k, v, added, scale=scale or None)
    return _joined(y)


def _hidden(mask: torch.Tensor, batch: int, queries: int, keys: int) -> torch.Tensor:
    """Returns which keys a mask hides, broadcasting against [batch, head, query, key]."""
    columns = torch.arange(keys, device=mask.device)
    if mask.ndim == 4:
        return mask[:, :, keys - queries : keys, :keys] == 0
    if mask.ndim == 3:
        return mask[:, None] == 0
    if mask.ndim == 2:
        return mask[:, None, None] == 0
    if mask.shape[0] not in (batch, 2 * batch):
        raise SupportError("an attention mask of cumulated lengths")
    # Where each sequence ends and, after all the ends, where each begins.
    hidden = columns >= mask[:batch].reshape(-1, 1, 1, 1)
    if mask.shape[0] == batch:
        return hidden
    return hidden | (columns < mask[batch:].reshape(-1, 1, 1, 1))
