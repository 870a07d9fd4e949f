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
from onnxattr.graph.several import choose_input, describe, named, sizes_of, with_fixed
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
        ModelInputError: No input takes an image, another is fed nothing, what is said of it
            contradicts its shape, or its sidecar makes no sense.
    """
    try:
        return _image_input(model, stated(model, options))
    except ModelInputError as error:
        error.model = model.name
        raise


def _image_input(model: Model, said: Stated) -> InputSpec:
    graph = model.proto.graph
    value, others = choose_input(
        model,
        said,
        _takes_image,
        "no input takes an image, a tensor of three or four axes of floating point or of uint8",
        hint="--probes FILE.npy feeds arrays, or token ids",
    )
    shape = sizes_of(value)
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
    batch = fixed_batch(model, sizes["N"] if "N" in layout else 1, text)
    parts, sources = _parts(said, channels, value, graph)
    # An option holds for all models of a run, and is for those that leave their size free.
    size = said("size", lambda s: misfit.of_size(s, height, width), trusted=OPTION)
    free_height, free_width = size[0] if size else (FREE_SIZE, FREE_SIZE)
    sources["size"] = size[1] if size else f"{ASSUMED}: the graph is free"
    if height and width and (size is None or size[0] != (height, width)):
        sources["size"] = GRAPH
    sources = {part: said.noted(part, source) for part, source in sources.items()}
    sources |= named(said)
    if unknown := said.ignored("metadata"):
        sources["metadata"] = f"ignored, {unknown}"
    spec = InputSpec(
        input=value.name,
        layout=layout,
        height=height or free_height,
        width=width or free_width,
        channels=channels,
        dtype=helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
        batch=batch,
        sources={"layout": said.noted("layout", layout_source), **sources},
        **parts,
    )
    return with_fixed(spec, value, others, model.name)


def fixed_batch(model: Model, size: int | None, text: str) -> int | None:
    """Returns the batch that a graph fixes, or None.

    Args:
        model: A model as it was given.
        size: What its input says.
        text: What messages call the input.

    Raises:
        ModelInputError: The batch is too large.
    """
    if (size or 1) > MAX_BATCH:
        raise ModelInputError(
            f"{text} fixes a batch of more than {MAX_BATCH}",
            hint="export it with a free batch, or a batch of one",
            model=model.name,
        )
    # Scales that are found anew for every batch make its members depend on each other.
    return size or (1 if any(n.op_type in _BY_BATCH for n in model.proto.graph.node) else None)


def _takes_image(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return kind.elem_type in _IMAGE_TYPES and len(kind.shape.dim) in (3, 4)


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
