"""Frees the batch of a graph that was exported for a batch of one."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from onnxattr.graph.arithmetic import sizes_of
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.passes.provenance import inherit
from onnxattr.graph.passes.shapes import KnownShapes
from onnxattr.graph.walk import STANDARD

#: What the free size is called.
_BATCH = "onnxattr.batch"

#: Inputs of recurrent operators that hold a state for every member of the batch.
_STATES = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}


class FreeBatch(ir.passes.InPlacePass):
    """Lets inputs whose first size is one take any batch, where shapes tell that this is right.

    Exporters that trace write the batch that they saw into Reshape, and expand class tokens and
    initial states to it. A Reshape that keeps the batch first keeps it free here, and what is
    stored for one member is repeated. It is all or nothing: if some output does not end up with the
    batch as its first size, and all its other sizes as they were, the graph stays as it is.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with a free batch, or as it was."""
        if not _batched(model.graph):
            return ir.passes.PassResult(model, modified=False)
        trial = model.clone()
        trial.opset_imports[OWN_DOMAIN] = 1
        for value in _batched(trial.graph):
            assert value.shape is not None
            value.shape = ir.Shape([_BATCH, *list(value.shape)[1:]])
        changed = True
        while changed:
            for node in trial.graph:
                for value in node.outputs if node.domain != OWN_DOMAIN else ():
                    value.shape = None
            KnownShapes()(trial)
            changed = any(list(map(_free, list(trial.graph))))
        if not all(map(_same_but_batch, model.graph.outputs, trial.graph.outputs)):
            return ir.passes.PassResult(model, modified=False)
        model.graph = trial.graph
        model.opset_imports[OWN_DOMAIN] = 1
        return ir.passes.PassResult(model, modified=True)


def _batched(graph: ir.Graph) -> list[ir.Value]:
    return [v for v in graph.inputs if v.shape is not None and len(v.shape) > 1 and v.shape[0] == 1]


def _same_but_batch(before: ir.Value, after: ir.Value) -> bool:
    old, new = sizes_of(before), sizes_of(after)
    return bool(old and new and old[0] == 1 and new == [_BATCH, *old[1:]])


def _free(node: ir.Node) -> bool:
    if node.domain not in STANDARD:
        return False
    if node.op_type == "Reshape":
        return _free_reshape(node)
    if node.op_type == "Concat":
        like = next((v for v in node.inputs if _has_batch(v, 0)), None)
        places = [i for i, v in enumerate(node.inputs) if (sizes_of(v) or [0])[0] == 1]
        if like is None or node.attributes["axis"].as_int() == 0:
            return False
        for i in places:
            _repeat(node, i, like, 0)
        return bool(places)
    if node.op_type in _STATES and _has_batch(node.inputs[0], 1):
        places = [i for i in _STATES[node.op_type] if i < len(node.inputs)]
        single = [i for i in places if (sizes_of(node.inputs[i]) or [0, 0])[1] == 1]
        for i in single:
            _repeat(node, i, node.inputs[0], 1)
        return bool(single)
    return False


def _has_batch(value: ir.Value | None, axis: int) -> bool:
    sizes = sizes_of(value) or []
    return len(sizes) > axis and sizes[axis] == _BATCH


def _free_reshape(node: ir.Node) -> bool:
    """Keeps the batch where it is, if all sizes before it stay, and what lies behind it, too."""
    data, target = node.inputs
    sizes = sizes_of(data) or []
    if target is None or target.const_value is None or _BATCH not in sizes:
        return False
    wanted, place = target.const_value.numpy().tolist(), sizes.index(_BATCH)
    front, rest = sizes[:place], sizes[place + 1 :]
    whole = all(isinstance(s, int) for s in (*front, *rest))
    if not whole or wanted[:place] != front or wanted[place : place + 1] != [1]:
        return False
    behind = wanted[place + 1 :]
    count = math.prod(s for s in rest if isinstance(s, int))
    if 0 in behind or (-1 not in behind and count != math.prod(behind)):
        return False
    wanted[place] = 0
    node.attributes.pop("allowzero", None)
    name = f"{target.name}.free.{node.outputs[0].name}"
    tensor = ir.tensor(np.array(wanted, np.int64), name=name)
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    value = ir.val(name, const_value=tensor)
    graph.initializers.add(value)
    node.replace_input_with(1, value)
    return True


def _repeat(node: ir.Node, place: int, like: ir.Value | None, axis: int) -> None:
    value, graph = node.inputs[place], node.graph
    assert isinstance(graph, ir.Graph)
    new = ir.Node(
        OWN_DOMAIN, "RepeatBatch", [value, like], [ir.AttrInt64("axis", axis)], num_outputs=1
    )
    sizes: list[int | str | None] = list(sizes_of(value) or [])
    sizes[axis] = _BATCH
    new.outputs[0].name = f"{node.outputs[0].name}.batch.{place}"
    new.outputs[0].shape, new.outputs[0].type = ir.Shape(sizes), value.type if value else None
    inherit(new, node)
    graph.insert_before(node, [new])
    node.replace_input_with(place, new.outputs[0])
