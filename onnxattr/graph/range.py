"""What a graph shows of the range and the colours of its input: how it begins to calculate.

A network wants numbers of about one. What it does to its input first, to get them, tells what the
input was: whoever divides by 255 is given bytes, and who subtracts 0.485 is given numbers up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from onnxattr.graph.walk import STANDARD, constants

_Array = np.ndarray[Any, Any]

#: Ranges that a model may want: (low, high).
RANGES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))

#: Operators that change no value. A Pad adds some, a Slice takes some away.
_CARRIERS = {
    "Cast", "DequantizeLinear", "Dropout", "Identity", "Pad", "Reshape", "Resize", "Squeeze",
    "Transpose", "Unsqueeze", "Upsample",
}  # fmt: skip

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "BatchNormalization", "ImageScaler"}

#: Operators before the first layer, at most; and numbers of a constant, which has one a channel.
_STEPS, _MOST = 24, 16

#: Means of photos a channel, RGB, of 0 to 1, that nearly all pipelines subtract (ImageNet).
MEANS = (0.485, 0.456, 0.406)

#: Standard deviations, likewise.
DEVIATIONS = (0.229, 0.224, 0.225)

#: Of what is subtracted, relative to the range, that is taken for such means.
_CLOSE = 0.02


@dataclass(frozen=True)
class Shown:
    """What a graph shows of its input.

    Attributes:
        range: What black and white are.
        color: `RGB`, `BGR`, or None.
        rule: What it was told by, in words.
    """

    range: tuple[float, float]
    color: str | None
    rule: str


def shown_range(graph: onnx.GraphProto, name: str) -> Shown | None:
    """Returns what a graph shows of the values of an input, or None.

    Args:
        graph: The graph.
        name: Of the input.
    """
    factor, offset, words = np.ones(1), np.zeros(1), ""
    for step in _steps(graph, name):
        if isinstance(step, Shown):
            return step if not words else None
        words = words or step.words
        try:
            factor, offset = factor * step.factor, offset * step.factor + step.offset
        except ValueError:  # Constants of unlike sizes: not one a channel.
            return None
    if not words:
        return None
    with np.errstate(all="ignore"):
        centre, spread = -offset / factor, 1 / np.abs(factor)
    if not (np.isfinite(centre).all() and np.isfinite(spread).all()):
        return None
    found = _range(centre, spread)
    return Shown(found, _color(centre, found), words) if found else None


@dataclass(frozen=True)
class _Step:
    """x ↦ factor · x + offset, one number for all or one a channel."""

    factor: _Array
    offset: _Array
    words: str


def _range(centre: _Array, spread: _Array) -> tuple[float, float] | None:
    """Returns the only range whose values come out around 0 and of about 1.

    Args:
        centre: What becomes 0, a channel.
        spread: What is as far from that as becomes 1, a channel.
    """
    # Of bytes, means alone are subtracted; of numbers up to 1 that would hardly change a thing.
    if np.allclose(spread, 1):
        return RANGES[1] if ((centre > 80) & (centre < 180)).all() else None
    fit = [r for r in RANGES if _fits(r, centre, spread)]
    return fit[0] if len(fit) == 1 else None


def _fits(bounds: tuple[float, float], centre: _Array, spread: _Array) -> bool:
    low, high = bounds
    width = high - low
    if np.allclose(centre, low, atol=0.02 * width) and np.allclose(spread, width, rtol=0.02):
        return True  # It becomes 0 to 1.
    # What lies around 0 as it is says nothing by being made larger or smaller.
    inside = (centre >= low - 1e-3) & (centre <= high) & (low >= 0)
    return bool((inside & (spread > 0.1 * width) & (spread < 1.05 * width)).all())


def _color(centre: _Array, bounds: tuple[float, float]) -> str | None:
    if centre.shape != (3,):
        return None
    means = (centre - bounds[0]) / (bounds[1] - bounds[0])
    for color, order in (("RGB", MEANS), ("BGR", MEANS[::-1])):
        if np.abs(means - order).max() < _CLOSE:
            return color
    return None


def _steps(graph: onnx.GraphProto, name: str) -> Iterator[_Step | Shown]:
    """Yields what is done to an input until the first layer, as long as it is read by one node."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    tensors = constants(graph)
    for _ in range(_STEPS):
        if len(readers.get(name, [])) != 1:
            return
        (node,) = readers[name]
        if node.domain not in STANDARD or not node.output:
            return
        numbers = [_numbers(tensors.get(v)) for v in node.input]
        if node.op_type in ("Clip", "QuantizeLinear"):
            stored = (tensors[v] for v in node.input if v in tensors)
            signed = any(t.data_type == onnx.TensorProto.INT8 for t in stored)
            if bounds := _bounds(node, numbers, signed):
                yield Shown(bounds, None, f"{node.op_type} keeps {bounds[0]:g} to {bounds[1]:g}")
            if node.op_type == "Clip":
                return
        elif node.op_type in _ARITHMETIC:
            step = _affine(node, name, numbers)
            if step is None:
                return
            yield step
        elif node.op_type not in _CARRIERS or node.input[0] != name:
            return
        name = node.output[0]


