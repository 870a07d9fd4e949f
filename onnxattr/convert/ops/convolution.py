"""Convolutions, also transposed and deformable, and Col2Im, which adds up what windows hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import UNSIGNED, Stored, integers
from onnxattr.convert.ops.sampling import corners
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.windows import halves, ones, padded, pads_of, reaches
from onnxattr.errors import SupportError

Product = Callable[..., torch.Tensor]

_CONVOLUTIONS: dict[int, Product] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Product] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@operator("Conv", 1, 11, 22)
def _conv(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    kernel = w.shape[2:]
    steps, dilations = ones(strides, len(kernel)), ones(dilations, len(kernel))
    begin, end = pads_of(auto_pad, pads, x.shape[2:], reaches(kernel, dilations), steps)
    if begin != end or any(p < 0 for p in begin):
        x, begin = padded(x, (begin, end)), [0] * len(kernel)
    convolve = _of_axes(_CONVOLUTIONS, len(kernel), "a convolution")
    return convolve(x, w, b, steps, begin, dilations, group)


@operator("ConvTranspose", 1, 11, 22)
def _conv_transpose(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    kernel, size = w.shape[2:], x.shape[2:]
    axes = len(kernel)
    steps, dilations = ones(strides, axes), ones(dilations, axes)
    added = list(output_padding) if output_padding else [0] * axes
    wanted = output_shape
    if not wanted and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, steps, strict=True)]
    if wanted:
        reach = reaches(kernel, dilations)
        whole = [s * (n - 1) + a + r for n, s, a, r in zip(size, steps, added, reach, strict=True)]
        totals = [n - t for n, t in zip(whole, wanted, strict=True)]
        begin, end = halves([max(0, t) for t in totals], more_at_end=auto_pad == "SAME_UPPER")
        # As in ONNX Runtime, what an output has beyond all windows lies at its end.
        end = [e + min(0, t) if output_shape else e for e, t in zip(end, totals, strict=True)]
    else:
        begin, end = pads_of(auto_pad, pads, size, kernel, steps)
    # What the end has in excess of torch's symmetric pads: more values, or fewer.
    excess = [p - e + a for p, e, a in zip(begin, end, added, strict=True)]
    transpose = _of_axes(_TRANSPOSED, axes, "a transposed convolution")
    known = [0 <= e < max(s, d) for e, s, d in zip(excess, steps, dilations, strict=True)]
    if all(known) and all(p >= 0 for p in begin):
        return transpose(x, w, b, steps, begin, excess, group, dilations)
    cut = [max(0, min(p, e - a)) for p, e, a in zip(begin, end, added, strict=True)]
    first = [c - p for c, p in zip(cut, begin, strict=True)]
    last = [c - e + a for c, e, a in zip(cut, end, added, strict=True)]
    # Zeros beyond all windows have the bias too.
    y = padded(transpose(x, w, None, steps, cut, 0, group, dilations), (first, last))
    return y if b is None else y + b.reshape(-1, *[1] * axes)


def _of_axes(functions: dict[int, Product], axes: int, what: str) -> Product:
    try:
        return functions[axes]
    except KeyError:
        raise SupportError(f"{what} over {axes} axes") from None


@operator("DeformConv", 19, 22)
def _deform_conv(
    x: torch.Tensor,
    w: torch.Tensor,
    offset: torch.Tensor,
    b: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    *,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    offset_group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    """Samples what every window sees, at its offsets, and multiplies it by the weights."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    kernel, size, out = list(w.shape[2:]), x.shape[2:], offset.shape[2:]
    axes, batch, places = len(kernel), x.shape[0], math.prod(kernel)
    steps, dilations = ones(strides, axes), ones(dilations, axes)
    begin, _ = pads_of("NOTSET", pads, size, kernel, steps)
    moved = offset.to(dtype).reshape(batch, offset_group, places, axes, *out)
    positions = []
    for i in range(axes):
        taps = torch.arange(kernel[i], device=x.device, dtype=dtype) * dilations[i]
        inside = taps.reshape([-1 if j == i else 1 for j in range(axes)])
        starts = torch.arange(out[i], device=x.device, dtype=dtype) * steps[i] - begin[i]
        outside = starts.reshape([-1 if j == i else 1 for j in range(axes)])
        grid = inside.expand(kernel).reshape(places, *[1] * axes) + outside
        positions.append((moved[:, :, :, i] + grid).flatten(2))
    values = x.to(dtype).reshape(batch, offset_group, -1, math.prod(size))
    columns = values.new_zeros(*values.shape[:3], places * math.prod(out))
    for index, weight in corners(positions, size):
        taken = values.gather(3, index[:, :, None].expand_as(columns))
        columns = columns + taken * weight[:, :, None]
    if mask is not None:
        columns = columns * mask.to(dtype).reshape(batch, offset_group, 1, -1)
    # [batch, group, channels · places, out] from [batch, offset_group, channels, places · out].
    columns = columns.reshape(batch, group, -1, math.prod(out))
    y = w.to(dtype).reshape(group, w.shape[0] // group, -1) @ columns
    y = y.reshape(batch, w.shape[0], *out)
    return (y if b is None else y + b.to(dtype).reshape(-1, *[1] * axes)).to(x.dtype)


@operator("Col2Im", 18, stored=(1, 2))
def _col2im(
    x: torch.Tensor,
    image_shape: Stored,
    block_shape: Stored,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    image, block = integers(image_shape) or [], integers(block_shape) or []
    axes = len(image)
    steps, dilations = ones(strides, axes), ones(dilations, axes)
    begin, end = pads_of("NOTSET", pads, image, block, steps)
    if axes == 2 and begin == end and x.is_floating_point():
        sizes = (tuple(v) for v in (image, block, dilations, begin, steps))
        return F.fold(x, *sizes)
    whole = [n + p + e for n, p, e in zip(image, begin, end, strict=True)]
    # Where each value of each block lands in the padded image, [places, blocks].
    place = torch.zeros((), dtype=torch.int64, device=x.device)
    for i, reach in enumerate(reaches(block, dilations)):
        taps = torch.arange(block[i], device=x.device) * dilations[i]
        starts = torch.arange(0, whole[i] - reach + 1, steps[i], device=x.device)
        here = (taps[:, None] + starts).reshape(
            *[block[i] if j == i else 1 for j in range(axes)],
            *[len(starts) if j == i else 1 for j in range(axes)],
        )
        place = place * whole[i] + here
    # torch adds up no unsigned integers; int64 wraps around as they do.
    wide = x.to(torch.int64) if x.dtype in UNSIGNED else x
    columns = wide.reshape(x.shape[0], -1, place.numel())
    empty = wide.new_zeros(*columns.shape[:2], math.prod(whole))
    y = empty.index_add(2, place.reshape(-1), columns).reshape(*columns.shape[:2], *whole)
    return padded(y, ([-p for p in begin], [-e for e in end])).to(x.dtype)
