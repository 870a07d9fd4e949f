"""How much memory one pass over a model takes, from the shapes of its graph, before it is run."""

import onnx
import onnx.inliner
import onnx.shape_inference
from onnx import GraphProto

from onnxattr.errors import LimitError, ModelFileError, ModelInputError
from onnxattr.graph.meter import Cost, Meter
from onnxattr.graph.walk import label, messages
from onnxattr.limits import Limits
from onnxattr.types import IMAGE, InputSpec, Model

_GIB = 2**30


def require_budget(model: Model, spec: InputSpec, limits: Limits) -> None:
    """Makes sure that no tensor of the graph is a bomb, as far as shapes tell.

    Shapes are those that onnx infers for one batch of `spec`; functions are inlined first. What
    depends on values that are known only when the graph runs is left to the limits on memory and
    time. The body of a Loop or a Scan counts once for every turn, if their number is known, with
    what it carries as large as it has become by then.

    Args:
        model: A model as it was given.
        spec: How probes are fed to it.
        limits: What one pass may take.

    Raises:
        LimitError: All tensors together take more, or a body would run too often, or for ever;
            names the node.
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
            cost, graph = Meter(proto, limits.tensors, carry).measure(proto)
            _require(cost, graph, spec, limits, model.name)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as e:
        reason = next((line.strip() for line in str(e).splitlines() if line.strip()), "no reason")
        raise ModelFileError(f"its shapes contradict each other: {reason}", model=model.name) from e


def _require(cost: Cost, graph: GraphProto, spec: InputSpec, limits: Limits, name: str) -> None:
    for value in graph.value_info:
        if any(dim.dim_value < 0 for dim in value.type.tensor_type.shape.dim):
            node = next((n for n in graph.node if value.name in n.output), onnx.NodeProto())
            raise ModelInputError(
                f"{label(node)} would make a tensor of negative size from an input of "
                f"{'×'.join(map(str, spec.map_shape))}{' pixels' if spec.kind == IMAGE else ''}",
                hint="if the graph leaves its input's size free, --size may be too small for it",
                model=name,
            )
    if cost.endless:
        raise LimitError(
            f"its {cost.endless} never ends: it has no number of turns, and its condition always "
            "holds",
            model=name,
        )
    if cost.total > limits.tensors:
        raise LimitError(
            f"one pass over it would make tensors of {_size(cost.total)}, and "
            f"{_size(limits.tensors)} are allowed: {cost.worst} alone makes {_size(cost.largest)}",
            hint="--max-tensors allows more",
            model=name,
        )
    if cost.turns > limits.iterations:
        raise LimitError(
            f"its {cost.turner}, and {limits.iterations:,} are allowed",
            hint="--max-iterations allows more",
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


def _size(count: int) -> str:
    return f"{count / _GIB:.3g} GiB" if count < 2**50 else "over a million GiB"
