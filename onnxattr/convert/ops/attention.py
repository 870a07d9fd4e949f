"""Attention: a softmax over products of queries and keys, which weights the values."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from onnx import TensorProto
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.calls import attributes_of
from onnxattr.convert.ops.structure import subgraph
from onnxattr.convert.ops.table import builder, operator
from onnxattr.convert.ops.tensors import dtype_of

#: What `qk_matmul_output` shows, by the attribute's number.
_RAW, _CAPPED, _BIASED, _SOFTMAX = range(4)


@operator("Attention", 23, 24, 25)
def _attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None = None,
    past_key: torch.Tensor | None = None,
    past_value: torch.Tensor | None = None,
    lengths: torch.Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    outputs: int = 1,
) -> tuple[torch.Tensor | None, ...]:
    flat = q.ndim == 3
    if flat:
        q, k, v = (
            split_heads(x, heads or 1).transpose(1, 2)
            for x, heads in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads))
        )
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = torch.cat((past_key, k), 2), torch.cat((past_value, v), 2)
    keys, values = _spread(k, q.shape[1]), _spread(v, q.shape[1]).to(q.dtype)
    scale = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    precision = q.dtype if softmax_precision is None else dtype_of(softmax_precision)
    # torch's own computes the softmax of half precision in float32.
    usual = precision is q.dtype or (precision is torch.float32 and q.itemsize == 2)
    usual = usual and not softcap and outputs < 4
    windows = (left_window_size, right_window_size)
    shown = None
    if usual and is_causal and mask is lengths is None and not past and windows == (-1, -1):
        y = F.scaled_dot_product_attention(q, keys, values, is_causal=True, scale=scale)
    else:
        bias = _bias(q, keys, mask, lengths, past, is_causal, windows)
        # A row that sees nothing is zero, and would be, or have gradients that are, NaN.
        blind = None
        if bias is not None and not (mask is lengths is None and left_window_size < 0):
            blind = ~bias.any(-1, True) if bias.dtype is torch.bool else _is_low(bias)
        if usual:
            y = _at_once(q, keys, values, bias, blind, scale)
        else:
            y, shown = _in_steps(
                q, keys, values, bias, blind, scale, softcap, precision, qk_matmul_output_mode
            )
    return y.transpose(1, 2).flatten(2) if flat else y, k, v, shown


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Returns [batch, time, head, number] of `x`, [batch, time, head and number]."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads)


def _spread(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Returns keys or values with as many heads as the queries have, some of which share them."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1)


def _is_low(bias: torch.Tensor) -> torch.Tensor:
    return (bias == -math.inf).all(-1, True)


def _bias(
    q: torch.Tensor,
    k: torch.Tensor,
    mask: torch.Tensor | None,
    lengths: torch.Tensor | None,
    past: int,
    causal: int,
    windows: tuple[int, int],
) -> torch.Tensor | None:
    """Returns what each query sees of the keys, as booleans, or what is added to the scores."""
    seen = _seen(q, k, lengths, past, causal, windows)
    if mask is None:
        return seen
    free = k.shape[2] - mask.shape[-1]
    boolean = mask.dtype is torch.bool
    mask = mask if boolean else mask.to(q.dtype)
    if free > 0:
        # A mask may be shorter than the keys, of which it hides the last.
        mask = F.pad(mask, (0, free), value=False if boolean else -math.inf)
    mask = mask.unsqueeze(0) if mask.ndim == 1 else mask
    if seen is None:
        return mask
    return mask & seen if boolean else torch.where(seen, mask, -math.inf)


def _seen(
    q: torch.Tensor,
    k: torch.Tensor,
    lengths: torch.Tensor | None,
    past: int,
    causal: int,
    windows: tuple[int, int],
) -> torch.Tensor | None:
    """Returns which keys lie before each query, in its windows, and within the valid ones."""
    left, right = windows
    queries, keys = q.shape[2], k.shape[2]
    key = torch.arange(keys, device=q.device)
    query = torch.arange(queries, device=q.device).unsqueeze(1)
    valid = None if lengths is None else lengths.reshape(-1, 1, 1, 1)
    # The last query belongs to the last valid key, where the keys before it are known.
    query = query + (past if valid is None or past else valid - queries)
    conditions = []
    if causal:
        conditions.append(key <= query)
    if left >= 0:
        conditions.append(key >= query - left)
    if right >= 0:
        conditions.append(key <= query + right)
    if valid is not None:
        conditions.append(key < valid)
    seen = None
    for condition in conditions:
        seen = condition if seen is None else seen & condition
    return seen


def _at_once(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    blind: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    if bias is not None and blind is not None:
        bias = bias | blind if bias.dtype is torch.bool else bias.masked_fill(blind, 0)
    y: torch.Tensor = F.scaled_dot_product_attention(q, k, v, bias, scale=scale)
    return y if blind is None else y.masked_fill(blind, 0)


def _in_steps(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    blind: torch.Tensor | None,
    scale: float,
    softcap: float,
    precision: torch.dtype,
    mode: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the result, and what is asked for of the way there."""
    raw = _products(q, k, scale)
    capped = softcap * torch.tanh(raw / softcap) if softcap else raw
    scores = capped
    if bias is not None and bias.dtype is torch.bool:
        scores = torch.where(bias, capped, -math.inf)
    elif bias is not None:
        scores = capped + bias
    open_ = scores if blind is None else scores.masked_fill(blind, 0)
    weights = F.softmax(open_, -1, dtype=precision).to(q.dtype)
    weights = weights if blind is None else weights.masked_fill(blind, 0)
    shown = {_RAW: raw, _CAPPED: capped, _BIASED: scores, _SOFTMAX: weights}[mode]
    return weights @ v, shown


