"""The shapes of a vendor's tensors, at the size that a probe is fed in, under his own names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common

from onnxattr.graph import passes
from onnxattr.graph.arithmetic import MAX_NUMBERS
from onnxattr.graph.passes.shapes import store
from onnxattr.graph.walk import STANDARD
from onnxattr.types import InputSpec, Model

Dims = tuple[int | None, ...]


#: Rounds of inference: a shape that is computed from another may take one of its own.
_ROUNDS = 24

#: Nodes of a graph that one round is enough for.
_MANY = 20_000

#: Operators on shapes that make few numbers of few.
_SMALL = {
    "Add", "Cast", "Concat", "Div", "Gather", "Mod", "Mul", "Reshape", "Slice", "Squeeze", "Sub",
    "Transpose", "Unsqueeze",
}  # fmt: skip


def shaped(model: Model, spec: InputSpec | None, outputs: Sequence[str]) -> ir.Model | None:
    """Returns a copy of the graph up to some tensors, with its shapes for one probe.

    Functions are inlined.

    Args:
        model: A model as it was given, whose shapes are no bomb: see `graph.budget`.
        spec: How probes are fed to it; sizes that are free nevertheless are taken for 1.
        outputs: Tensors of the main graph to end at.

    Returns:
        None where the graph cannot be read.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model.proto)
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.ClearField("type")
    for dim in [d for v in copy.graph.input for d in v.type.tensor_type.shape.dim]:
        if dim.dim_value <= 0:
            dim.dim_value = 1
    sequence: list[ir.passes.PassBase] = [
        passes.Cut(outputs),
        common.RemoveInitializersFromInputsPass(),
        passes.KeepFunctionOpsets(),
        common.InlinePass(),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    ]
    if spec is not None:
        sequence.append(passes.Freeze(spec.input, [size or 1 for size in spec.shape]))
    try:
        graph = ir.from_proto(copy)
        for step in (*sequence, passes.KnownShapes()):
            graph = step(graph).model
        for _ in range(_ROUNDS if len(graph.graph) <= _MANY else 0):
            known = _compute(graph.graph)
            if not passes.KnownShapes()(graph).modified and not known:
                break
    except Exception:  # Whatever a hostile graph makes it raise: nothing is known then.
        return None
    return graph


def _compute(graph: ir.Graph) -> bool:
    """Stores what follows from a few stored integers, such as pads; returns whether anything does.

    `FoldShapes` knows sizes that are free, and vectors only.
    """
    modified, opsets = False, {"": int(graph.opset_imports[""])}
    for node in list(graph):
        stored = [v.const_value for v in node.inputs if v is not None]
        if node.domain not in STANDARD or not stored or len(node.outputs) != 1:
            continue
        small = [t for t in stored if t is not None and t.size <= MAX_NUMBERS]
        if len(small) < len(stored) or not all(t.dtype.is_integer() for t in small):
            continue
        if node.op_type == "ConstantOfShape":
            if math.prod(int(n) for n in small[0].numpy().reshape(-1)) > MAX_NUMBERS:
                continue
        elif node.op_type not in _SMALL:
            continue
        names = [str(v.name) for v in node.inputs if v is not None]
        feeds = {name: t.numpy() for name, t in zip(names, small, strict=True)}
        evaluator = ReferenceEvaluator(ir.serde.serialize_node(node), opsets=opsets)
        array = np.asarray(next(iter(evaluator.run(None, feeds))))
        (value,) = node.outputs
        if value.is_graph_output() or array.dtype.kind not in "iu":
            continue
        dtype = ir.DataType.from_numpy(array.dtype)
        numbers = np.asarray(array.tolist(), dtype=object).reshape(array.shape)
        ir.convenience.replace_all_uses_with(value, store(node, numbers, dtype, ""))
        graph.remove(node, safe=True)
        modified = True
    return modified


def dims_of(value: ir.Value) -> Dims | None:
    """Returns the sizes of a tensor, None for those that are free; None where nothing is known."""
    if value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else None for size in value.shape)
