"""What Loop and Scan are made of, and how often their bodies run, where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxattr.graph.arithmetic import Numbers, computed, sizes_of, stored_numbers
from onnxattr.graph.walk import STANDARD

#: An axis, and whether it is gone through backwards.
Side = tuple[int, bool]


@dataclass(frozen=True)
class Repeated:
    """A Loop, or a Scan without a batch, of the form that its operator asks for.

    Attributes:
        node: The node.
        body: Its subgraph, which takes what `Loop` counts, the states, and elements of what is
            scanned; it gives the condition of a Loop, the states, and elements of scan outputs.
        initial: The states at first.
        scanned: Of which a Scan takes one element after the other.
        sides: One for each of these.
        collected: One for each scan output.
    """

    node: ir.Node
    body: ir.Graph
    initial: Sequence[ir.Value]
    scanned: Sequence[ir.Value] = ()
    sides: Sequence[Side] = ()
    collected: Sequence[Side] = ()

    @property
    def counts(self) -> bool:
        """Whether it is a Loop."""
        return self.node.op_type == "Loop"

    @property
    def states(self) -> list[tuple[ir.Value, ir.Value]]:
        """What the body takes for each state, and what it gives for it."""
        taken, given = (2, 1) if self.counts else (0, 0)
        count = len(self.initial)
        return list(
            zip(
                self.body.inputs[taken : taken + count],
                self.body.outputs[given : given + count],
                strict=True,
            )
        )

    @property
    def scans(self) -> Sequence[ir.Value]:
        """Its scan outputs, of which it may list less than its body gives."""
        return self.node.outputs[len(self.initial) :]


def repeated(node: ir.Node) -> Repeated | None:
    """Returns the parts of a Loop or a Scan; None where it is neither, or wrong.

    A Scan with a batch, of opset 8, has an input more and is none.
    """
    attribute = node.attributes.get("body")
    known = node.domain in STANDARD and node.op_type in ("Loop", "Scan")
    if not known or attribute is None or attribute.type != ir.AttributeType.GRAPH:
        return None
    body = attribute.as_graph()
    given = node.inputs[2:] if node.op_type == "Loop" else node.inputs
    values = [value for value in given if value is not None]
    if len(values) != len(given):
        return None
    if not all(_has_place(v) for graph in (body, *body.subgraphs()) for v in graph.outputs):
        return None
    return _as_loop(node, body, values) if node.op_type == "Loop" else _as_scan(node, body, values)


def _has_place(value: ir.Value) -> bool:
    """Whether something makes a value, or some graph takes or stores it.

    What a graph returns of another's values, onnx-ir reads as a value of neither.
    """
    return value.producer() is not None or value.is_graph_input() or value.is_initializer()


def _as_loop(node: ir.Node, body: ir.Graph, values: list[ir.Value]) -> Repeated | None:
    scans = len(body.outputs) - 1 - len(values)
    fits = len(node.inputs) >= 2 and len(body.inputs) == 2 + len(values) and scans >= 0
    if not fits or len(node.outputs) > len(body.outputs) - 1:
        return None
    return Repeated(node, body, values, collected=[(0, False)] * scans)


def _as_scan(node: ir.Node, body: ir.Graph, values: list[ir.Value]) -> Repeated | None:
    (count,) = _integers(node, "num_scan_inputs") or [0]
    scans = len(body.outputs) - len(values) + count
    if not 1 <= count <= len(values) or len(body.inputs) != len(values) or scans < 0:
        return None
    sides, collected = _sides(node, "input", count), _sides(node, "output", scans)
    if sides is None or collected is None or len(node.outputs) > len(body.outputs):
        return None
    return Repeated(node, body, values[:-count], values[-count:], sides, collected)


def _sides(node: ir.Node, which: str, count: int) -> list[Side] | None:
    axes = _integers(node, f"scan_{which}_axes") or [0] * count
    directions = _integers(node, f"scan_{which}_directions") or [0] * count
    if len(axes) != count or len(directions) != count:
        return None
    return [(axis, bool(back)) for axis, back in zip(axes, directions, strict=True)]


def _integers(node: ir.Node, name: str) -> Sequence[int]:
    attribute = node.attributes.get(name)
    if attribute is None:
        return ()
    if attribute.type == ir.AttributeType.INT:
        return [attribute.as_int()]
    return attribute.as_ints() if attribute.type == ir.AttributeType.INTS else ()


def trips(loop: Repeated, most: int, effort: int) -> int | None:
    """Returns how often a body runs; None where that is not known, or more than `most`.

    Args:
        loop: Whose shapes have been inferred.
        most: Iterations.
        effort: Nodes that are looked at for the sake of the condition, over all iterations.
    """
    return _turns(loop, most, effort) if loop.counts else _length(loop, most)


def _length(loop: Repeated, most: int) -> int | None:
    lengths = set()
    for value, (axis, _) in zip(loop.scanned, loop.sides, strict=True):
        sizes = sizes_of(value) or []
        lengths.add(sizes[axis] if -len(sizes) <= axis < len(sizes) else None)
    length = lengths.pop()
    return length if not lengths and isinstance(length, int) and length <= most else None


def _turns(loop: Repeated, most: int, effort: int) -> int | None:
    limit, start = loop.node.inputs[:2]
    known: dict[ir.Value, Numbers] = {}
    number, going = _one(limit, known), True if start is None else _one(start, known)
    if (limit is not None and type(number) is not int) or type(going) is not bool:
        return None
    carried = [_of(value, known) for value in loop.initial]
    nodes = _deciding(loop)
    count = 0
    while going and (type(number) is not int or count < number):
        if count == most or (count + 1) * len(nodes) > effort:
            return None
        given = [np.asarray(count, dtype=object), np.asarray(True, dtype=object), *carried]
        known = {v: n for v, n in zip(loop.body.inputs, given, strict=True) if n is not None}
        for node in nodes:
            numbers = computed(node, [_of(value, known) for value in node.inputs])
            if numbers is not None and node.outputs[0].dtype is not None:
                known[node.outputs[0]] = numbers
        going = _one(loop.body.outputs[0], known)
        if type(going) is not bool:
            return None
        carried = [_of(value, known) for _, value in loop.states]
        count += 1
    return count


def _deciding(loop: Repeated) -> list[ir.Node]:
    """Returns the nodes on which the condition of this iteration, or of a later one, depends."""
    carriers = dict(loop.states)
    waiting, seen, found = [loop.body.outputs[0]], set[ir.Value](), set[ir.Node]()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        node = value.producer()
        if value in carriers:
            waiting.append(carriers[value])
        elif node is not None and node.graph is loop.body:
            found.add(node)
            waiting.extend(v for v in node.inputs if v is not None)
    return [node for node in loop.body if node in found]


def _of(value: ir.Value | None, known: dict[ir.Value, Numbers]) -> Numbers | None:
    if value is None:
        return None
    numbers = known.get(value)
    return stored_numbers(value) if numbers is None else numbers


def _one(value: ir.Value | None, known: dict[ir.Value, Numbers]) -> object:
    """Returns the only number of a value; None where it is not known, or there are several."""
    numbers = _of(value, known)
    return numbers.reshape(-1)[0] if numbers is not None and numbers.size == 1 else None
