"""Frees the batch of a graph that was exported for a batch of one."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir

from onnxattr.graph.arithmetic import sizes_of
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.passes.provenance import inherit, vendor_name
from onnxattr.graph.passes.shapes import KnownShapes, store
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

    #: Tokens and states that are repeated one behind the other; there is one of them, as a rule.
    ROUNDS = 4

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with a free batch, or as it was."""
        if not _batched(model.graph):
            return ir.passes.PassResult(model, modified=False)
        trial = model.clone()
        trial.opset_imports[OWN_DOMAIN] = 1
        for node in trial.graph:
            _copy_ones(node)
        for value in _batched(trial.graph):
            assert value.shape is not None
            value.shape = ir.Shape([_BATCH, *list(value.shape)[1:]])
        for _ in range(self.ROUNDS):
            for node in trial.graph:
                for value in node.outputs if node.domain != OWN_DOMAIN else ():
                    value.shape = None
            KnownShapes()(trial)
            if not any(list(map(_repeat_stored, list(trial.graph)))):
                break
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


def _repeat_stored(node: ir.Node) -> bool:
    if node.domain not in STANDARD:
        return False
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


def _copy_ones(node: ir.Node) -> None:
    """Lets a Reshape copy the ones that it keeps in their places, in front: one may be the batch.

    For a batch of one this is the same, and so it is for any other if the batch is among them.
    """
    if node.domain not in STANDARD or node.op_type != "Reshape" or len(node.inputs) != 2:
        return
    data, target = node.inputs
    sizes, tensor = sizes_of(data), None if target is None else target.const_value
    if sizes is None or tensor is None or target is None:
        return
    wanted = tensor.numpy().reshape(-1).tolist()
    if 0 in wanted:
        return
    kept = list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(sizes, wanted)))  # noqa: B905 - the shorter counts
    copied = [0 if size == 1 else size for size, _ in kept] + wanted[len(kept) :]
    if copied == wanted:
        return
    node.attributes.pop("allowzero", None)
    numbers = np.asarray(copied, dtype=object)
    node.replace_input_with(1, store(node, numbers, ir.DataType.INT64, vendor_name(target)))


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
