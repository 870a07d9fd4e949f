"""Computes the arithmetic of shapes, as far as the sizes are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from onnxattr.graph.arithmetic import Numbers, computed, product, sizes_of, stored_numbers
from onnxattr.graph.passes.infer import InferShapes, infer_again
from onnxattr.graph.passes.provenance import note_value, vendor_name
from onnxattr.graph.walk import STANDARD


class KnownShapes(ir.passes.InPlacePass):
    """Infers shapes and stores what follows from them, until nothing more does.

    What was stored tells the shapes behind it, such as those of a branch that is taken.
    """

    #: A chain of sizes and conditions that decide each other is no longer than this: each of the
    #: three times that Swin halves an image, what it is padded by decides the sizes behind.
    ROUNDS = 8

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with shapes, and known numbers stored."""
        infer = InferShapes()
        modified = False
        for _ in range(self.ROUNDS):
            modified |= infer(model).modified
            if not FoldShapes()(model).modified:
                break
            common.RemoveUnusedNodesPass()(model)
            modified = True
        return ir.passes.PassResult(model, modified=modified)


class FoldShapes(ir.passes.InPlacePass):
    """Stores what follows from known sizes; shapes must have been inferred.

    Exporters that trace a program write shapes as they were computed: Shape, Gather, Concat, Cast,
    Equal, and so on up to a Reshape or an If. What is known of these is stored. A Reshape to a
    shape of which one size is free keeps that size by a 0 or a -1, and an Expand by a 1. An `If`
    whose condition is known is replaced by the branch that it takes. What was stored tells sizes
    behind it, and these go on at once: a chain of windows that pad what others gave is one pass.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with known numbers stored."""
        known: dict[ir.Value, Numbers] = {}
        modified = False
        opset = model.opset_imports.get("", 0)
        for graph in list(model.graphs()):
            for value in graph.initializers.values():
                if (numbers := stored_numbers(value)) is not None:
                    known[value] = numbers
            told: set[ir.Value] = set()
            for node in list(graph):
                if any(v in told for v in node.inputs):
                    told.update(infer_again(node, opset))
                if _fold(node, known, told):
                    told.update(infer_again(node, opset))
                    modified = True
        return ir.passes.PassResult(model, modified=modified)


def _fold(node: ir.Node, known: dict[ir.Value, Numbers], told: set[ir.Value]) -> bool:
    """Stores what a node gives, or its target; what is behind it is told of what was stored."""
    if node.domain not in STANDARD:
        return False
    if node.op_type == "If":
        return _take_branch(node, known)
    targeted = node.op_type in ("Reshape", "Expand") and len(node.inputs) == 2
    if targeted and _of(node.inputs[0], known) is None:
        return _keep_free(node, known)
    numbers = computed(node, [_of(v, known) for v in node.inputs])
    if numbers is None:
        return False
    (value,) = node.outputs
    known[value] = numbers
    if _names(numbers.reshape(-1).tolist()) or value.dtype is None or value.is_graph_output():
        return False
    stored = store(node, numbers, value.dtype, vendor_name(value))
    known[stored] = numbers
    told.add(stored)
    ir.convenience.replace_all_uses_with(value, stored)
    return True


def _of(value: ir.Value | None, known: dict[ir.Value, Numbers]) -> Numbers | None:
    return None if value is None else known.get(value)


def store(node: ir.Node, numbers: Numbers, dtype: ir.DataType, note: str) -> ir.Value:
    """Returns a new initializer of the graph that `node` is in."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    # Rename names everything anew; until then no two names may be the same.
    name = next(
        n
        for i in count(len(graph.initializers))
        if (n := f"onnxattr.{i}") not in graph.initializers
    )
    array = numbers.astype(dtype.numpy())
    value = ir.val(name, const_value=ir.tensor(array, dtype=dtype, name=name))
    graph.initializers.add(value)
    note_value(value, note)
    return value


def _keep_free(node: ir.Node, known: dict[ir.Value, Numbers]) -> bool:
    """Stores the target of a Reshape or an Expand of which some sizes are the input's free ones."""
    data, target = node.inputs
    numbers = _of(target, known)
    if data is None or target is None or numbers is None or target.const_value is not None:
        return False
    shape = sizes_of(data) or []
    sizes = list(numbers)
    if node.op_type == "Expand":
        offset = len(sizes) - len(shape)
        same = [i >= offset and s is not None and shape[i - offset] == s for i, s in _names(sizes)]
        if data.shape is None or not all(same):
            return False
        for i, _ in _names(sizes):
            sizes[i] = 1
    else:
        allowzero = "allowzero" in node.attributes and node.attributes["allowzero"].as_int()
        # A size that is not known may be 0, which then means 0.
        if allowzero and any(s == 0 or s is None for s in sizes):
            return False
        for i, s in _names(sizes):
            if s is not None and i < len(shape) and shape[i] == s:
                sizes[i] = 0
        rest = [i for i, _ in _names(sizes)]
        if rest and -1 in sizes:
            sizes[sizes.index(-1)] = _rest(shape, list(numbers)) or -1
        if len(rest) > 1 or (rest and -1 in sizes):
            return False
        for i in rest:
            sizes[i] = -1
        node.attributes.pop("allowzero", None)
    stored = store(node, np.asarray(sizes, dtype=object), ir.DataType.INT64, vendor_name(target))
    node.replace_input_with(1, stored)
    return True


def _rest(shape: Sequence[Any], sizes: Sequence[Any]) -> int:
    """Returns what -1 stands for among the sizes of a Reshape; 0 where that is not known."""
    whole, given = product(shape), product(s for s in sizes if s != -1)
    if whole is None or given is None or whole[1] != given[1] or not given[0]:
        return 0
    return whole[0] // given[0] if whole[0] % given[0] == 0 else 0


def _names(sizes: Sequence[Any]) -> list[tuple[int, Any]]:
    return [(i, s) for i, s in enumerate(sizes) if s is None or isinstance(s, str)]


def _take_branch(node: ir.Node, known: dict[ir.Value, Numbers]) -> bool:
    condition = _of(node.inputs[0], known)
    if condition is None or condition.size != 1 or not isinstance(condition.reshape(-1)[0], bool):
        return False
    branch = "then_branch" if condition.reshape(-1)[0] else "else_branch"
    body, outer = node.attributes[branch].as_graph(), node.graph
    assert isinstance(outer, ir.Graph)
    outputs, nodes = list(body.outputs), list(body)
    if len(outputs) != len(node.outputs):
        return False  # It is wrong, and ONNX Runtime says so.
    # Branches may use the same names, and another `If` those of this one.
    made = [v for inner in body.all_nodes() for v in inner.outputs if v.name != ""]
    fresh = _fresh(outer)
    for value in (*made, *body.initializers.values()):
        value.name = next(fresh)
    stored = list(body.initializers.values())
    body.outputs.clear()
    body.initializers.clear()
    body.remove(nodes)
    for value in stored:
        outer.initializers.add(value)
    outer.insert_before(node, nodes)
    ir.convenience.replace_all_uses_with(node.outputs, outputs, replace_graph_outputs=True)
    outer.remove(node, safe=True)
    return True


def _fresh(graph: ir.Graph) -> Iterator[str]:
    """Yields names that nothing in `graph` has: the vendor may have taken any."""
    taken = {v.name for inner in graph.all_nodes() for v in inner.outputs}
    taken |= {v.name for v in (*graph.inputs, *graph.initializers.values())}
    return (name for i in count() if (name := f"onnxattr.{i}") not in taken)
