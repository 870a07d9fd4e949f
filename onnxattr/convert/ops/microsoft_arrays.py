"""Operators of ONNX Runtime that index, move and transform arrays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import Stored, integers, number
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

_PAD_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}


@operator("com.microsoft.Inverse")
def _inverse(x: torch.Tensor) -> torch.Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    inverse: torch.Tensor = torch.linalg.inv(x.to(dtype))
    return inverse.to(x.dtype)


@operator("com.microsoft.Trilu", stored=(1,))
def _trilu(x: torch.Tensor, k: Stored = None, *, upper: int = 1) -> torch.Tensor:
    diagonal = 0 if k is None else int(number(k) or 0)
    return x.triu(diagonal) if upper else x.tril(diagonal)


@operator("com.microsoft.ExpandDims", stored=(1,))
def _expand_dims(x: torch.Tensor, axis: Stored) -> torch.Tensor:
    return x.unsqueeze(int(number(axis) or 0))


@operator("com.microsoft.GatherND")
def _gather_nd(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    return x[indices.to(torch.int64).unbind(-1)]


@operator("com.microsoft.Unique")
def _unique(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Keeps the order of first occurrence, other than ONNX's own operator."""
    _, inverse, counts = torch.unique(x.detach(), return_inverse=True, return_counts=True)
    places = torch.arange(x.shape[0], device=x.device)
    first = torch.full_like(counts, x.shape[0]).scatter_reduce(0, inverse, places, "amin")
    order = first.argsort()
    return x[first[order]], order.argsort()[inverse], counts[order]


@operator("com.microsoft.Pad", stored=(1,))
def _pad(
    x: torch.Tensor, pads: Stored, value: torch.Tensor | None = None, *, mode: str = "constant"
) -> torch.Tensor:
    if isinstance(pads, Sequence) and pads and isinstance(pads[0], Sequence):
        pads = pads[0]
    if isinstance(pads, torch.Tensor):
        pads = pads.reshape(-1)
    sizes = integers(pads) or []
    pairs = [p for i in reversed(range(x.ndim)) for p in (sizes[i], sizes[x.ndim + i])]
    if mode not in _PAD_MODES:
        raise SupportError(f"padding by `{mode}`")
    if mode != "constant":
        while len(pairs) > 2 and not any(pairs[-2:]):
            pairs = pairs[:-2]
        # torch pads no more than three axes in these modes, and wants one or two more beside them.
        extra = max(0, len(pairs) // 2 + 2 - x.ndim)
        y = x.reshape(*[1] * extra, *x.shape)
        return F.pad(y, pairs, _PAD_MODES[mode]).flatten(0, extra)
    y = F.pad(x, pairs)
    if value is None:
        return y
    # The value has a gradient: what is added to is 1 where the pads are.
    outside = F.pad(torch.zeros_like(x), pairs, value=1.0)
    return y + outside * value.reshape(())


# Numbers that the graph stores have no type here, so all of them are taken as tensors.
# Not at conversion: three numbers may make as many as they like.
@operator("com.microsoft.Range", gradient=False, fold=False)
def _range(
    start: torch.Tensor, limit: torch.Tensor, delta: torch.Tensor | None = None
) -> torch.Tensor:
    first, last = number(start) or 0, number(limit) or 0
    step = 1 if delta is None else number(delta) or 0
    return torch.arange(first, last, step, dtype=start.dtype)


@operator("com.microsoft.CDist")
def _cdist(a: torch.Tensor, b: torch.Tensor, *, metric: str = "sqeuclidean") -> torch.Tensor:
    squared = (a.unsqueeze(1) - b).square().sum(-1)
    if metric == "sqeuclidean":
        return squared
    if metric != "euclidean":
        raise SupportError(f"the distance `{metric}`")
    apart = squared > 0
    # The derivative of a root at 0 is infinite; there is none between equal rows.
    return torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)


@operator("com.microsoft.GridSample")
def _grid_sample(
    x: torch.Tensor,
    grid: torch.Tensor,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> torch.Tensor:
    return F.grid_sample(x, grid, mode, padding_mode, bool(align_corners))


@operator("com.microsoft.ComplexMul")
def _complex_mul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(_complex(a) * _complex(b)).to(a.dtype)


@operator("com.microsoft.ComplexMulConj")
def _complex_mul_conj(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(_complex(a) * _complex(b).conj()).to(a.dtype)


@operator("com.microsoft.Rfft")
def _rfft(
    x: torch.Tensor, *, signal_ndim: int = 1, normalized: int = 0, onesided: int = 1
) -> torch.Tensor:
    axes = list(range(-signal_ndim, 0))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return torch.view_as_real(torch.fft.rfftn(wide, dim=axes)).to(x.dtype)


@operator("com.microsoft.Irfft")
def _irfft(
    x: torch.Tensor, *, signal_ndim: int = 1, normalized: int = 0, onesided: int = 1
) -> torch.Tensor:
    axes = list(range(-signal_ndim, 0))
    signal: torch.Tensor = torch.fft.irfftn(_complex(x), dim=axes)
    return signal.to(x.dtype)


@operator("com.microsoft.IsAllFinite", gradient=False)
def _is_all_finite(*xs: torch.Tensor, isinf_only: int = 0, isnan_only: int = 0) -> torch.Tensor:
    bad = torch.isinf if isinf_only else torch.isnan if isnan_only else _not_finite
    return ~torch.stack([bad(x).any() for x in xs]).any()


def _not_finite(x: torch.Tensor) -> torch.Tensor:
    return ~torch.isfinite(x)


def _complex(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(x.to(torch.promote_types(x.dtype, torch.float32)).contiguous())