def _products(q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
    if scale <= 0:
        return (q * scale) @ k.transpose(2, 3)
    # Both take a part of the scale, as ONNX says: half precision would overflow.
    root = math.sqrt(scale)
    return (q * root) @ (k * root).transpose(2, 3)


class FlexAttention(nn.Module):
    """Attention whose scores and whose weights go through subgraphs.

    Args:
        scores: A subgraph of the scores and of what it reads from outside; None for none.
        weights: Likewise, of the softmax.
        taken: How many values of outside the former takes.
        scale: Of the scores; None for the usual one.
        precision: Type of the scores; None for at least float32.
    """

    def __init__(
        self,
        scores: nn.Module | None,
        weights: nn.Module | None,
        taken: int,
        scale: float | None,
        precision: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.scores, self.weights, self.taken = scores, weights, taken
        self.scale, self.precision = scale, precision

    def forward(self, *values: Any) -> torch.Tensor:
        q, k, v, *outer = values
        wide = torch.promote_types(q.dtype, torch.float32)
        precision = wide if self.precision is None else self.precision
        scale = 1 / math.sqrt(q.shape[3]) if self.scale is None else self.scale
        scores = _products(q, _spread(k, q.shape[1]), scale).to(precision)
        if self.scores is not None:
            scores = self.scores(scores, *outer[: self.taken])
        weights = F.softmax(scores, -1)
        if self.weights is not None:
            weights = self.weights(weights, *outer[self.taken :])
        y: torch.Tensor = weights @ _spread(v, q.shape[1]).to(precision)
        return y.to(v.dtype)


@builder("ai.onnx.preview.FlexAttention")
def _flex_attention(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    bodies = {a.name: a.g for a in node.proto.attribute if a.HasField("g")}
    modules: dict[str, nn.Module | None] = {"score_mod": None, "prob_mod": None}
    outer: dict[str, list[str]] = {"score_mod": [], "prob_mod": []}
    for name, body in bodies.items():
        modules[name], outer[name] = subgraph(body)
    attributes = attributes_of(node.proto)
    kind = attributes.get("softmax_precision", TensorProto.UNDEFINED)
    module = FlexAttention(
        modules["score_mod"],
        modules["prob_mod"],
        len(outer["score_mod"]),
        attributes.get("scale"),
        dtype_of(kind) if kind else None,
    )
    return module, [*node.input_values, *outer["score_mod"], *outer["prob_mod"]]
