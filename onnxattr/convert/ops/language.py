"""What language models have beside attention: rotations, gates, and memories of a fixed size."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.attention import split_heads
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError


@operator("RotaryEmbedding", 23)
def _rotary_embedding(
    x: torch.Tensor,
    cosines: torch.Tensor,
    sines: torch.Tensor,
    positions: torch.Tensor | None = None,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> torch.Tensor:
    """Returns each pair of numbers turned by an angle of its position."""
    if positions is not None:
        cosines, sines = cosines[positions], sines[positions]
    # The heads come before the positions, or after them in the last axis.
    heads = 1 if x.ndim == 4 else 2
    y = x if x.ndim == 4 else split_heads(x, num_heads or 1)
    cosines, sines = cosines.unsqueeze(heads), sines.unsqueeze(heads)
    size = rotary_embedding_dim or y.shape[3]
    turning, rest = y[..., :size], y[..., size:]
    if interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = turning.chunk(2, 3)
    pair = (cosines * first - sines * second, sines * first + cosines * second)
    turned = torch.stack(pair, 4).flatten(3) if interleaved else torch.cat(pair, 3)
    return torch.cat((turned, rest), 3).reshape(x.shape)


@operator("SwiGLU", 28)
def _swiglu(gate: torch.Tensor, x: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    return (F.silu(gate) if alpha == 1 else gate * torch.sigmoid(alpha * gate)) * x


@operator("CausalConvWithState", 27)
def _causal_convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    past: torch.Tensor | None = None,
    *,
    activation: str = "none",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a convolution of each channel with what came before, and the end of the input."""
    if activation not in ("none", "silu", "swish"):
        raise SupportError(f"the activation `{activation}`")
    before = weight.shape[2] - 1
    x = F.pad(x, (before, 0)) if past is None else torch.cat((past, x), 2)
    y = F.conv1d(x, weight, bias, groups=weight.shape[0])
    return y if activation == "none" else F.silu(y), x[:, :, x.shape[2] - before :]


@operator("LinearAttention", 27)
def _linear_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    past: torch.Tensor | None = None,
    decay: torch.Tensor | None = None,
    beta: torch.Tensor | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns what queries read in a memory, [batch, head, key, value], and the memory at the end.

    At each time it fades, and takes in the value, or the value's difference to what it holds.
    """
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise SupportError(f"the update rule `{update_rule}`")
    fades, corrects = update_rule.startswith("gated"), update_rule.endswith("delta")
    wide = torch.promote_types(q.dtype, torch.float32)
    shared = q_num_heads // kv_num_heads
    # [time, batch, head, number]
    queries = _by_time(q, q_num_heads).to(wide)
    queries = queries.reshape(*queries.shape[:2], kv_num_heads, shared, queries.shape[3])
    keys, values = _by_time(k, kv_num_heads).to(wide), _by_time(v, kv_num_heads).to(wide)
    scale = scale or 1 / math.sqrt(keys.shape[3])
    memory = keys.new_zeros(*keys.shape[1:], values.shape[3]) if past is None else past.to(wide)
    fading = _by_time(decay, kv_num_heads).to(wide).exp() if fades and decay is not None else None
    rates = beta.transpose(0, 1).unsqueeze(3).to(wide) if corrects and beta is not None else None
    outputs = []
    for time in range(keys.shape[0]):
        key, value = keys[time], values[time]
        if fading is not None:
            memory = memory * fading[time].unsqueeze(3)
        if rates is not None:
            held = (key.unsqueeze(2) @ memory).squeeze(2)
            value = rates[time] * (value - held)
        memory = memory + key.unsqueeze(3) * value.unsqueeze(2)
        outputs.append(queries[time] @ memory)
    y = torch.stack(outputs, 1) if outputs else values.new_zeros(v.shape[0], 0, q_num_heads)
    y = (scale * y).reshape(*q.shape[:2], q_num_heads * values.shape[3])
    return y.to(q.dtype), memory.to(q.dtype if past is None else past.dtype)


def _by_time(x: torch.Tensor, heads: int) -> torch.Tensor:
    return split_heads(x, heads).transpose(0, 1)
