"""The iterations of a loop, as nodes of the graph that it is in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import onnx_ir as ir

from onnxattr.graph.loops import Repeated, Side
from onnxattr.graph.passes.provenance import note_node, note_value, vendor_name
from onnxattr.graph.passes.shapes import store

#: Notes on a node that unrolling made it.
_MADE = "onnxattr.unrolled"

#: The operator set in which Split, Squeeze and Unsqueeze began to take lists as inputs.
_LISTS_AS_INPUTS = 13


def is_made(node: ir.Node) -> bool:
    """Whether unrolling made a node, or copied it."""
    return _MADE in node.meta


def is_read(value: ir.Value) -> bool:
    """Whether anything takes a value."""
    return bool(value.uses()) or value.is_graph_output()


class Writer:
    """Writes loops of a model's main graph out.

    Args:
        model: The model, which is changed.
    """

    def __init__(self, model: ir.Model) -> None:
        self._graph, self._opset = model.graph, model.opset_imports.get("", 0)
        taken = {v.name for g in model.graphs() for v in (*g.inputs, *g.initializers.values())}
        taken |= {v.name for node in model.graph.all_nodes() for v in node.outputs}
        self._fresh = (n for i in count() if (n := f"onnxattr.unrolled.{i}") not in taken)
        self._numbers: dict[tuple[str, ir.DataType], ir.Value] = {}

    def write(self, loop: Repeated, times: int) -> None:
        """Puts the iterations of a loop in its place."""
        node, lead = loop.node, 1 if loop.counts else 0
        if times:
            self._prepare(loop.body)
        parts = [
            self._apart(node, value, side, times)
            for value, side in zip(loop.scanned, loop.sides, strict=True)
            if times
        ]
        states = list(loop.initial)
        scans: list[list[ir.Value]] = [[] for _ in loop.scans]
        for i in range(times):
            begin = self._begin(loop, i) if loop.counts else []
            given = self._copy(loop, [*begin, *states, *(part[i] for part in parts)])[lead:]
            states = given[: len(states)]
            for scan, element in zip(scans, given[len(states) :], strict=False):
                scan.append(element)
        for result, value in zip(node.outputs, states, strict=False):
            _replace(result, value)
        for result, scan, side in zip(loop.scans, scans, loop.collected, strict=False):
            if is_read(result):
                _replace(result, self._together(node, scan, side))
        self._graph.remove(node, safe=True)

    def _prepare(self, body: ir.Graph) -> None:
        """Moves what a body stores out of it, at any depth, and lets all graphs own their outputs.

        What is stored is so stored once; a graph that returns a value of another cannot be copied.
        """
        graphs = [body, *body.subgraphs()]
        for graph in graphs:
            values = list(graph.initializers.values())
            graph.initializers.clear()
            for value in values:
                value.name = next(self._fresh)
                self._graph.initializers.add(value)
        for graph in graphs:
            for i, value in enumerate(graph.outputs):
                maker = value.producer()
                own = value in graph.inputs if maker is None else maker.graph is graph
                if not own:
                    node = ir.Node("", "Identity", [value], num_outputs=1, graph=graph)
                    node.outputs[0].type = value.type
                    graph.outputs[i] = node.outputs[0]

    def _begin(self, loop: Repeated, i: int) -> list[ir.Value]:
        """Returns the number and the condition that the body of a Loop takes in iteration `i`."""
        # ONNX Runtime, too, goes by the rank that the body states.
        vectors = [bool(v.shape is not None and len(v.shape)) for v in loop.body.inputs[:2]]
        return [
            self._stored(loop.node, [i] if vectors[0] else i, ir.DataType.INT64),
            self._stored(loop.node, [True] if vectors[1] else True, ir.DataType.BOOL),
        ]

    def _copy(self, loop: Repeated, given: Sequence[ir.Value]) -> list[ir.Value]:
        """Puts one iteration in front of a loop and returns what its body gives."""
        copy = loop.body.clone(allow_outer_scope_values=True)
        inputs = dict(zip(copy.inputs, given, strict=True))
        results = [inputs.get(value, value) for value in copy.outputs]
        copy.outputs.clear()
        for node in copy.all_nodes():
            node.meta[_MADE] = True
            for value in node.outputs:
                # Shapes of the first iteration may not be those of the next. The vendor's names
                # are none of the main graph's.
                value.shape = None
                note_value(value, "")
                if value.name != "":
                    value.name = next(self._fresh)
        for value, actual in inputs.items():
            ir.convenience.replace_all_uses_with(value, actual)
        nodes = list(copy)
        copy.remove(nodes)
        self._graph.insert_before(loop.node, nodes)
        return results

    def _apart(self, node: ir.Node, value: ir.Value, side: Side, times: int) -> list[ir.Value]:
        """Returns the elements of a scan input, in the order in which they are taken."""
        axis, back = side
        # A Gather for each would have as many gradients of the whole input's size.
        along = [ir.AttrInt64("axis", axis)]
        rows = self._of_list(node, "Split", value, ("split", [1] * times), along, times)
        rows = [self._of_list(node, "Squeeze", row, ("axes", [axis]))[0] for row in rows]
        return rows[::-1] if back else rows

    def _together(self, node: ir.Node, scan: Sequence[ir.Value], side: Side) -> ir.Value:
        """Returns the elements of a scan output along a new axis."""
        axis, back = side
        rows = [
            self._of_list(node, "Unsqueeze", element, ("axes", [axis]))[0]
            for element in (scan[::-1] if back else scan)
        ]
        return self._made(node, "Concat", rows, [ir.AttrInt64("axis", axis)])[0]

    def _of_list(
        self,
        node: ir.Node,
        op: str,
        value: ir.Value,
        numbers: tuple[str, list[int]],
        attributes: Sequence[ir.Attr] = (),
        outputs: int = 1,
    ) -> Sequence[ir.Value]:
        """Returns what a new node makes that takes a list, as the operator set has it."""
        if self._opset >= _LISTS_AS_INPUTS:
            inputs = [value, self._stored(node, numbers[1], ir.DataType.INT64)]
            return self._made(node, op, inputs, attributes, outputs)
        return self._made(node, op, [value], [*attributes, ir.AttrInt64s(*numbers)], outputs)

    def _made(
        self,
        node: ir.Node,
        op: str,
        inputs: Sequence[ir.Value],
        attributes: Sequence[ir.Attr],
        outputs: int = 1,
    ) -> Sequence[ir.Value]:
        """Returns what a new node in front of a loop makes."""
        new = ir.Node("", op, inputs, attributes, num_outputs=outputs)
        note_node(new, node)
        new.meta[_MADE] = True
        for value in new.outputs:
            value.name = next(self._fresh)
        self._graph.insert_before(node, [new])
        return new.outputs

    def _stored(self, node: ir.Node, numbers: int | list[int], dtype: ir.DataType) -> ir.Value:
        key = (str(numbers), dtype)
        if key not in self._numbers:
            self._numbers[key] = store(node, np.asarray(numbers, dtype=object), dtype, "")
        return self._numbers[key]


def _replace(result: ir.Value, value: ir.Value) -> None:
    maker = value.producer()
    if maker is not None and is_made(maker):
        note_value(value, vendor_name(result))
    value.type = value.type or result.type
    ir.convenience.replace_all_uses_with(result, value, replace_graph_outputs=True)
