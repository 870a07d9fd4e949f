"""Which input takes an array or token ids, and whether they fit."""

import dataclasses
from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from onnxattr.errors import ModelInputError
from onnxattr.graph.embedding import embedding
from onnxattr.graph.inputs import fixed_batch, image_input
from onnxattr.graph.options import InputOptions
from onnxattr.graph.several import choose_input, describe, named, sizes_of, with_fixed
from onnxattr.graph.stated import Stated, stated
from onnxattr.graph.walk import short
from onnxattr.types import ARRAY, ASSUMED, GRAPH, IMAGE, TOKENS, InputSpec, Model

#: Types of input that take a kind of probe.
_TYPES = {
    ARRAY: {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE},
    TOKENS: {TensorProto.INT32, TensorProto.INT64},
}

#: What to do where probes are of another kind than an input.
_OTHERWISE = {
    ARRAY: "token ids are whole numbers, int64 [probe, length]; images need no --probes",
    TOKENS: "numbers that are no ids must be of floating point; images need no --probes",
}

#: Tokens that a model is shown with, where its graph leaves their number free.
_FREE_LENGTH = 16


def probe_input(
    model: Model, options: InputOptions | None = None, kind: str = IMAGE, shape: Sequence[int] = ()
) -> InputSpec:
    """Returns how probes of a kind are fed to `model`, and what decided each part.

    Args:
        model: A model as it was given.
        options: What the user says of the input.
        kind: What the probes are; one of `KINDS`.
        shape: Of one probe; not needed for images, which fit every size.

    Raises:
        ModelInputError: The model takes probes of another kind or shape.
        UsageError: What is written beside or in the file makes no sense.
    """
    if kind == IMAGE:
        return image_input(model, options)
    try:
        return _array_input(model, stated(model, options), kind, shape)
    except ModelInputError as error:
        error.model = model.name
        raise


def _array_input(model: Model, said: Stated, kind: str, shape: Sequence[int]) -> InputSpec:
    probes = f"the probes are {_text(kind, shape)}"
    value, others = choose_input(
        model,
        said,
        lambda value: value.type.tensor_type.elem_type in _TYPES[kind],
        f"{probes}, and no input takes such",
        hint=_OTHERWISE[kind],
    )
    sizes = sizes_of(value)
    text = f"its input `{short(value.name)}`"
    batched = len(sizes) == len(shape) + 1
    inner = sizes[1:] if batched else sizes
    fits = len(inner) == len(shape) and all(
        size in (None, wanted) for size, wanted in zip(inner, shape, strict=True)
    )
    if not fits:
        raise ModelInputError(
            f"{text} takes {_listed(sizes[1:] or sizes)}, and {probes}",
            hint="all models of a ranking take probes of one shape",
            model=model.name,
        )
    at, rule = _place(model, value, kind)
    spec = InputSpec(
        input=value.name,
        layout="N" if batched else "",
        dtype=helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
        batch=fixed_batch(model, sizes[0] if batched else 1, f"{text} {describe(value)}"),
        sources={
            "layout": f"{GRAPH}: {'the batch is first' if batched else 'one at a time'}",
            "size": GRAPH if None not in inner else "probes: the graph is free",
            **({"at": f"{GRAPH}: {rule}"} if rule else {}),
            **named(said),
        },
        kind=kind,
        axes=tuple(shape),
        at=at,
    )
    return with_fixed(spec, value, others, model.name)


def shown_input(model: Model, options: InputOptions | None = None) -> InputSpec:
    """Returns how probes would be fed to `model`, of the kind that its graph takes.

    Images, if it takes some; the shape of others is that of the graph. Where that leaves free how
    many token ids there are, it is assumed.

    Raises:
        ModelInputError: It takes no probes, or arrays of a shape that only probes tell.
        UsageError: What is written beside or in the file makes no sense.
    """
    try:
        return image_input(model, options)
    except ModelInputError as error:
        no_image = error
    value, _ = choose_input(model, stated(model, options), lambda value: True, no_image.message)
    sizes = sizes_of(value)[1:]
    kind = next((k for k, types in _TYPES.items() if value.type.tensor_type.elem_type in types), "")
    # One of four axes that is no image may be one whose layout nobody said.
    if not kind or (kind == ARRAY and len(sizes) > 2 and "layout" in no_image.message):
        raise no_image
    if kind == TOKENS:
        spec = probe_input(model, options, kind, [size or _FREE_LENGTH for size in sizes])
        if None not in sizes:
            return spec
        source = f"{ASSUMED}: the graph is free"
        return dataclasses.replace(spec, sources={**spec.sources, "size": source})
    if None in sizes:
        raise ModelInputError(
            f"its input `{short(value.name)}` {describe(value)} takes arrays, of a shape that only "
            "they tell",
            hint="rank it with --probes FILE.npy",
            model=model.name,
        )
    return probe_input(model, options, kind, [size for size in sizes if size])


def _place(model: Model, value: onnx.ValueInfoProto, kind: str) -> tuple[str, str]:
    """Returns the tensor that token ids become, and the rule that found it."""
    if kind != TOKENS:
        return "", ""
    found = embedding(model.proto, value.name)
    if found is None:
        raise ModelInputError(
            f"nothing of floating point is computed from its input `{short(value.name)}`",
            model=model.name,
        )
    return found


def _text(kind: str, shape: Sequence[int]) -> str:
    if kind == TOKENS:
        return f"token ids, {_listed(shape)}"
    return _listed(shape)


def _listed(sizes: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"
