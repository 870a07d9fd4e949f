"""Whether gradients are right: autograd against finite differences, ours and of another engine.

Everything is done in float64, on the same model with its types widened: along random directions,
at the inputs of the suite and, where there is a kink (a tie, a bound, a whole number), beside them.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from cases import is_float
from compare import to_torch
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

#: What is widened to float64.
NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)

#: Attributes whose integer is a type.
TYPED = ("to", "dtype", "output_dtype", "stash_type", "softmax_precision")

#: Operators that compute in float32, or make it, unless they are told otherwise, and how they are.
NARROWING = {
    "LayerNormalization": ("stash_type", TensorProto.DOUBLE),
    "RMSNormalization": ("stash_type", TensorProto.DOUBLE),
    "GroupNormalization": ("stash_type", TensorProto.DOUBLE),
    "ConstantOfShape": ("value", numpy_helper.from_array(np.zeros(1))),
}

#: How far from the given inputs it is tried, until the function is smooth there; that which is
#: infinite leaves them for positive ones.
SHIFTS = (0.0, 0.1, 0.02, -0.02, np.inf, 0.003, -0.003)

DIRECTIONS = 3

#: Of finite differences: the first at which the function is smooth. Where there are thousands of
#: numbers, two of them are close to a tie.
STEPS = (1e-4, 1e-6)
NETWORK_STEPS = (1e-6, 1e-5, 1e-7, 1e-8)

#: Relative to the size of the directional derivative, and of its summands.
TOLERANCE = 1e-5


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy of a model in float64."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    _widen_graph(wide.graph)
    for function in wide.functions:
        for node in function.node:
            _widen_node(node)
    return wide


def _widen_graph(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output):
        _widen_type(value.type)
    del graph.value_info[:]
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        _widen_node(node)


def _widen_type(kind: onnx.TypeProto) -> None:
    field = kind.WhichOneof("value")
    if field == "tensor_type" and kind.tensor_type.elem_type in NARROW:
        kind.tensor_type.elem_type = TensorProto.DOUBLE
    elif field in ("sequence_type", "optional_type"):
        _widen_type(getattr(kind, field).elem_type)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in NARROW:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _widen_node(node: onnx.NodeProto) -> None:
    if node.op_type in NARROWING:
        name, value = NARROWING[node.op_type]
        if all(a.name != name for a in node.attribute):
            node.attribute.append(helper.make_attribute(name, value))
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            _widen_graph(attribute.g)
        elif attribute.type == AttributeProto.TENSOR:
            _widen_tensor(attribute.t)
        elif attribute.name in TYPED and attribute.i in NARROW:
            attribute.i = TensorProto.DOUBLE
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            numbers = np.asarray(helper.get_attribute_value(attribute), np.float64)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(numbers)))


def wide(value: Any) -> Any:
    """Returns an input in float64, if it is of floating point."""
    if isinstance(value, list):
        return [wide(v) for v in value]
    return value.astype(np.float64) if is_float(value) else value


class Total:
    """A number made of all outputs of floating point, with a random weight for each."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        draw = np.random.default_rng(7)
        self.weights: list[torch.Tensor | None] = []
        self.size = 0.0
        for y in flat(outputs):
            if y.is_floating_point():
                weight = torch.from_numpy(draw.uniform(0.5, 1.5, tuple(y.shape)))
                # What is no number, or infinite, has no slope.
                y = y.detach().double()
                weight = weight * torch.isfinite(y)
                self.size += float((weight * torch.nan_to_num(y, 0, 0, 0)).abs().sum())
                self.weights.append(weight)
            else:
                self.weights.append(None)
        self.whole = all(w is None or bool((w != 0).all()) for w in self.weights)

    def __call__(self, outputs: Sequence[Any]) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for weight, y in zip(self.weights, flat(outputs), strict=True):
            if weight is not None:
                if y.shape != weight.shape:
                    return torch.tensor(np.nan)  # A jump.
                y = y.double() if self.whole else torch.where(weight != 0, y.double(), 0.0)
                total = total + (weight * y).sum()
        return total


def flat(outputs: Any) -> list[torch.Tensor]:
    """Returns all tensors in lists of lists."""
    if isinstance(outputs, list | tuple):
        return [t for y in outputs for t in flat(y)]
    if isinstance(outputs, np.ndarray | np.generic):
        outputs = to_torch(np.asarray(outputs)) if outputs.dtype.kind not in "OU" else None
    return [outputs] if isinstance(outputs, torch.Tensor) else []


Run = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Slope:
    """A directional derivative, its likely error, and whether the function is smooth there."""

    value: float
    error: float
    smooth: bool

    def is_exact(self, expected: float, summands: float, floor: float) -> bool:
        """Whether its error is small beside what is expected, or below `floor`."""
        return self.smooth and self.error <= 0.05 * (summands + abs(expected)) + floor

    def agrees(self, expected: float, summands: float, tolerance: float) -> bool:
        """Whether it is `expected`, within a tolerance relative to the size of the summands."""
        slack = tolerance * (summands + abs(expected) + abs(self.value)) + self.error
        return abs(self.value - expected) <= slack


