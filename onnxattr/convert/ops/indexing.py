"""Reading and writing parts of a tensor, at places that a graph stores or computes."""

import math
from collections.abc import Callable, Sequence

import torch

from onnxattr.convert.ops.numbers import Stored, integers
from onnxattr.convert.ops.ordering import ordered, unordered
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

#: Integers of as many bytes, for types of which torch moves numbers only as such.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def moved(function: Callable[..., torch.Tensor], x: torch.Tensor, *others: object) -> torch.Tensor:
    """Returns what `function` makes of `x` and `others`, if it moves numbers and leaves them be.

    torch lacks the kernels for unsigned integers and for numbers of eight bits.
    """
    lacking = x.dtype in (torch.uint16, torch.uint32, torch.uint64)
    if not lacking and (x.itemsize > 1 or not x.is_floating_point()):
        return function(x, *others)
    bits = _BITS[x.itemsize]
    same = (
        o.view(bits) if isinstance(o, torch.Tensor) and o.dtype is x.dtype else o for o in others
    )
    return function(x.view(bits), *same).view(x.dtype)


#: Further from anything than any tensor is long.
_FAR = 2**62


@operator("Slice", 1, 10, 11, 13, stored=(1, 2, 3, 4))
def _slice(
    x: torch.Tensor,
    starts: Stored = None,
    ends: Stored = None,
    axes: Stored = None,
    steps: Stored = None,
) -> torch.Tensor:
    begin, end = integers(starts) or [], integers(ends) or []
    chosen = integers(axes) or range(len(begin))
    strides = integers(steps) or [1] * len(begin)
    index = [slice(None)] * x.ndim
    turned = []
    for start, stop, axis, step in zip(begin, end, chosen, strides, strict=True):
        if step > 0:
            # torch warns of the smallest integer, by which exporters mean the very start.
            index[axis] = slice(max(start, -_FAR), max(stop, -_FAR), step)
            continue
        # torch has no negative steps: turn the axis round, where position i is size − 1 − i.
        last = x.shape[axis] - 1
        start, stop, step = slice(start, stop, step).indices(last + 1)
        index[axis] = slice(last - start, max(last - start, last - stop), -step)
        turned.append(axis)
    return (x.flip(turned) if turned else x)[tuple(index)]


@operator("Gather", 1, 11, 13, scalars=(1,))
def _gather(x: torch.Tensor, indices: torch.Tensor | int, *, axis: int = 0) -> torch.Tensor:
    if isinstance(indices, int):
        # A view, where an index that is a tensor would make a copy.
        return x.select(axis, indices)
    return _at(x, [slice(None)] * range(x.ndim)[axis], [indices])


