"""Pooling of regions of interest: RoiAlign, which interpolates, and MaxRoiPool, which rounds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError


@operator("RoiAlign", 10)
def _roi_align_10(
    x: torch.Tensor,
    rois: torch.Tensor,
    batch_indices: torch.Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> torch.Tensor:
    aligned: torch.Tensor = _roi_align(
        x,
        rois,
        batch_indices,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )
    return aligned


@operator("RoiAlign", 16, 22)
def _roi_align(
    x: torch.Tensor,
    rois: torch.Tensor,
    batch_indices: torch.Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> torch.Tensor:
    """Samples every bin of every region: the mean of its samples, or their maximum.

    One sample of all bins is read at a time, so that memory does not grow with their number.
    """
    mode, transformation = mode.lower(), coordinate_transformation_mode.lower()
    if mode not in ("avg", "max") or transformation not in ("half_pixel", "output_half_pixel"):
        raise SupportError(f"RoiAlign with {mode} and {transformation}")
    dtype = torch.promote_types(x.dtype, torch.float32)
    half_pixel = transformation == "half_pixel"
    corners = rois.to(dtype) * spatial_scale - (0.5 if half_pixel else 0.0)
    low, extent = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not half_pixel:
        extent = extent.clamp(min=1.0)
    (left, top), (width, height) = low.unbind(1), extent.unbind(1)
    images, columns = x.shape[0], x.shape[3]
    values = x.to(dtype).transpose(0, 1).reshape(x.shape[1], -1)
    image = batch_indices.reshape(-1, 1, 1) * (x.shape[2] * columns)
    rows_of = _samples(top, height, output_height, sampling_ratio, x.shape[2])
    columns_of = _samples(left, width, output_width, sampling_ratio, columns)
    assert images or not len(rois), "regions of no image"
    y = values.new_zeros(x.shape[1], len(rois), output_height, output_width)
    highest = torch.full_like(y, float("-inf"))
    for row_taps, row_counts in rows_of:
        for column_taps, column_counts in columns_of:
            counts = row_counts[:, None, None] & column_counts[:, None, None]
            for row, row_weight in row_taps:
                for column, column_weight in column_taps:
                    index = image + row[:, :, None] * columns + column[:, None, :]
                    weight = row_weight[:, :, None] * column_weight[:, None, :]
                    taken = values[:, index] * weight
                    if mode == "avg":
                        y = y + torch.where(counts, taken, 0.0)
                    else:
                        highest = highest.maximum(torch.where(counts, taken, float("-inf")))
    if mode == "avg":
        numbers = [
            _numbers(e, n, sampling_ratio)
            for e, n in ((height, output_height), (width, output_width))
        ]
        y = y / (numbers[0] * numbers[1]).clamp(min=1)[:, None, None]
    else:
        # A region without an extent has no samples.
        y = torch.where(highest == float("-inf"), 0.0, highest)
    return y.transpose(0, 1).to(x.dtype)


Taps = list[tuple[torch.Tensor, torch.Tensor]]


def _numbers(extent: torch.Tensor, bins: int, sampling_ratio: int) -> torch.Tensor:
    """Returns how many samples a bin has along an axis, [rois]."""
    if sampling_ratio > 0:
        return torch.full_like(extent.detach(), sampling_ratio)
    return (extent.detach() / bins).ceil()


def _samples(
    start: torch.Tensor, extent: torch.Tensor, bins: int, sampling_ratio: int, size: int
) -> list[tuple[Taps, torch.Tensor]]:
    """Returns for each sample along an axis its two values, and which regions have it.

    Each value is an index and its weight, [rois, bins]; both are zero outside.
    """
    numbers = _numbers(extent, bins, sampling_ratio)
    # An adaptive number of samples follows from the regions: no shape says it.
    most = sampling_ratio or (int(numbers.max().clamp(min=0)) if len(numbers) else 0)
    bin_size = (extent / bins)[:, None]
    first = start[:, None] + torch.arange(bins, device=start.device) * bin_size
    samples = []
    for i in range(most):
        at = first + (i + 0.5) * bin_size / numbers[:, None].clamp(min=1)
        inside = (at >= -1) & (at <= size)
        at = torch.where(inside, at, 0.0).clamp(0, max(size - 1, 0))
        below = at.detach().floor()
        share = at - below
        weights = (torch.where(inside, w, 0.0) for w in (1 - share, share))
        above = (below + 1).clamp(max=max(size - 1, 0))
        indices = (v.to(torch.int64) for v in (below, above))
        samples.append((list(zip(indices, weights, strict=True)), i < numbers))
    return samples


@operator("MaxRoiPool", 1, 22)
def _max_roi_pool(
    x: torch.Tensor,
    rois: torch.Tensor,
    *,
    pooled_shape: Sequence[int],
    spatial_scale: float = 1.0,
) -> torch.Tensor:
    """Returns the maximum of every bin, whose borders are whole; an empty bin is zero.

    The regions have no gradient, for they are rounded.
    """
    dtype = torch.promote_types(rois.dtype, torch.float32)
    places = (rois[:, 1:].detach().to(dtype) * spatial_scale + 0.5).floor()
    (left, top), (right, bottom) = places[:, :2].unbind(1), places[:, 2:].unbind(1)
    rows = _inside(top, bottom, pooled_shape[0], x.shape[2])
    columns = _inside(left, right, pooled_shape[1], x.shape[3])
    images = rois[:, 0].detach().to(torch.int64)
    lowest = float("-inf")
    pooled = []
    # A region at a time: masks over all of them would be as large as all their images.
    for i in range(len(rois)):
        image = x.index_select(0, images[i : i + 1])[0]
        by_rows = image[:, None].masked_fill(~rows[i][:, :, None], lowest).amax(2)
        pooled.append(by_rows[:, :, None].masked_fill(~columns[i], lowest).amax(3))
    if not pooled:
        return x.new_zeros(0, x.shape[1], *pooled_shape)
    y = torch.stack(pooled)
    full = rows.any(2)[:, None, :, None] & columns.any(2)[:, None, None, :]
    return torch.where(full, y, 0.0)


def _inside(first: torch.Tensor, last: torch.Tensor, bins: int, size: int) -> torch.Tensor:
    """Returns which values of an axis lie in each bin, [rois, bins, size]."""
    step = ((last - first + 1).clamp(min=1) / bins)[:, None]
    number = torch.arange(bins, device=first.device)
    begin = (number * step).floor() + first[:, None]
    end = ((number + 1) * step).ceil() + first[:, None]
    at = torch.arange(size, device=first.device)
    return (at >= begin[:, :, None]) & (at < end[:, :, None])
