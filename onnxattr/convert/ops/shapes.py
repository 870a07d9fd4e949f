"""Shapes: the same numbers in another arrangement, in parts, together, or repeated."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import Stored, integers, number
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

#: Up to here a double, which is what `F.pad` fills with, holds every integer.
_EXACT = 1 << 53


@operator("Identity", 1, 13, 14, 16, 19, 21, 23, 24, 25)
def _identity(value: object) -> object:
    return value


@operator("Reshape", 1, 5, 13, 14, 19, 21, 23, 24, 25, stored=(1,))
def _reshape(
    x: torch.Tensor, shape: Stored = None, *, allowzero: int = 0, consumed_inputs: object = None
) -> torch.Tensor:
    sizes = integers(shape) or []
    if not allowzero and 0 in sizes:
        sizes = [size or x.shape[axis] for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


@operator("Flatten", 1, 9, 11, 13, 21, 23, 24, 25)
def _flatten(x: torch.Tensor, *, axis: int = 1) -> torch.Tensor:
    # Both sizes are named, since torch cannot infer one beside a zero.
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Squeeze", 1, 11, 13, 21, 23, 24, 25, stored=(1,))
def _squeeze(x: torch.Tensor, axes: Stored = None) -> torch.Tensor:
    chosen = integers(axes)
    if not chosen:
        return x.squeeze()
    # torch leaves larger axes as they are, where ONNX has an error.
    if any(x.shape[axis] != 1 for axis in chosen):
        raise ValueError(f"Squeeze of axes {chosen} of a tensor of shape {list(x.shape)}")
    return x.squeeze(chosen)


@operator("Unsqueeze", 1, 11, 13, 21, 23, 24, 25, stored=(1,))
def _unsqueeze(x: torch.Tensor, axes: Stored = None) -> torch.Tensor:
    chosen = integers(axes) or []
    rank = x.ndim + len(chosen)
    for axis in sorted(range(rank)[axis] for axis in chosen):
        x = x.unsqueeze(axis)
    return x


@operator("Transpose", 1, 13, 21, 23, 24, 25)
def _transpose(x: torch.Tensor, *, perm: Sequence[int] | None = None) -> torch.Tensor:
    return x.permute(tuple(reversed(range(x.ndim))) if perm is None else tuple(perm))


@operator("Concat", 1, 4, 11, 13)
def _concat(*xs: torch.Tensor, axis: int = 1) -> torch.Tensor:
    return torch.cat(xs, axis)


@operator("Split", 1, 2, 11, 13, 18, stored=(1,))
def _split(
    x: torch.Tensor,
    split: Stored = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    outputs: int = 1,
) -> tuple[torch.Tensor, ...]:
    sizes = integers(split)
    if sizes is None:
        count, total = num_outputs or outputs, x.shape[axis]
        size = -(-total // count)
        # The last part may be smaller, and there must be as many as are asked for.
        sizes = [max(0, min(size, total - i * size)) for i in range(count)]
    return torch.split(x, sizes, axis)


@operator("Expand", 8, 13, stored=(1,))
def _expand(x: torch.Tensor, shape: Stored) -> torch.Tensor:
    wanted = integers(shape) or []
    # The shape may have fewer axes than the tensor, and ones where the tensor has more.
    wanted = [1] * (x.ndim - len(wanted)) + wanted
    sizes = [1] * (len(wanted) - x.ndim) + list(x.shape)
    return x.expand([size if n == 1 else n for size, n in zip(sizes, wanted, strict=True)])


@operator("Tile", 6, 13, stored=(1,))
def _tile(x: torch.Tensor, repeats: Stored) -> torch.Tensor:
    return x.repeat(integers(repeats) or [])


@operator("Tile", 1, stored=(1, 2))
def _tile_axis(x: torch.Tensor, tiles: Stored, axis: Stored) -> torch.Tensor:
    repeats = [1] * x.ndim
    repeats[int(number(axis) or 0)] = int(number(tiles) or 0)
    return x.repeat(repeats)


@operator("Shape", 1, 13, 15, 19, 21, 23, 24, 25, gradient=False, host=True)
def _shape(x: torch.Tensor, *, start: int = 0, end: int | None = None) -> torch.Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64, device="cpu")


@operator("Size", 1, 13, 19, 21, 23, 24, 25, gradient=False, host=True)
def _size(x: torch.Tensor) -> torch.Tensor:
    return torch.tensor(x.numel(), dtype=torch.int64, device="cpu")


@operator("Pad", 1, 2)
def _pad_attributes(
    x: torch.Tensor,
    *,
    pads: Sequence[int] = (),
    paddings: Sequence[int] = (),
    mode: str = "constant",
    value: float = 0.0,
) -> torch.Tensor:
    return _padded(x, pads or paddings, value, None, mode)


@operator("Pad", 11, 13, 18, 19, 21, 23, 24, 25, stored=(1, 2, 3))
def _pad(
    x: torch.Tensor,
    pads: Stored,
    value: Stored = None,
    axes: Stored = None,
    *,
    mode: str = "constant",
) -> torch.Tensor:
    return _padded(x, pads, value, axes, mode)


def _padded(x: torch.Tensor, pads: Stored, value: Stored, axes: Stored, mode: str) -> torch.Tensor:
    amounts, chosen = integers(pads) or [], integers(axes)
    chosen = list(range(x.ndim)) if chosen is None else [range(x.ndim)[axis] for axis in chosen]
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(chosen):
        before[axis], after[axis] = amounts[i], amounts[len(chosen) + i]
    if mode == "constant":
        return _pad_constant(x, before, after, value)
    for axis in range(x.ndim):
        if before[axis] or after[axis]:
            x = _pad_axis(x, axis, before[axis], after[axis], mode)
    return x


def _pad_constant(
    x: torch.Tensor, before: Sequence[int], after: Sequence[int], value: Stored
) -> torch.Tensor:
    amounts = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
    if isinstance(value, Sequence) and len(value) == 1:
        value = value[0]
    if value is None:
        return F.pad(x, amounts)
    if isinstance(value, bool | int | float) and (value != value or abs(value) <= _EXACT):
        return F.pad(x, amounts, value=value)
    inside = F.pad(torch.ones_like(x, dtype=torch.bool), amounts)
    outside = torch.as_tensor(value, dtype=x.dtype, device=x.device).reshape(())
    return torch.where(inside, F.pad(x, amounts), outside)


def _pad_axis(x: torch.Tensor, axis: int, before: int, after: int, mode: str) -> torch.Tensor:
    """Returns `x` cropped where an amount is negative, and then padded with its own numbers."""
    size = x.shape[axis] + min(before, 0) + min(after, 0)
    x = x.narrow(axis, max(-before, 0), size)
    place: torch.Tensor = torch.arange(-max(before, 0), size + max(after, 0), device=x.device)
    if mode == "edge":
        place = place.clamp(0, size - 1)
    elif mode == "wrap":
        place = place.remainder(size)
    elif mode == "reflect":
        # There and back again, without the ends twice; a single number reflects into itself.
        place = place.abs().remainder(max(2 * size - 2, 1))
        place = torch.minimum(place, 2 * size - 2 - place)
    else:
        raise SupportError(f"Pad with the mode `{mode}`")
    return x.index_select(axis, place)
