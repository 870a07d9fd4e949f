"""Operators that compare the numbers of a tensor with each other, and choose among them."""

import torch

from onnxattr.convert.ops.numbers import UNSIGNED, Stored, number
from onnxattr.convert.ops.table import operator

_LOWEST = torch.iinfo(torch.int64).min


def ordered(x: torch.Tensor) -> torch.Tensor:
    """Returns numbers of a type that torch can compare, in the order of those of `x`."""
    if x.dtype is torch.uint64:
        return x.view(torch.int64) ^ _LOWEST
    return x.to(torch.int64) if x.dtype in UNSIGNED else x


def unordered(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns the numbers of type `dtype` that `ordered` gave as `x`."""
    return (x ^ _LOWEST).view(dtype) if dtype is torch.uint64 else x.to(dtype)


@operator("TopK", 1, 10, 11, 24, stored=(1,))
def _top_k(
    x: torch.Tensor, k: Stored = None, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    # A stable sort, since of equal numbers the one with the lower index comes first.
    order = ordered(x.detach()).sort(dim=axis, stable=True, descending=bool(largest)).indices
    places = order.narrow(axis, 0, int(number(k) or 0))
    return unordered(ordered(x).gather(axis, places), x.dtype), places


@operator("ArgMax", 1, 11, 12, 13, gradient=False)
def _argmax(
    x: torch.Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> torch.Tensor:
    x = ordered(x.flip(axis) if select_last_index else x)
    places = x.argmax(axis, bool(keepdims))
    return x.shape[axis] - 1 - places if select_last_index else places


@operator("ArgMin", 1, 11, 12, 13, gradient=False)
def _argmin(
    x: torch.Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> torch.Tensor:
    x = ordered(x.flip(axis) if select_last_index else x)
    places = x.argmin(axis, bool(keepdims))
    return x.shape[axis] - 1 - places if select_last_index else places


@operator("NonZero", 9, 13, gradient=False)
def _nonzero(x: torch.Tensor) -> torch.Tensor:
    return (x != 0).nonzero().T


@operator("Compress", 9, 11, 28, stored=(1,))
def _compress(x: torch.Tensor, condition: Stored, *, axis: int | None = None) -> torch.Tensor:
    if isinstance(condition, torch.Tensor):
        places = condition.to(x.device).nonzero().squeeze(1)
    else:
        assert isinstance(condition, list)
        chosen = [i for i, wanted in enumerate(condition) if wanted]
        places = torch.tensor(chosen, dtype=torch.int64, device=x.device)
    return x.reshape(-1).index_select(0, places) if axis is None else x.index_select(axis, places)


@operator("Unique", 11, 28)
def _unique(
    x: torch.Tensor, *, axis: int | None = None, sorted: int = 1
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    if axis is None:
        x, axis = x.reshape(-1), 0
    keys = ordered(x.detach())
    _, inverse, counts = (
        torch.unique(keys, return_inverse=True, return_counts=True)
        if keys.ndim == 1
        else torch.unique(keys, dim=axis, return_inverse=True, return_counts=True)
    )
    every = torch.arange(x.shape[axis], device=x.device)
    first = torch.full_like(counts, x.shape[axis]).scatter_reduce(0, inverse, every, "amin")
    if not sorted:
        # In the order in which they come.
        order = first.argsort()
        first, counts, inverse = first[order], counts[order], order.argsort()[inverse]
    # Read from the input, so that there is a gradient.
    return x.index_select(axis, first), first, inverse, counts


@operator("NonMaxSuppression", 10, 11, stored=(2, 3, 4), gradient=False)
def _non_max_suppression(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    most: Stored = None,
    overlap: Stored = None,
    threshold: Stored = None,
    *,
    center_point_box: int = 0,
) -> torch.Tensor:
    limit, least = int(number(most) or 0), number(threshold)
    corners, values = _corners(boxes.detach().cpu(), bool(center_point_box)), scores.detach().cpu()
    chosen = [
        [batch, kind, place]
        for batch in range(values.shape[0])
        for kind in range(values.shape[1])
        for place in _kept(
            corners[batch], values[batch, kind], limit, float(number(overlap) or 0.0), least
        )
    ]
    return torch.tensor(chosen, dtype=torch.int64, device=boxes.device).reshape(-1, 3)


def _corners(boxes: torch.Tensor, centred: bool) -> torch.Tensor:
    """Returns boxes as their lowest and their highest corner."""
    one, other = boxes[..., :2], boxes[..., 2:]
    if centred:
        return torch.cat([one - other / 2, one + other / 2], -1)
    return torch.cat([torch.minimum(one, other), torch.maximum(one, other)], -1)


def _kept(
    boxes: torch.Tensor, scores: torch.Tensor, limit: int, overlap: float, least: float | None
) -> list[int]:
    """Returns the places of the boxes that overlap with no better one, the best first."""
    order = scores.sort(stable=True, descending=True).indices
    if least is not None:
        order = order[scores[order] > least]
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        kept.append(int(order[0]))
        box, others = boxes[order[0]], boxes[order[1:]]
        low = torch.maximum(box[:2], others[:, :2])
        high = torch.minimum(box[2:], others[:, 2:])
        shared = (high - low).clamp(min=0.0).prod(-1)
        areas = (others[:, 2:] - others[:, :2]).prod(-1)
        union = (box[2:] - box[:2]).prod() + areas - shared
        # Boxes that share nothing stay, even where they have no area at all.
        order = order[1:][~((shared > 0) & (shared / union > overlap))]
    return kept
