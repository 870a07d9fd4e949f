"""Which input takes the image, and how it wants it: as is said, as the graph shows, or by habit."""

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

from onnxattr.errors import ModelInputError
from onnxattr.graph import misfit
from onnxattr.graph.layout import track_layout
from onnxattr.graph.options import MAX_BATCH, MAX_SIZE, InputOptions
from onnxattr.graph.range import shown_range
from onnxattr.graph.stated import Stated, stated
from onnxattr.graph.walk import short
from onnxattr.types import ASSUMED, GRAPH, OPTION, InputSpec, Model

#: Height and width where the graph leaves them free and nobody says: the field's habit.
FREE_SIZE = 224

_IMAGE_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8}

#: Operators that quantise by the range of all that they are given, the whole batch.
_BY_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}

#: What a part is where nobody says and nothing shows it. That colours come in another order, or in
#: another range, is common, and such a mistake costs all; the others are what nearly all models do.
_DEFAULTS = {
    "color": ("RGB", ASSUMED),
    "range": ((0.0, 1.0), ASSUMED),
    "mean": ((0.0,), ASSUMED),
    "std": ((1.0,), ASSUMED),
    "gamma": (1.0, "default"),
    "resize": ("stretch", "default"),
}


def image_input(model: Model, options: InputOptions | None = None) -> InputSpec:
    """Returns how a canonical RGB probe is fed to `model`, and what decided each part.

    What the user says goes before what is written beside or in the file, and that before what the
    graph shows.

    Raises:
        ModelInputError: The model has no single input that takes an image, or what is said of it
            contradicts its shape, or its sidecar makes no sense.
    """
    try:
        return _image_input(model, stated(model, options))
    except ModelInputError as error:
        error.model = model.name
        raise


def _image_input(model: Model, said: Stated) -> InputSpec:
    graph = model.proto.graph
    value = _only_input(model, said)
    shape = _shape(value)
    layout, layout_source = _layout(graph, value, shape, said, model.name)
    sizes = dict(zip(layout, shape, strict=True))
    text = f"its input `{short(value.name)}` {describe(value)}"
    channels = sizes.get("C", 1) or 3
    if channels not in misfit.CHANNELS:
        raise ModelInputError(
            f"{text} has {channels} channels (layout {layout}), and an image has 1, 3 or 4",
            hint="say another --layout",
            model=model.name,
        )
    height, width = sizes["H"], sizes["W"]
    if max(height or 1, width or 1) > MAX_SIZE:
        raise ModelInputError(f"{text} is larger than {MAX_SIZE} pixels a side", model=model.name)
    batch = sizes["N"] if "N" in layout else 1
    if (batch or 1) > MAX_BATCH:
        raise ModelInputError(
            f"{text} fixes a batch of more than {MAX_BATCH}",
            hint="export it with a free batch, or a batch of one",
            model=model.name,
        )
    parts, sources = _parts(said, channels, value, graph)
    # An option holds for all models of a run, and is for those that leave their size free.
    size = said("size", lambda s: misfit.of_size(s, height, width), trusted=OPTION)
    free_height, free_width = size[0] if size else (FREE_SIZE, FREE_SIZE)
    sources["size"] = size[1] if size else f"{ASSUMED}: the graph is free"
    if height and width and (size is None or size[0] != (height, width)):
        sources["size"] = GRAPH
    sources = {part: said.noted(part, source) for part, source in sources.items()}
    if (named := said("input")) or said.ignored("input"):
        sources["input"] = said.noted("input", named[1] if named else f"{GRAPH}: the only one")
    if unknown := said.ignored("metadata"):
        sources["metadata"] = f"ignored, {unknown}"
    return InputSpec(
        input=value.name,
        layout=layout,
        height=height or free_height,
        width=width or free_width,
        channels=channels,
        dtype=helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
        # Scales that are found anew for every batch make its members depend on each other.
        batch=batch or (1 if any(n.op_type in _BY_BATCH for n in graph.node) else None),
        sources={"layout": said.noted("layout", layout_source), **sources},
        **parts,
    )