def slope(
    along: Callable[[float], float],
    size: float,
    step: float,
    precision: float = 1e-15,
    wobble: float = 1e-3,
    bending: float = 0.3,
) -> Slope:
    """Returns the derivative of a function of one number at 0.

    A whole network has a million kinks, and is never smooth: there the slope may wobble more.

    Args:
        along: The function.
        size: Of the summands of its value.
        step: The larger of two.
        precision: Of its value, relative to `size`.
        wobble: By which the slope may change as the step is halved.
        bending: By which the bend must shrink then: to a quarter, but to a half at a kink, and not
            at all at a jump. 1 lets it do as it likes.
    """
    half = step / 2
    far, near = [(along(h), along(-h)) for h in (step, half)]
    first, second = (far[0] - far[1]) / (2 * step), (near[0] - near[1]) / (2 * half)
    value = (4 * second - first) / 3
    here = along(0.0) if bending < 1 else near[0]
    noise = precision * max(size, abs(here), 1e-300)
    error = abs(first - second) + 2 * noise / half
    bend, smaller = far[0] - 2 * here + far[1], near[0] - 2 * here + near[1]
    smooth = bool(
        np.isfinite([here, *far, *near]).all()
        and (bending == 1 or abs(smaller) <= bending * abs(bend) + 8 * noise)
        and (error <= wobble * abs(second) or abs(second) <= 20 * noise / half)
    )
    return Slope(value, error, smooth)


def moved(value: Any, shift: float, name: str) -> Any:
    """Returns an input in float64, each of its numbers moved by about `shift`."""
    value = wide(value)
    if shift and is_float(value):
        if shift == np.inf:
            value, shift = np.abs(np.nan_to_num(value, nan=1)).clip(max=3), 0.1
        draw = np.random.default_rng(zlib.crc32(name.encode()))
        value = value + shift * draw.uniform(0.5, 1.5, value.shape)
    return value


def direction(shape: tuple[int, ...], name: str, number: int) -> np.ndarray:
    """Returns a random direction of an input, one for each number."""
    draw = np.random.default_rng([number, zlib.crc32(name.encode())])
    return np.asarray(draw.normal(size=shape))


@dataclass(frozen=True)
class Engine:
    """Another engine.

    Attributes:
        name: For people.
        make: From a model, what runs it.
        steps: Of finite differences.
        precision: Of a value, relative to its summands.
        wobble: See `slope`.
        tolerance: Of a slope, relative to its summands.
        bending: See `slope`.
    """

    name: str
    make: Callable[[onnx.ModelProto], Run]
    steps: tuple[float, ...]
    precision: float
    wobble: float
    tolerance: float
    bending: float = 0.3


def _reference(model: onnx.ModelProto) -> Run:
    engine = ReferenceEvaluator(widened(model))
    return lambda feeds: engine.run(None, dict(zip(engine.input_names, feeds, strict=True)))


def runtime(model: onnx.ModelProto) -> Run:
    """Returns what runs a model on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]
    return lambda feeds: session.run(None, dict(zip(names, feeds, strict=True)))


def _runtime_as_it_is(model: onnx.ModelProto) -> Run:
    kinds = [v.type.tensor_type.elem_type for v in model.graph.input]
    if not set(kinds).isdisjoint(NARROW[1:]):
        raise NotImplementedError("half precision says too little of slopes")
    run = runtime(model)

    def narrowed(feeds: Sequence[Any]) -> Any:
        single = (k == TensorProto.FLOAT for k in kinds)
        return run([v.astype(np.float32) if s else v for v, s in zip(feeds, single, strict=True)])

    return narrowed


#: In the order in which they are asked.
ENGINES = (
    Engine("the reference", _reference, STEPS, 1e-14, 1e-3, TOLERANCE),
    Engine("ONNX Runtime", lambda model: runtime(widened(model)), STEPS, 1e-14, 1e-3, TOLERANCE),
    # Some of the reference's operators count in float32 whatever they are given.
    Engine("the reference, coarsely", _reference, (1e-2, 1e-1), 2e-7, 5e-2, 1e-2),
    Engine("ONNX Runtime in float32", _runtime_as_it_is, (1e-2, 1e-1), 2e-7, 5e-2, 1e-2),
)

#: Those that run whole networks in less than minutes; of the steps, the one counts whose error is
#: least: small ones drown in what float32 rounds, large ones in kinks.
NETWORK_ENGINES = (
    Engine("ONNX Runtime in float32", _runtime_as_it_is, (1e-2, 1e-3, 1e-5), 3e-8, 1e-1, 2e-2, 1.0),
)
