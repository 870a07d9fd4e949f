"""What a graph stores, also behind operators that only unpack it: casts, scales, transposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxattr.graph.walk import STANDARD

_Array = np.ndarray[Any, Any]

#: Operators that may make more numbers than they are given.
_GROWING = {"Add", "Sub", "Mul", "Div", "Gather", "Sum", "Where", "MatMul"}

#: Operators on stored tensors that lie behind one another at most.
_DEPTH = 16

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Exp": np.exp,
    "Log": np.log,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Sqrt": np.sqrt,
}


class Store:
    """Reads stored tensors as float64 or whole numbers, each once.

    Args:
        most: Numbers that one tensor may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[ir.Value, _Array | None] = {}

    def read(self, value: ir.Value | None, depth: int = 0) -> _Array | None:
        """Returns the array that `value` always holds, if it is stored; quantisation is undone."""
        if value is None or depth > _DEPTH:
            return None
        if value not in self._known:
            try:
                self._known[value] = self._read(value, depth)
            except Exception:  # Whatever a hostile tensor or attribute makes NumPy raise.
                self._known[value] = None
        return self._known[value]

    def _read(self, value: ir.Value, depth: int) -> _Array | None:
        if value.is_initializer():
            tensor = value.const_value
            if tensor is None or tensor.size > self._most or tensor.dtype == ir.DataType.STRING:
                return None
            array = np.asarray(tensor.numpy())
            return array.astype(np.float32) if _coarse(array) else array
        node = value.producer()
        if node is None or len(node.outputs) != 1:
            return None
        if node.domain not in (*STANDARD, "com.microsoft"):
            return None
        held = [self.read(v, depth + 1) for v in node.inputs]
        given = [h for h, v in zip(held, node.inputs, strict=True) if v is not None]
        if not given or any(h is None for h in given):
            return None
        if node.op_type in _GROWING and _size(node.op_type, given) > self._most:
            return None
        return _computed(node, held)


def _size(kind: str, arrays: Sequence[Any]) -> int:
    """Returns how many numbers an operator makes of arrays, spread over each other."""
    shapes = [array.shape for array in arrays]
    if kind == "Gather":  # Along an axis of one number at the least.
        return int(arrays[0].size * arrays[1].size)
    if kind == "MatMul":
        rows, columns = shapes[0][-2:-1], shapes[1][-1:]
        return math.prod((*np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]), *rows, *columns))
    return math.prod(np.broadcast_shapes(*shapes))


def _coarse(array: _Array) -> bool:
    return array.dtype.kind not in "fiub" or array.dtype == np.float16


def _computed(node: ir.Node, held: Sequence[_Array | None]) -> _Array | None:
    """Returns what a node makes of stored tensors; None for operators that unpack nothing."""
    kind, first = node.op_type, held[0]
    assert first is not None
    given = [array for array in held if array is not None]
    if kind in ("Identity", "Cast", "CastLike"):
        return first
    if kind in _ARITHMETIC and len(held) == 2:
        return np.asarray(_ARITHMETIC[kind](first, held[1]))
    if kind == "Sum":
        return np.asarray(sum(given[1:], first))
    if kind == "Concat":
        return np.concatenate(given, attribute(node, "axis"))
    if kind == "MatMul":
        return np.asarray(np.matmul(*given))
    if kind == "Where":
        return np.asarray(np.where(first, given[1], given[2]))
    if kind == "Gather" and held[1] is not None:
        return np.take(first, held[1], axis=int(attribute(node, "axis", 0)))
    if kind == "Slice":
        return _sliced(first, held[1:])
    if kind in _FUNCTIONS:
        return np.asarray(_FUNCTIONS[kind](first))
    if kind == "Transpose":
        return np.transpose(first, attribute(node, "perm"))
    if kind == "Reshape" and held[1] is not None:
        sizes = [first.shape[i] if s == 0 else int(s) for i, s in enumerate(held[1].tolist())]
        return first.reshape(sizes)
    if kind in ("Squeeze", "Unsqueeze"):
        axes = attribute(node, "axes")
        if axes is None and len(held) > 1 and held[1] is not None:
            axes = held[1].tolist()
        if kind == "Squeeze":
            return np.squeeze(first, None if axes is None else tuple(axes))
        return np.expand_dims(first, tuple(axes))
    if kind == "DequantizeLinear" and held[1] is not None:
        zero = held[2] if len(held) > 2 else None
        return dequantised(first, held[1], zero, int(attribute(node, "axis", 1)), node)
    if kind == "QuantizeLinear":
        # Quantised anew, and so undone at once: the reader behind it multiplies the scale in.
        return None
    return None


def _sliced(array: _Array, held: Sequence[_Array | None]) -> _Array | None:
    """Returns a part of an array, as `Slice` from version 10 on takes it."""
    given = [None if each is None else each.reshape(-1).tolist() for each in held]
    starts, ends, axes, steps = (*given, None, None, None, None)[:4]
    if starts is None or ends is None:
        return None
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[place] if axes else place, steps[place] if steps else 1
        # From the last back to the first, ONNX says the end by a number below all others.
        stop = None if step < 0 and end < -array.shape[axis] else end
        parts = [slice(None)] * array.ndim
        parts[axis] = slice(start, stop, step)
        array = array[tuple(parts)]
    return array


def dequantised(
    array: _Array, scale: _Array, zero: _Array | None, axis: int, node: ir.Node | None = None
) -> _Array:
    """Returns (array − zero) · scale, one scale for all, for each place of `axis`, or in blocks."""
    block = int(attribute(node, "block_size", 0)) if node is not None else 0
    values = array.astype(np.float64)

    def spread(part: _Array) -> _Array:
        if part.ndim == 0 or part.size == 1:
            return part.reshape(()).astype(np.float64)
        if block and part.ndim == array.ndim:
            wide = np.repeat(part, block, axis=axis)
            return np.take(wide, range(array.shape[axis]), axis=axis).astype(np.float64)
        shape = [-1 if a == axis % array.ndim else 1 for a in range(array.ndim)]
        return part.reshape(shape).astype(np.float64)

    if zero is not None:
        values = values - spread(zero)
    return np.asarray(values * spread(scale))


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """Returns the value of an attribute, or what it is where the node does not say."""
    return node.attributes[name].value if name in node.attributes else default
