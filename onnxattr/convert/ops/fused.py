"""Operators of our own, each of which does what a chain of ONNX's does, by one kernel of torch."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.table import operator

#: What a query sees that may look at no key.
_EMPTY = {"zero": 0.0, "nan": math.nan}


@operator("FusedGelu")
def _fused_gelu(x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    return F.gelu(x, approximate=approximate)


@operator("FusedLinear")
def _fused_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Weights are [in, out], as a product has them; the bias may have leading axes of one."""
    # Rows that do not follow one another would be multiplied as a batch of small products, which
    # took twice the time (tokens first, as attention is exported by torch).
    return F.linear(x.contiguous(), weight.T, bias.reshape(-1))


@operator("FusedLayerNormalization")
def _fused_layer_normalization(
    x: torch.Tensor,
    scale: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    *,
    axes: Sequence[int] = (-1,),
    epsilon: float = 1e-5,
) -> torch.Tensor:
    """Scale and bias broadcast to x and vary along the axes only."""
    count = len(axes)
    last = tuple(range(-count, 0))
    ordered = sorted(a % x.ndim - x.ndim for a in axes)
    moved = x if tuple(ordered) == last else x.movedim(ordered, last)
    shape = moved.shape[x.ndim - count :]
    size = math.prod(shape)
    # Parameters that broadcast along one of the axes are rare.
    if all(p is None or p.numel() == size for p in (scale, bias)):
        weight, shift = (p.reshape(shape) if p is not None else None for p in (scale, bias))
        result = F.layer_norm(moved, shape, weight, shift, epsilon)
        return result if moved is x else result.movedim(last, ordered)
    result = F.layer_norm(moved, shape, eps=epsilon)
    result = result if moved is x else result.movedim(last, ordered)
    result = result if scale is None else result * scale
    return result if bias is None else result + bias


@operator("SplitFirst")
def _split_first(x: torch.Tensor, *, sizes: Sequence[int]) -> torch.Tensor:
    """Returns x with its first axis split into several; one of size 1 broadcasts, and they too."""
    sizes = (1,) * len(sizes) if x.shape[0] == 1 else tuple(sizes)
    return torch.unflatten(x, 0, sizes)


@operator("JoinFirst")
def _join_first(x: torch.Tensor, *, axes: int) -> torch.Tensor:
    return x.flatten(0, axes - 1)


@operator("FusedAttention")
def _fused_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None = None,
    keep: torch.Tensor | None = None,
    *,
    scale: float = 1.0,
    empty: str = "none",
) -> torch.Tensor:
    """Returns softmax(q·k·scale + bias)·v where `keep` allows it; k is transposed already.

    `empty` says what the weights of a query are that may look at no key: `none` where that cannot
    happen, `zero`, `nan`, or `mean`: all alike.
    """
    mask = bias if keep is None else keep if bias is None else torch.where(keep, bias, -math.inf)
    if not _is_plain(q, k, v, mask):
        return _attention_by_steps(q, k, v, mask, scale, empty)
    alone = alike = None
    if mask is not None and empty != "none":
        mask, alone, alike = _level(mask)
    result = _of_four_axes(q, k.transpose(-1, -2), v, mask, scale)
    if alike is not None:
        result = torch.where(alike, v.mean(-2, keepdim=True), result)
    if alone is None or (empty == "zero" and alike is None):
        return result
    return torch.where(
        alone, v.mean(-2, keepdim=True) if empty == "mean" else _EMPTY[empty], result
    )


def _of_four_axes(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Returns torch's attention, whose kernels want an axis of the batch and one of heads.

    Of more axes the first ones that a mask does not tell apart are that of the batch.
    """
    batch = q.shape[:-2]
    count = max(len(batch) - 1, 0)
    if mask is not None:
        mask = mask[(None,) * (q.ndim - mask.ndim)]
        count = next((i for i, size in enumerate(mask.shape[:-2]) if size > 1), count)
        if len(batch) > 2:
            rows = mask.shape[-2:]
            mask = mask.expand(*(1,) * count, *batch[count:], *rows).flatten(0, -3)[None]
        elif len(batch) < 2:
            mask = mask[None]
    if len(batch) != 2:
        sizes = math.prod(batch[:count]), math.prod(batch[count:])
        q, k, v = (t.reshape(*sizes, *t.shape[-2:]) for t in (q, k, v))
    result = F.scaled_dot_product_attention(q, k, v, mask, scale=scale)
    return result.reshape(*batch, *result.shape[-2:]) if len(batch) != 2 else result


def _level(
    mask: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Returns a mask whose rows all leave something, and those of the given one that do not.

    These are the rows that allow nothing, and of a mask that is added those in which rounding loses
    the scores. The kernels keep the logarithm of a row's sum of exp(score), in which rounding would
    lose the sum: the gradient of such a row would be as many times too large as there are keys.
    """
    if mask.dtype is torch.bool:
        return mask, ~mask.any(-1, keepdim=True), None
    top = mask.detach().amax(-1, keepdim=True)
    lost = top <= -8 / torch.finfo(mask.dtype).eps
    if _may_be_asked(lost) and not lost.any():
        return mask - top, None, None
    return torch.where(lost, 0.0, mask - top), top == -math.inf, lost


def _may_be_asked(value: torch.Tensor) -> bool:
    """Returns whether a number may be read: no device is waited for, and nothing is recorded."""
    recorded = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return value.device.type == "cpu" and not recorded


def _is_plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Returns whether torch's kernels take the operands as they are: nothing broadcasts but masks.

    Even of a mask the last axis must be there.
    """
    batch = q.shape[:-2]
    if q.ndim < 3 or k.shape[:-2] != batch or v.shape[:-2] != batch:
        return False
    if mask is None:
        return True
    scores = (*batch, q.shape[-2], k.shape[-1])
    if not 2 <= mask.ndim <= len(scores) or mask.shape[-1] != scores[-1]:
        return False
    return all(m in (1, s) for m, s in zip(reversed(mask.shape), reversed(scores), strict=False))


def _attention_by_steps(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    empty: str,
) -> torch.Tensor:
    scores = torch.matmul(q, k) * scale
    if mask is not None and mask.dtype is torch.bool:
        scores = torch.where(mask, scores, -math.inf)
    elif mask is not None:
        scores = scores + mask
    row = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(torch.where(row, 0.0, scores), -1)
    if empty in ("nan", "zero"):
        weights = torch.where(row, math.nan if empty == "nan" else 0.0, weights)
    return torch.matmul(weights, v)