def _at(x: torch.Tensor, front: Sequence[slice], places: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns the parts of `x` at `places`, one an axis, behind the axes of `front`.

    Negative places count from the end; torch raises an error for one that is out of range.
    """
    places = [p.to(x.device, torch.int64) for p in places]
    if all(p.ndim == 0 for p in places):
        # Python's indexing would read the value of a lone integer, which is on the device.
        return _at(x, front, [p.reshape(1) for p in places]).squeeze(len(front))
    index: tuple[slice | torch.Tensor, ...] = (*front, *places)
    return x[index]


@operator("GatherElements", 11, 13)
def _gather_elements(x: torch.Tensor, indices: torch.Tensor, *, axis: int = 0) -> torch.Tensor:
    return moved(torch.Tensor.gather, x, axis, _places(indices, x, axis))


def _places(indices: torch.Tensor, x: torch.Tensor, axis: int) -> torch.Tensor:
    """Returns indices into an axis of `x`, where negative ones count from the end."""
    indices = indices.to(x.device, torch.int64)
    return torch.where(indices < 0, indices + x.shape[axis], indices)


@operator("GatherND", 11, 12, 13)
def _gather_nd(x: torch.Tensor, indices: torch.Tensor, *, batch_dims: int = 0) -> torch.Tensor:
    rank = indices.ndim - 1
    batch = [
        torch.arange(x.shape[i], device=x.device).reshape([-1] + [1] * (rank - 1 - i))
        for i in range(batch_dims)
    ]
    return _at(x, (), [*batch, *indices.unbind(-1)])


@operator("Scatter", 9, 11)
@operator("ScatterElements", 11, 13, 16, 18)
def _scatter_elements(
    x: torch.Tensor,
    indices: torch.Tensor,
    updates: torch.Tensor,
    *,
    axis: int = 0,
    reduction: str = "none",
) -> torch.Tensor:
    places = _places(indices, x, axis)
    if reduction == "none":
        return moved(torch.Tensor.scatter, x, axis, places, updates)
    return _scatter_reduce(x, axis, places, updates, reduction)


def _scatter_reduce(
    x: torch.Tensor, axis: int, places: torch.Tensor, updates: torch.Tensor, reduction: str
) -> torch.Tensor:
    if reduction not in _REDUCTIONS:
        raise SupportError(f"a scatter with the reduction `{reduction}`")
    # Of truth values, a sum is "or" and a product "and"; torch has neither.
    own, given = (v.to(torch.uint8) if v.dtype is torch.bool else ordered(v) for v in (x, updates))
    if x.dtype is torch.bool:
        reduction = {"add": "max", "mul": "min"}.get(reduction, reduction)
    elif x.dtype is torch.uint64 and reduction in ("add", "mul"):
        own, given = x.view(torch.int64), updates.view(torch.int64)
        return own.scatter_reduce(axis, places, given, _REDUCTIONS[reduction]).view(x.dtype)
    return unordered(own.scatter_reduce(axis, places, given, _REDUCTIONS[reduction]), x.dtype)


@operator("ScatterND", 11, 13, 16, 18)
def _scatter_nd(
    x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, *, reduction: str = "none"
) -> torch.Tensor:
    places = indices.to(x.device, torch.int64).unbind(-1)
    if reduction == "none":
        return moved(torch.Tensor.index_put, x, places, updates)
    # Each slice as one number, so that a scatter along one axis reduces repeated indices too.
    depth = len(places)
    count = math.prod(x.shape[:depth])
    flat, inside = torch.zeros_like(places[0]), torch.ones_like(places[0], dtype=torch.bool)
    for axis, place in enumerate(places):
        place = _places(place, x, axis)
        flat = flat * x.shape[axis] + place
        inside = inside & (place >= 0) & (place < x.shape[axis])
    # One that is out of range in any axis must not become another slice's number.
    flat = torch.where(inside, flat, count)
    rows = x.reshape(count, math.prod(x.shape[depth:]))
    values = updates.reshape(flat.numel(), rows.shape[1])
    index = flat.reshape(-1, 1).expand_as(values)
    return _scatter_reduce(rows, 0, index, values, reduction).reshape(x.shape)


@operator("TensorScatter", 24)
def _tensor_scatter(
    cache: torch.Tensor,
    update: torch.Tensor,
    starts: torch.Tensor | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> torch.Tensor:
    axis = range(cache.ndim)[axis]
    sizes = [1] * cache.ndim
    sizes[axis] = update.shape[axis]
    places = torch.arange(update.shape[axis], device=cache.device).reshape(sizes)
    if starts is not None:
        places = places + starts.to(places).reshape([-1] + [1] * (cache.ndim - 1))
    if mode == "circular":
        places = places % cache.shape[axis]
    return moved(torch.Tensor.scatter, cache, axis, places.expand(update.shape), update)


@operator("ReverseSequence", 10, 28)
def _reverse_sequence(
    x: torch.Tensor, lengths: torch.Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> torch.Tensor:
    time = torch.arange(x.shape[time_axis], device=x.device)
    ends = lengths.to(time).unsqueeze(1)
    places = torch.where(time < ends, ends - 1 - time, time)
    if time_axis == 0:
        places = places.T
    places = places.reshape(list(places.shape) + [1] * (x.ndim - 2)).expand(x.shape)
    return moved(torch.Tensor.gather, x, time_axis, places)


@operator("OneHot", 9, 11, 28, stored=(1,))
def _one_hot(
    indices: torch.Tensor, depth: Stored, values: torch.Tensor, *, axis: int = -1
) -> torch.Tensor:
    (size,) = integers(depth) or [0]
    axis = range(indices.ndim + 1)[axis]
    places = indices.to(values.device, torch.int64)
    places = torch.where(places < 0, places + size, places).unsqueeze(axis)
    classes = torch.arange(size, device=values.device)
    hot = places == classes.reshape([-1] + [1] * (indices.ndim - axis))
    off, on = values.unbind()
    return torch.where(hot, on, off)


@operator("Trilu", 14, stored=(1,))
def _trilu(x: torch.Tensor, k: Stored = None, *, upper: int = 1) -> torch.Tensor:
    (diagonal,) = integers(k) or [0]
    return moved(torch.triu if upper else torch.tril, x, diagonal)
