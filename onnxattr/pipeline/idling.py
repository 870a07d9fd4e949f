"""The worker's side of idle layers: weights that a file holds, and that change nothing it makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from onnxattr.convert.array_feed import in_batches
from onnxattr.convert.session import Session
from onnxattr.errors import SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.attributed import attributed
from onnxattr.graph.budget import require_budget
from onnxattr.lineage.layers import stored_layers
from onnxattr.pipeline.messages import DTYPES, FindIdle, Idle, unpack
from onnxattr.types import IMAGE, Model

_Array = np.ndarray[Any, Any]

#: Operators that make few different things of many, and those between them and an output.
_COARSE = {
    "ArgMax", "ArgMin", "Cast", "Ceil", "Equal", "Flatten", "Floor", "Greater", "GreaterOrEqual",
    "Identity", "Less", "LessOrEqual", "Reshape", "Round", "Sign", "Squeeze", "TopK", "Unsqueeze",
}  # fmt: skip

#: Of the largest number of a tensor, a difference up to this is rounding.
ROUNDING = 1e-5


def idle_layers(model: Model, request: FindIdle, threads: int) -> Idle:
    """Returns which layers of a model do nothing for what it makes of the probes.

    The weights of one layer at a time are shuffled, and the model is run by ONNX Runtime: where
    neither its attributed tensor nor any of its outputs changes, the layer is idle. No rewriting of
    graphs would see that of every way to let a branch end in nothing: a factor of zero, a slice, a
    ReLU of negative numbers, a difference of a tensor and itself. Layers that are idle one by one,
    and change something if all of them are shuffled, stand in for each other, and none is idle.

    Args:
        model: A model as it was given.
        request: What it is shown.
        threads: Of ONNX Runtime.

    Raises:
        OnnxattrError: It cannot be run.
    """
    if model.apart:
        raise SupportError("its weights are too many to be changed in turn", model=model.name)
    inner = (-1, -1, 3) if request.kind == IMAGE else (-1,) * (len(request.images.shape) - 1)
    probes = unpack(request.images, DTYPES[request.kind], (-1, *inner))
    spec = probe_input(model, request.input, request.kind, probes.shape[1:])
    limits = request.place.limits
    require_budget(model, spec, limits)
    chosen = attributed(model, request.at, spec, limits)[0]
    given, _ = next(in_batches(spec, probes))
    proto, names = stored_layers(model)
    _settle(model, proto, names, given, threads)
    stored = {t.name: t for t in proto.graph.initializer if t.name in names}
    _open(proto, stored.values())
    outputs = [chosen.value, *_outputs(proto.graph)]
    session = Session(
        dataclasses.replace(model, proto=proto), list(dict.fromkeys(outputs)), threads
    )
    before = session.run(given)

    def changes(layers: Sequence[int]) -> bool:
        other = {names[i]: _shuffled(numpy_helper.to_array(stored[names[i]])) for i in layers}
        try:
            after = session.run({**given, **other})
        except SupportError:  # What cannot be run with other weights needs its own.
            return True
        return not all(_alike(a, b) for a, b in zip(before, after, strict=True))

    idle = [i for i, name in enumerate(names) if name in stored and not changes([i])]
    return Idle(len(names), () if len(idle) > 1 and changes(idle) else tuple(idle))


def _outputs(graph: onnx.GraphProto) -> list[str]:
    """Returns a graph's outputs, and what those were that say one of a few things.

    Of a few probes a class stays the same, whatever became of the layer that tells classes apart.
    """
    made = {output: node for node in graph.node for output in node.output}
    found = []
    for name in (value.name for value in graph.output):
        found.append(name)
        while (node := made.get(name)) is not None and node.op_type in _COARSE and node.input[0]:
            name = node.input[0]
            found.append(name)
    return found


def _settle(
    model: Model,
    proto: onnx.ModelProto,
    names: Sequence[str],
    given: Mapping[str, _Array],
    threads: int,
) -> None:
    """Stores weights that a graph unpacks from others: these may be those of other layers, too."""
    made = {o: n for n in proto.graph.node for o in n.output if o and o in set(names)}
    if not made:
        return
    session = Session(dataclasses.replace(model, proto=proto), list(made), threads)
    for (name, node), array in zip(made.items(), session.run(given), strict=True):
        node.output[list(node.output).index(name)] = f"onnxattr.unpacked.{name}"
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    kept = [value for value in proto.graph.value_info if value.name not in made]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)


def _open(proto: onnx.ModelProto, tensors: Any) -> None:
    """Makes stored tensors inputs, too, that need not be given."""
    known = {value.name for value in proto.graph.input}
    proto.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in tensors
        if tensor.name not in known
    )


def _shuffled(array: _Array) -> _Array:
    """Returns the same numbers in another order, which changes no type, range or scale."""
    order = np.random.default_rng(0).permutation(array.size)
    return np.ascontiguousarray(array.reshape(-1)[order].reshape(array.shape))


def _alike(one: Any, other: Any) -> bool:
    """Whether two tensors are the same up to rounding; of what holds no numbers, exactly."""
    if not isinstance(one, np.ndarray) or one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False
    most = float(np.abs(one).max(initial=0.0))
    return float(np.abs(one - other).max(initial=0.0)) <= ROUNDING * most
