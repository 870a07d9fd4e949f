"""Which input takes the image, and how it wants it: layout by axis tracking, sizes by shape."""

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

from onnxattr.errors import ModelInputError
from onnxattr.graph.options import MAX_BATCH, MAX_SIZE, InputOptions
from onnxattr.graph.walk import short
from onnxattr.types import ASSUMED, GRAPH, OPTION, InputSpec, Model

#: Height and width where the graph leaves them free and nobody says: the field's habit.
FREE_SIZE = 224

_IMAGE_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}

#: Operators that leave the meaning of every axis as it is.
_KEEP_AXES = {
    "Add", "BatchNormalization", "Cast", "Clip", "DequantizeLinear", "Div", "Dropout",
    "DynamicQuantizeLinear", "Identity", "Mul", "Neg", "Pad", "Pow", "QuantizeLinear", "Relu",
    "Resize", "Sigmoid", "Slice", "Sqrt", "Sub", "Tanh", "Upsample",
}  # fmt: skip

#: Operators that read axis 1 as channels, by definition of ONNX.
_CHANNELS_FIRST = {
    "AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace",
    "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN",
    "MaxPool", "QLinearConv", "SpaceToDepth",
}  # fmt: skip


#: Operators that quantise by the range of all that they are given, the whole batch.
_BY_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}


def image_input(model: Model, options: InputOptions | None = None) -> InputSpec:
    """Returns how a canonical RGB probe is fed to `model`, and what decided each part.

    Raises:
        ModelInputError: The model has no single input that takes an RGB image.
    """
    options = options or InputOptions()
    graph = model.proto.graph
    value = _only_input(model)
    shape = _shape(value)
    layout, layout_source = _layout(graph, value.name, shape, options, model.name)
    channels, height, width = (shape[i] for i in ((1, 2, 3) if layout == "NCHW" else (3, 1, 2)))
    if channels not in (3, None):
        raise ModelInputError(
            f"its input `{value.name}` {describe(value)} does not take the 3 channels of a probe "
            f"(layout {layout})",
            model=model.name,
        )
    if max(height or 1, width or 1) > MAX_SIZE:
        raise ModelInputError(
            f"its input `{value.name}` {describe(value)} is larger than {MAX_SIZE} pixels a side",
            model=model.name,
        )
    if (shape[0] or 1) > MAX_BATCH:
        raise ModelInputError(
            f"its input `{value.name}` {describe(value)} fixes a batch of more than {MAX_BATCH}",
            hint="export it with a free batch, or a batch of one",
            model=model.name,
        )
    free = options.size or (FREE_SIZE, FREE_SIZE)
    size_source = (
        GRAPH if height and width else OPTION if options.size else f"{ASSUMED}: the graph is free"
    )
    given: dict[str, tuple[float, ...]] = {}
    sources: dict[str, str] = {"layout": layout_source, "size": size_source}
    for key, default in (("range", (0.0, 1.0)), ("mean", (0.0,)), ("std", (1.0,))):
        option = getattr(options, key)
        given[key] = default if option is None else tuple(float(x) for x in option)
        sources[key] = ASSUMED if option is None else OPTION
    if options.range or options.mean or options.std:
        # Whoever states one part of the preprocessing has stated it whole.
        sources.update(dict.fromkeys(("range", "mean", "std"), OPTION))
    low, high = given["range"]
    return InputSpec(
        input=value.name,
        layout=layout,
        height=height or free[0],
        width=width or free[1],
        range=(low, high),
        mean=given["mean"],
        std=given["std"],
        # Scales that are found anew for every batch make its members depend on each other.
        batch=shape[0] or (1 if any(n.op_type in _BY_BATCH for n in graph.node) else None),
        sources=sources,
    )


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


def _only_input(model: Model) -> onnx.ValueInfoProto:
    values = graph_inputs(model.proto.graph)
    listing = ", ".join(f"`{short(v.name)}` {describe(v)}" for v in values[:_LISTED]) or "none"
    listing += f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    images = [
        v
        for v in values
        if v.type.tensor_type.elem_type in _IMAGE_TYPES and len(v.type.tensor_type.shape.dim) == 4
    ]
    if not images:
        raise ModelInputError(
            f"no input takes an image, a float tensor with four axes; its inputs: {listing}",
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
    name: str,
    shape: Sequence[int | None],
    options: InputOptions,
    model: str,
) -> tuple[str, str]:
    if options.layout:
        return options.layout, OPTION
    tracked = _track_channels(graph, name)
    if tracked is not None:
        axis, reader = tracked
        if axis in (1, 3):
            layout = "NCHW" if axis == 1 else "NHWC"
            return layout, f"{GRAPH}: the first {reader} reads axis {axis} as channels"
    if (shape[1] == 3) != (shape[3] == 3):
        axis = 1 if shape[1] == 3 else 3
        return ("NCHW" if axis == 1 else "NHWC"), f"{GRAPH}: axis {axis} has size 3"
    raise ModelInputError(
        f"the layout of its input `{name}` cannot be told from the graph",
        hint="say --layout NCHW or --layout NHWC",
        model=model,
    )


def _track_channels(graph: onnx.GraphProto, name: str) -> tuple[int, str] | None:
    """Follows the input forward to the first operator whose channel axis ONNX defines.

    Returns the input's axis that is read as channels and the operator's type, or None.
    """
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            consumers.setdefault(value, []).append(node)
    queue: list[tuple[str, tuple[int, ...]]] = [(name, (0, 1, 2, 3))]
    seen = {name}
    while queue:
        value, axes = queue.pop(0)
        for node in consumers.get(value, []):
            if node.op_type in _CHANNELS_FIRST and node.input[0] == value:
                return axes[1], node.op_type
            after = _axes_after(node, axes)
            if after is None or not node.output or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            queue.append((node.output[0], after))
    return None


def _axes_after(node: onnx.NodeProto, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    if node.op_type == "Transpose":
        attributes: Mapping[str, list[int]] = {a.name: list(a.ints) for a in node.attribute}
        perm = attributes.get("perm") or list(range(len(axes)))[::-1]
        if sorted(perm) != list(range(len(axes))):
            return None
        return tuple(axes[p] for p in perm)
    return axes if node.op_type in _KEEP_AXES else None
