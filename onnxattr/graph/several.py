"""Which of a model's inputs takes the probe, and what the others are fed."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper

from onnxattr.errors import ModelInputError
from onnxattr.graph import misfit
from onnxattr.graph.statement import Stated
from onnxattr.graph.walk import short
from onnxattr.types import GRAPH, FixedInput, InputSpec, Model

#: Inputs that a message names.
_LISTED = 8

#: Elements of an input that is fed one number.
_MAX_ELEMENTS = 2**24

_NUMPY_TYPES = frozenset(helper.get_all_tensor_dtypes())

#: Kinds of numbers that can be fed, as NumPy calls them.
_NUMBERS = "fiub"

#: An input, and the number that it is fed.
Fed = tuple[onnx.ValueInfoProto, float]


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Returns the inputs that must be fed: those that are not initializers as well."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def describe(value: onnx.ValueInfoProto) -> str:
    """Returns the type of `value` as text: `float32[batch,3,64,64]`."""
    if not value.type.HasField("tensor_type"):
        return value.type.WhichOneof("value") or "untyped"
    kind = value.type.tensor_type.elem_type
    name = str(helper.tensor_dtype_to_np_dtype(kind)) if kind in _NUMPY_TYPES else str(kind)
    if not value.type.tensor_type.HasField("shape"):
        return f"{name}[…]"
    dims = value.type.tensor_type.shape.dim
    return (
        f"{name}[{','.join(str(d.dim_value) if d.dim_value else d.dim_param or '?' for d in dims)}]"
    )


def sizes_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """Returns the sizes that the graph gives to `value`; None where it leaves one free."""
    # Old exporters write a free size as -1.
    return [d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim]


def choose_input(
    model: Model,
    said: Stated,
    fits: Callable[[onnx.ValueInfoProto], bool],
    otherwise: str,
    hint: str = "",
) -> tuple[onnx.ValueInfoProto, list[Fed]]:
    """Returns the input that takes the probe, and the others with what they are fed.

    It is the one that is named, or the only one that has no number of its own.

    Args:
        model: A model as it was given.
        said: What is said of its inputs.
        fits: Whether an input can take the probe.
        otherwise: What is wrong where none fits; a list of the inputs is added.
        hint: What to do then.

    Raises:
        ModelInputError: None fits, another input has no number, or what is said of them is of
            inputs that there are not.
    """
    values = graph_inputs(model.proto.graph)
    listing = ", ".join(f"`{short(v.name)}` {describe(v)}" for v in values[:_LISTED]) or "none"
    listing += f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    several = len(values) > 1
    names = [v.name for v in values]
    chosen = said("input", lambda name: misfit.of_name(name, names))
    name = chosen[0] if chosen else ""
    misfit.require_inputs(said, [n for n in names if n != name])
    numbers = said.fixed if several else {}
    free = [v for v in values if v.name == name or (not name and v.name not in numbers)]
    if values and not free:
        raise ModelInputError(
            f"all of its inputs are fed numbers, and none is left for the probe: {listing}",
            model=model.name,
        )
    fitting = [v for v in free if fits(v)]
    if not fitting:
        raise ModelInputError(f"{otherwise}; its inputs: {listing}", hint=hint, model=model.name)
    others = [v for v in values if v is not free[0]]
    if len(free) > 1 or any(v.name not in numbers for v in others):
        raise ModelInputError(
            f"it takes {len(values)} inputs, and a probe can be fed to one only: {listing}",
            hint="--input NAME=VALUE feeds a number to each of the others",
            model=model.name,
        )
    return free[0], [(v, float(numbers[v.name])) for v in others]


def named(said: Stated) -> dict[str, str]:
    """Returns the source of `input`, where somebody says which input takes the probe."""
    chosen = said("input")
    if not chosen and not said.ignored("input"):
        return {}
    return {"input": said.noted("input", chosen[1] if chosen else f"{GRAPH}: the only one")}


def with_fixed(
    spec: InputSpec, probed: onnx.ValueInfoProto, others: Sequence[Fed], model: str
) -> InputSpec:
    """Returns `spec` with the other inputs.

    A size that they leave free is that of the probe's axis of the same name, or the batch where it
    is the first, or else 1.

    Args:
        spec: Of the input that takes the probe.
        probed: That input.
        others: The other inputs.
        model: Its name.

    Raises:
        ModelInputError: An input takes no numbers, or not this one.
    """
    if not others:
        return spec
    known: dict[str, int | None] = {
        dim.dim_param: size
        for dim, size in zip(probed.type.tensor_type.shape.dim, spec.shape, strict=True)
        if dim.dim_param
    }
    fixed, single = [], []
    for value, number in others:
        sizes: list[int | None] = []
        for axis, (dim, size) in enumerate(
            zip(value.type.tensor_type.shape.dim, sizes_of(value), strict=True)
        ):
            if size is not None:
                sizes.append(size)
            elif dim.dim_param in known:
                sizes.append(known[dim.dim_param])
            elif axis == 0 and "N" in spec.layout:
                sizes.append(spec.batch)
            else:
                sizes.append(1)
                single.append(f"axis {axis} of `{short(value.name)}`")
        if math.prod(size or 1 for size in sizes) > _MAX_ELEMENTS:
            raise ModelInputError(
                f"its input `{short(value.name)}` {describe(value)} is too large to be fed",
                model=model,
            )
        fixed.append(FixedInput(value.name, number, tuple(sizes), _dtype(value, number, model)))
    rule = f"given; {', '.join(single)} is free, and 1" if single else "given"
    sources = {**spec.sources, "inputs": rule}
    return dataclasses.replace(spec, fixed=tuple(fixed), sources=sources)


def _dtype(value: onnx.ValueInfoProto, number: float, model: str) -> str:
    """Returns the type of an input, which can hold `number`."""
    kind = value.type.tensor_type.elem_type
    dtype = helper.tensor_dtype_to_np_dtype(kind) if kind in _NUMPY_TYPES else np.dtype(object)
    text = f"its input `{short(value.name)}` {describe(value)}"
    if dtype.kind not in _NUMBERS:
        raise ModelInputError(f"{text} cannot be fed a number", model=model)
    with np.errstate(over="ignore", invalid="ignore"):
        held = float(np.float64(number).astype(dtype))
    if not math.isfinite(held) or (dtype.kind != "f" and held != number):
        raise ModelInputError(f"{text} cannot be fed `{number:g}`", model=model)
    return dtype.name