def _parts(
    said: Stated, channels: int, value: onnx.ValueInfoProto, graph: onnx.GraphProto
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns colours and range, and what decided each."""
    parts: dict[str, Any] = {}
    sources: dict[str, str] = {}
    defaults: dict[str, tuple[Any, str]] = dict(_DEFAULTS)
    if value.type.tensor_type.elem_type == TensorProto.UINT8:
        defaults["range"] = ((0.0, 255.0), f"{GRAPH}: the input takes uint8")
        defaults |= {"mean": ((0.0,), GRAPH), "std": ((1.0,), GRAPH)}
    elif shown := shown_range(graph, value.name):
        defaults["range"] = (shown.range, f"{GRAPH}: {shown.rule}")
        defaults |= {"mean": ((0.0,), GRAPH), "std": ((1.0,), GRAPH)}
        if shown.color:
            defaults["color"] = (shown.color, f"{GRAPH}: {shown.rule}")
    for part, (default, source) in defaults.items():
        found = said(part, lambda value: misfit.of_values(value, channels))
        parts[part], sources[part] = found or (default, source)
    # Whoever states one part of the arithmetic has stated it whole, but for what the graph shows.
    if who := said.says_any("range", "mean", "std"):
        for part in ("range", "mean", "std"):
            sources[part] = who if sources[part] == ASSUMED else sources[part]
    if channels == 1:
        sources["color"] = f"{GRAPH}: one channel, grey"
    return parts, sources


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


_NUMPY_TYPES = frozenset(helper.get_all_tensor_dtypes())


#: Inputs that a message names.
_LISTED = 8


def _only_input(model: Model, said: Stated) -> onnx.ValueInfoProto:
    values = graph_inputs(model.proto.graph)
    names = [v.name for v in values]
    named = said("input", lambda name: misfit.of_name(name, names))
    misfit.require_inputs(said, [n for n in names if named is None or n != named[0]])
    listing = ", ".join(f"`{short(v.name)}` {describe(v)}" for v in values[:_LISTED]) or "none"
    listing += f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    images = [
        v
        for v in values
        if v.type.tensor_type.elem_type in _IMAGE_TYPES
        and len(v.type.tensor_type.shape.dim) in (3, 4)
    ]
    if not images:
        raise ModelInputError(
            "no input takes an image, a tensor of three or four axes of floating point or of "
            f"uint8; its inputs: {listing}",
            model=model.name,
        )
    if len(values) > 1:
        raise ModelInputError(
            f"it takes {len(values)} inputs, and a probe can be fed to one only: {listing}",
            model=model.name,
        )
    return images[0]


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    # Old exporters write a free size as -1.
    return [d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim]


def _layout(
    graph: onnx.GraphProto,
    value: onnx.ValueInfoProto,
    shape: Sequence[int | None],
    said: Stated,
    model: str,
) -> tuple[str, str]:
    text = f"`{short(value.name)}` {describe(value)}"
    if given := said("layout", lambda said: misfit.of_layout(said, text, shape)):
        return given
    name = value.name
    if tracked := track_layout(graph, name, shape):
        layout, rule = tracked
        return layout, f"{GRAPH}: {rule}"
    # An axis of three is that of colours, whatever the others are.
    for sizes in ({3}, {1, 4}):
        fit = [k for k in _USUAL[len(shape)] if shape[k.index("C")] in sizes]
        if len(fit) == 1:
            axis = fit[0].index("C")
            return fit[0], f"{GRAPH}: axis {axis} has size {shape[axis]}"
    raise ModelInputError(
        f"the layout of its input `{short(name)}` cannot be told from the graph",
        hint="say --layout NCHW or --layout NHWC",
        model=model,
    )


#: Layouts that are told by the size of the axis of channels.
_USUAL = {3: ("CHW", "HWC"), 4: ("NCHW", "NHWC")}
