"""Values moved in space: sampling at a grid, blocks of depth, cropping to a size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import Stored, integers
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

#: torch's names of interpolations; those of GridSample 16, and those of later versions.
_MODES = {
    "bilinear": "bilinear",
    "linear": "bilinear",
    "nearest": "nearest",
    "bicubic": "bicubic",
    "cubic": "bicubic",
}


@operator("GridSample", 16, 20, 22)
def _grid_sample(
    x: torch.Tensor,
    grid: torch.Tensor,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> torch.Tensor:
    if mode not in _MODES or padding_mode not in ("zeros", "border", "reflection"):
        raise SupportError(f"GridSample with mode `{mode}` and padding `{padding_mode}`")
    if x.is_complex():
        parts = (
            _grid_sample(
                part, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode
            )
            for part in (x.real, x.imag)
        )
        return torch.complex(*parts)
    # Whatever is between whole numbers is cut off at the end.
    dtype = torch.promote_types(x.dtype if x.is_floating_point() else torch.float64, grid.dtype)
    values, places = x.to(dtype), grid.to(dtype)
    aligned, axes, kind = bool(align_corners), x.ndim - 2, _MODES[mode]
    if axes == 1:
        # A line is the middle row of an image that is one value high.
        flat = torch.stack([places[..., 0], torch.zeros_like(places[..., 0])], -1)[:, None]
        y = F.grid_sample(values[:, :, None], flat, kind, padding_mode, aligned)[:, :, 0]
    elif axes == 2 or (axes == 3 and kind != "bicubic"):
        y = F.grid_sample(values, places, kind, padding_mode, aligned)
    else:
        y = _sampled(values, places, kind, padding_mode, aligned)
    return y.to(x.dtype)


def _sampled(
    x: torch.Tensor, grid: torch.Tensor, mode: str, padding: str, aligned: bool
) -> torch.Tensor:
    """Returns samples along any number of axes: each reads some taps, whose weights multiply."""
    size, out = x.shape[2:], grid.shape[1:-1]
    # The last coordinate of the grid is that of the first axis.
    places = [_place(p, n, aligned) for p, n in zip(grid.flip(-1).unbind(-1), size, strict=True)]
    if mode != "bicubic":
        # Of a tap that is found by rounding or by cubics, padding is that of the tap.
        places = [_padded(p, n, padding, aligned) for p, n in zip(places, size, strict=True)]
    taps = [_taps(p, mode) for p in places]
    flat = x.flatten(2)
    y = x.new_zeros(*x.shape[:2], *out)
    for chosen in itertools.product(*taps):
        index = torch.zeros_like(places[0], dtype=torch.int64)
        weight = torch.ones_like(places[0])
        for (at, share), n in zip(chosen, size, strict=True):
            bounded = _padded(at, n, padding, aligned)
            inside = (bounded >= 0) & (bounded < n)
            index = index * n + torch.where(inside, bounded, 0.0).to(torch.int64)
            weight = weight * torch.where(inside, share, 0.0)
        taken = flat.gather(2, index.reshape(x.shape[0], 1, -1).expand(-1, x.shape[1], -1))
        y = y + taken.reshape(y.shape) * weight[:, None]
    return y


def _place(position: torch.Tensor, size: int, aligned: bool) -> torch.Tensor:
    if aligned:
        return (position + 1) / 2 * (size - 1)
    return ((position + 1) * size - 1) / 2


def _padded(place: torch.Tensor, size: int, padding: str, aligned: bool) -> torch.Tensor:
    """Returns places that `padding` moves inside."""
    if padding == "zeros":
        return place
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
        span = high - low
        if span == 0:
            return torch.zeros_like(place)
        beyond = (place - low).abs()
        turns = (beyond / span).detach().floor()
        rest = beyond - turns * span
        place = torch.where(turns % 2 == 0, rest + low, high - rest)
    return place.clamp(0, size - 1)


def _taps(place: torch.Tensor, mode: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Returns whole places and their weights along an axis."""
    if mode == "nearest":
        return [(place.detach().round(), torch.ones_like(place))]
    below = place.detach().floor()
    t = place - below
    if mode == "bilinear":
        return [(below, 1 - t), (below + 1, t)]
    a = -0.75
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
    weights = [far[0], near[0], near[1], far[1]]
    return [(below + i - 1, w) for i, w in enumerate(weights)]


@operator("AffineGrid", 20, stored=(1,))
def _affine_grid(theta: torch.Tensor, size: Stored, *, align_corners: int = 0) -> torch.Tensor:
    return F.affine_grid(theta, integers(size) or [], bool(align_corners))


@operator("DepthToSpace", 1, 11, 13, 28)
def _depth_to_space(x: torch.Tensor, *, blocksize: int, mode: str = "DCR") -> torch.Tensor:
    batch, depth, height, width = x.shape
    channels = depth // blocksize**2
    if mode == "DCR":
        blocks = x.reshape(batch, blocksize, blocksize, channels, height, width)
        blocks = blocks.permute(0, 3, 4, 1, 5, 2)
    elif mode == "CRD":
        blocks = x.reshape(batch, channels, blocksize, blocksize, height, width)
        blocks = blocks.permute(0, 1, 4, 2, 5, 3)
    else:
        raise SupportError(f"DepthToSpace with mode `{mode}`")
    return blocks.reshape(batch, channels, height * blocksize, width * blocksize)


@operator("SpaceToDepth", 1, 13, 28)
def _space_to_depth(x: torch.Tensor, *, blocksize: int, mode: str = "DCR") -> torch.Tensor:
    batch, channels, height, width = x.shape
    height, width = height // blocksize, width // blocksize
    blocks = x.reshape(batch, channels, height, blocksize, width, blocksize)
    if mode not in ("DCR", "CRD"):
        raise SupportError(f"SpaceToDepth with mode `{mode}`")
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return blocks.permute(order).reshape(batch, channels * blocksize**2, height, width)


@operator("CenterCropPad", 18, stored=(1,))
def _center_crop_pad(
    x: torch.Tensor, shape: Stored, *, axes: Sequence[int] | None = None
) -> torch.Tensor:
    chosen = range(x.ndim) if axes is None else axes
    pads = [[0, 0] for _ in range(x.ndim)]
    for axis, target in zip(chosen, integers(shape) or [], strict=True):
        size = x.shape[axis]
        if target < size:
            x = x.narrow(axis, (size - target) // 2, target)
        else:
            pads[axis] = [(target - size) // 2, (target - size + 1) // 2]
    return F.pad(x, [p for pair in reversed(pads) for p in pair])
