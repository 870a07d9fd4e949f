"""Reading and writing parts of a tensor, at places that a graph stores or computes."""

import math
from collections.abc import Sequence

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator

Bounds = list[int]


class Slice(nn.Module):
    """ONNX Slice: numpy's slicing, with out-of-range bounds clamped, in any order of axes.

    Args:
        bounds: Starts, ends, axes and steps where the graph stores all of them; otherwise they
            are the further inputs, None where one is blank.
    """

    def __init__(self, bounds: list[Bounds | None] | None) -> None:
        super().__init__()
        self.bounds = bounds

    def forward(self, x: torch.Tensor, *given: torch.Tensor | None) -> torch.Tensor:
        bounds = self.bounds or [None if g is None else [int(i) for i in g] for g in given]
        starts, ends, axes, steps = [*bounds, None, None][:4]
        assert starts is not None
        assert ends is not None
        axes = axes or list(range(len(starts)))
        steps = steps or [1] * len(starts)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            x = _slice(x, axis, slice(start, end, step))
        return x


def _slice(x: torch.Tensor, axis: int, window: slice) -> torch.Tensor:
    size = x.shape[axis]
    # An end below -size with a negative step means "to the very start", which Python writes None.
    end = None if window.step < 0 and window.stop < -size else window.stop
    start, stop, step = slice(window.start, end, window.step).indices(size)
    index: list[slice] = [slice(None)] * x.ndim
    if step > 0:
        index[axis] = slice(start, max(start, stop), step)
        return x[tuple(index)]
    # torch has no negative steps: turn the axis round, where position i is size − 1 − i.
    index[axis] = slice(size - 1 - start, max(size - 1 - start, size - 1 - stop), -step)
    return x.flip(axis)[tuple(index)]


# onnx2torch indexes with a list, which torch takes for a tensor index in later versions.
@operator("Slice", 10, 11, 13)
def _slice_node(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    stored = [
        graph.initializers[name].to_torch().tolist() if name in graph.initializers else None
        for name in node.input_values[1:]
    ]
    blank = [name == "" for name in node.input_values[1:]]
    if all(s is not None or b for s, b in zip(stored, blank, strict=True)):
        return Slice(stored), node.input_values[:1]
    if any(blank):
        raise NotImplementedError("Slice with computed bounds and blank axes")
    return Slice(None), node.input_values


class ScatterND(nn.Module):
    """ONNX ScatterND: `data` with the slices at `indices` replaced by, or reduced with, `updates`.

    Args:
        reduction: `none`, `add`, `mul`, `max` or `min`.
    """

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(
        self, data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor
    ) -> torch.Tensor:
        places = indices.unbind(dim=-1)
        if self.reduction in ("none", "add"):
            return data.index_put(places, updates, accumulate=self.reduction == "add")
        # Each slice as one number, so that a scatter along one axis reduces repeated indices too.
        depth = len(places)
        flat = torch.zeros_like(places[0])
        for place, size in zip(places, data.shape, strict=False):
            flat = flat * size + place % size
        rows = data.reshape(math.prod(data.shape[:depth]), -1)
        values = updates.reshape(flat.numel(), -1)
        index = flat.reshape(-1, 1).expand_as(values)
        reduce = {"mul": "prod", "max": "amax", "min": "amin"}[self.reduction]
        return rows.scatter_reduce(0, index, values, reduce=reduce).reshape(data.shape)


# onnx2torch indexes with a list here too, and knows no maximum and minimum.
@operator("ScatterND", 11, 13, 16, 18)
def _scatter_nd(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    return ScatterND(node.attributes.get("reduction", "none")), node.input_values
