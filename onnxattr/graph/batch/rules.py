"""How operators carry a batch: for each, where it may lie, and where it lies in what they give.

A rule answers only if what the operator computes for one member depends on no other, and nothing
is assumed of an operator that has no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import onnx_ir as ir

from onnxattr.graph.arithmetic import MAX_NUMBERS, sizes_of
from onnxattr.graph.batch.layouts import Layout, Size, Step
from onnxattr.graph.walk import STANDARD

#: Of each input: where the batch lies in it, None where it has none.
Given = Sequence[Layout | None]

#: Yields the ways to compute a node, from the layouts of its inputs.
Steps = Callable[[ir.Node, Given], Iterable[Step]]


class Rule(NamedTuple):
    """What is known of an operator.

    Attributes:
        steps: Yields the ways to compute a node, from the layouts of its inputs.
        places: Of inputs that may have a batch; None for all of them.
    """

    steps: Steps
    places: tuple[int, ...] | None


#: By the names of ONNX's own operators.
RULES: dict[str, Rule] = {}


def rule(names: str, places: tuple[int, ...] | None = (0,)) -> Callable[[Steps], Steps]:
    """Registers the rule of some operators, with blanks between their names."""

    def register(steps: Steps) -> Steps:
        RULES.update(dict.fromkeys(names.split(), Rule(steps, places)))
        return steps

    return register


def steps(node: ir.Node, given: Given) -> list[Step]:
    """Returns the ways to compute a node with a free batch, the likeliest first."""
    known = RULES.get(node.op_type) if node.domain in STANDARD else None
    if known is None:
        return []
    places = range(len(given)) if known.places is None else known.places
    if any(layout is not None and i not in places for i, layout in enumerate(given)):
        return []
    try:
        return list(known.steps(node, given))
    except (ArithmeticError, IndexError, TypeError, ValueError):
        # What a graph asks for and nobody can compute is left to fail where it is run.
        return []


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Returns the value of an attribute."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def numbers(node: ir.Node, place: int, name: str = "") -> list[int] | None:
    """Returns the stored integers of an input, or of the attribute that it was in older opsets."""
    if name in node.attributes:
        return [int(n) for n in node.attributes[name].value]
    value = node.inputs[place] if place < len(node.inputs) else None
    tensor = None if value is None else value.const_value
    if tensor is None or not tensor.dtype.is_integer() or tensor.size > MAX_NUMBERS:
        return None
    return [int(n) for n in tensor.numpy().reshape(-1)]


def given_at(node: ir.Node, place: int) -> bool:
    """Whether an input is given."""
    return place < len(node.inputs) and node.inputs[place] is not None


def opset(node: ir.Node) -> int:
    """Returns the version of ONNX's operators that the node was written for."""
    graph = node.graph
    return node.version or (graph.opset_imports.get("", 0) if isinstance(graph, ir.Graph) else 0)


def size_at(value: ir.Value | None, axis: int, rank: int) -> Size:
    """Returns the size of an operand at an axis of the result that it is broadcast to."""
    sizes = sizes_of(value)
    if sizes is None:
        return None
    place = axis - (rank - len(sizes))
    return 1 if place < 0 else sizes[place]


def broadcast(node: ir.Node, given: Given, places: Iterable[int], rank: int) -> Step | None:
    """Returns the step of operands whose axes are matched from behind, as numpy does it."""
    layouts, repeats = set(), {}
    for i in places:
        layout, sizes = given[i], sizes_of(node.inputs[i])
        if layout is not None and sizes is not None:
            layouts.add(layout.at(layout.axis + rank - len(sizes)))
    if len(layouts) != 1:
        return None
    (layout,) = layouts
    for i in places:
        if given[i] is not None or node.inputs[i] is None:
            continue
        size = size_at(node.inputs[i], layout.axis, rank)
        if size != 1 and size != layout.size:
            return None
        if size != 1:
            sizes = sizes_of(node.inputs[i]) or []
            repeats[i] = layout.at(layout.axis - rank + len(sizes))
    return Step((layout,) * len(node.outputs), repeats)


def alike(node: ir.Node, given: Given, places: Iterable[int]) -> Step | None:
    """Returns the step of inputs that all need the batch at the same place, and are repeated."""
    here = [i for i in places if given_at(node, i)]
    layouts = {layout for i in here if (layout := given[i]) is not None}
    if len(layouts) != 1:
        return None
    (layout,) = layouts
    alone = [i for i in here if given[i] is None]
    sizes = [sizes_of(node.inputs[i]) for i in alone]
    if any(s is None or len(s) <= layout.axis or s[layout.axis] != layout.size for s in sizes):
        return None
    return Step((layout,) * len(node.outputs), dict.fromkeys(alone, layout))
