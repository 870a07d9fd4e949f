"""How much memory one pass over a model takes, from the shapes of its graph, before it is run."""

import math

import onnx
import onnx.inliner
import onnx.shape_inference
from onnx import GraphProto, TensorProto, helper, numpy_helper

from onnxattr.errors import LimitError, ModelFileError, ModelInputError
from onnxattr.graph.walk import STANDARD, graphs, messages, short
from onnxattr.limits import Limits
from onnxattr.types import IMAGE, InputSpec, Model

_GIB = 2**30

#: A count of elements that is larger is written as that many.
_MANY = 2**62


def require_budget(model: Model, spec: InputSpec, limits: Limits) -> None:
    """Makes sure that no tensor of the graph is a bomb, as far as shapes tell.

    Shapes are those that onnx infers for one batch of `spec`; functions are inlined first. What
    depends on values that are known only when the graph runs is left to the limits on memory and
    time. The body of a Loop counts once for every iteration, if their number is stored.

    Args:
        model: A model as it was given.
        spec: How probes are fed to it.
        limits: What one pass may take.

    Raises:
        LimitError: All tensors together take more; names the node with the largest.
        ModelFileError: onnx cannot make sense of the graph's functions or shapes.
        ModelInputError: A tensor would have a negative size.
    """
    if model.apart:
        raise LimitError(
            "it holds more than 2 GiB of weights, which ONNX Runtime, that judges the conversion, "
            "does not take at once",
            hint="`onnxattr.to_torch` converts it unchecked",
            model=model.name,
        )
    try:
        proto = onnx.inliner.inline_local_functions(_frozen(model.proto, spec))
    except (onnx.checker.ValidationError, RuntimeError) as error:
        raise ModelFileError(
            "its functions cannot be inlined: one is called with other arguments than it has",
            model=model.name,
        ) from error
    try:
        # Values that are carried along tell more shapes, and are a bomb of their own where a vector
        # of them is large: so they are carried only through a graph that is small without them.
        for carry in (False, True):
            inferred = onnx.shape_inference.infer_shapes(proto, data_prop=carry)
            _require(inferred.graph, spec, limits, model.name)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as e:
        reason = next((line.strip() for line in str(e).splitlines() if line.strip()), "no reason")
        raise ModelFileError(f"its shapes contradict each other: {reason}", model=model.name) from e


def _require(graph: GraphProto, spec: InputSpec, limits: Limits, name: str) -> None:
    for value in graph.value_info:
        if any(dim.dim_value < 0 for dim in value.type.tensor_type.shape.dim):
            node = next((n for n in graph.node if value.name in n.output), onnx.NodeProto())
            raise ModelInputError(
                f"{_label(node)} would make a tensor of negative size from an input of "
                f"{'×'.join(map(str, spec.map_shape))}{' pixels' if spec.kind == IMAGE else ''}",
                hint="if the graph leaves its input's size free, --size may be too small for it",
                model=name,
            )
    total, largest, worst = _bytes(graph, {})
    if total > limits.tensors:
        raise LimitError(
            f"one pass over it would make tensors of {_size(total)}, and {_size(limits.tensors)} "
            f"are allowed: {worst} alone makes {_size(largest)}",
            hint="--max-tensors allows more",
            model=name,
        )


def _frozen(proto: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """Returns a copy whose inputs have the shapes of the least batch, and no claims on shapes."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    # Where a claim and an inferred shape differ, inference goes on without either.
    del bare.graph.output[:]
    for graph in messages(bare):
        if isinstance(graph, GraphProto):
            del graph.value_info[:]
            for value in graph.output:
                value.ClearField("type")
    shapes = {spec.input: spec.shape, **{fixed.name: fixed.shape for fixed in spec.fixed}}
    for value in bare.graph.input:
        if value.name in shapes:
            dims = value.type.tensor_type.shape.dim
            for dim, known in zip(dims, shapes[value.name], strict=True):
                dim.dim_value = known or 1
    return bare


def _bytes(graph: GraphProto, stored: dict[str, TensorProto]) -> tuple[int, int, str]:
    """Returns the bytes of all tensors that `graph` makes, of the largest, and the node's label."""
    stored = stored | {tensor.name: tensor for tensor in graph.initializer}
    stored |= {
        node.output[0]: a.t
        for node in graph.node
        if node.op_type == "Constant" and node.domain in STANDARD and node.output
        for a in node.attribute
        if a.HasField("t")
    }
    sizes = {v.name: _size_of(v) for v in (*graph.value_info, *graph.output)}
    total, largest, worst = 0, 0, "none"
    for node in graph.node:
        made = [sum(sizes.get(value, 0) for value in node.output)]
        trips = _trips(node, stored)
        for body in graphs(node):
            inside, one, where = _bytes(body, stored)
            made.append(inside * trips)
            if one * trips > largest:
                largest, worst = one * trips, where
        if sum(made) > largest:
            largest, worst = sum(made), _label(node)
        total += sum(made)
    return total, largest, worst


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} `{short(node.name)}`" if node.name else node.op_type


def _trips(node: onnx.NodeProto, stored: dict[str, TensorProto]) -> int:
    """Returns how often the body of `node` runs, where that is stored; else 1."""
    count = stored.get(node.input[0]) if node.op_type == "Loop" and node.input else None
    if count is None or math.prod(count.dims) != 1 or count.data_type != TensorProto.INT64:
        return 1
    return max(1, int(numpy_helper.to_array(count).reshape(-1)[0]))


def _size_of(value: onnx.ValueInfoProto) -> int:
    """Returns the bytes of a tensor; free dimensions count once, what has no shape not at all."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return 0
    count = 1
    for dim in kind.shape.dim:
        count = min(_MANY, count * (dim.dim_value if dim.HasField("dim_value") else 1))
    try:
        width = helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    except KeyError:
        return 0
    return count * width


def _size(count: int) -> str:
    return f"{count / _GIB:.3g} GiB" if count < 2**50 else "over a million GiB"