def _affine(node: onnx.NodeProto, name: str, numbers: list[_Array | None]) -> _Step | None:
    one, none = np.ones(1), np.zeros(1)
    attributes = {a.name: a for a in node.attribute}
    if node.op_type == "ImageScaler":
        bias = np.asarray(attributes["bias"].floats) if "bias" in attributes else none
        scale = np.asarray([attributes["scale"].f if "scale" in attributes else 1.0])
        return _Step(scale, bias, f"ImageScaler multiplies by {_word(scale)}")
    if node.op_type == "BatchNormalization":
        if node.input[0] != name or len(numbers) != 5 or any(n is None for n in numbers[1:]):
            return None
        _, scale, bias, mean, variance = (n if n is not None else none for n in numbers)
        epsilon = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
        with np.errstate(all="ignore"):
            # What it learned to do after is of the layer behind it.
            root = np.sqrt(variance + epsilon)
        if not (root > 0).all():
            return None
        return _Step(1 / root, -mean / root, f"BatchNormalization subtracts {_word(mean)}")
    if len(numbers) != 2:
        return None
    position = 0 if node.input[0] == name else 1
    constant = numbers[1 - position]
    if constant is None:
        return None
    word = _word(constant)
    if node.op_type == "Add":
        return _Step(one, constant, f"Add adds {word}")
    if node.op_type == "Sub":
        if position:
            return _Step(-one, constant, f"it is subtracted from {word}")
        return _Step(one, -constant, f"Sub subtracts {word}")
    if not (constant != 0).all():
        return None
    if node.op_type == "Mul":
        return _Step(constant, none, f"Mul multiplies by {word}")
    return _Step(1 / constant, none, f"Div divides by {word}") if position == 0 else None


def _bounds(
    node: onnx.NodeProto, numbers: list[_Array | None], signed: bool
) -> tuple[float, float] | None:
    """Returns the one of the known ranges that a Clip or a quantiser of the input keeps."""
    if node.op_type == "Clip":
        given = {a.name: a.f for a in node.attribute}
        low, high = (
            given.get(key, numbers[i][0] if len(numbers) > i and numbers[i] is not None else None)  # type: ignore[index]
            for i, key in ((1, "min"), (2, "max"))
        )
        if low is None or high is None:
            return None
        found = float(low), float(high)
    else:
        scale, zero = numbers[1], numbers[2] if len(numbers) > 2 else np.zeros(1)
        if scale is None or zero is None or scale.size != 1 or zero.size != 1:
            return None
        first = -128 if signed else 0
        found = float((first - zero[0]) * scale[0]), float((first + 255 - zero[0]) * scale[0])
    known = (
        r
        for r in RANGES
        if all(
            math.isclose(a, b, abs_tol=0.02 * (r[1] - r[0])) for a, b in zip(found, r, strict=True)
        )
    )
    return next(known, None)


def _numbers(tensor: onnx.TensorProto | None) -> _Array | None:
    """Returns what a constant holds, float64, if that is one number or one a channel."""
    if tensor is None or math.prod(tensor.dims) > _MOST or max(tensor.dims, default=1) > _MOST:
        return None
    try:
        array = np.asarray(numpy_helper.to_array(tensor).astype(np.float64))
    except Exception:  # Whatever a damaged tensor makes it raise: nothing is known then.
        return None
    if sum(d > 1 for d in array.shape) > 1 or not array.size or not np.isfinite(array).all():
        return None
    return array.reshape(-1)


def _word(values: _Array) -> str:
    return " ".join(f"{v:.4g}" for v in np.unique(values)[:3])
