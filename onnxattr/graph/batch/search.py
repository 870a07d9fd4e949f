"""Finds where the batch lies in every value of a graph, or that it cannot be told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxattr.graph.batch import axes, products, shapes  # noqa: F401 - they register rules
from onnxattr.graph.batch.layouts import FIRST, Layout, Step
from onnxattr.graph.batch.rules import steps

#: Layouts that a value may have while it is not known which.
_MOST = 6

#: Inputs whose layouts are tried each with each; of more inputs all have the same one.
_FREELY = 3

#: Sweeps over the graph, forth and back, in which what a node rules out reaches others.
_SWEEPS = 4


@dataclass(frozen=True)
class Choice:
    """One way to compute a node.

    Attributes:
        layouts: Where the batch lies in the values that it takes and gives.
        step: What is to be done.
    """

    layouts: dict[ir.Value, Layout]
    step: Step


def search(graph: ir.Graph, inputs: Sequence[ir.Value]) -> dict[ir.Node, Choice] | None:
    """Returns what to do with every node that has a batch, if `inputs` have it first.

    A Reshape may leave open where the batch went, so that each value has some possible layouts, and
    each node some ways to be computed; what later nodes, and the outputs, cannot use is ruled out.
    Nothing is returned if some node is left without a way, or an output without the batch: what is
    returned holds for every node, and so for the graph.
    """
    possible = {value: [FIRST] for value in inputs}
    choices = {}
    for node in graph:
        if not any(v in possible for v in _taken(node)):
            continue
        found = list(_choices(node, possible))
        if not found:
            return None
        choices[node] = found
        for value in dict.fromkeys(v for c in found for v in c.layouts):
            layouts = dict.fromkeys(c.layouts[value] for c in found if value in c.layouts)
            possible[value] = list(layouts)[:_MOST]
    for value in graph.outputs:
        if FIRST not in possible.get(value, []):
            return None
        possible[value] = [FIRST]
    left = sum(map(len, possible.values()))
    for _ in range(_SWEEPS):
        if not all(_rule_out(n, choices, possible) for n in (*choices, *reversed(choices))):
            return None
        before, left = left, sum(map(len, possible.values()))
        if left == before:
            break
    for node in choices:
        if not _rule_out(node, choices, possible):
            return None
        (chosen, *_) = choices[node]
        choices[node] = [chosen]
        possible.update({value: [layout] for value, layout in chosen.layouts.items()})
    return {node: chosen for node, (chosen,) in choices.items()}


def _taken(node: ir.Node) -> Iterator[ir.Value | None]:
    """Yields the values that a node takes, those among them that its subgraphs take."""
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        yield from inner.inputs
        for attribute in inner.attributes.values():
            bodies: Sequence[ir.Graph] = ()
            if attribute.type == ir.AttributeType.GRAPH:
                bodies = [attribute.as_graph()]
            elif attribute.type == ir.AttributeType.GRAPHS:
                bodies = attribute.as_graphs()
            for body in bodies:
                yield from body.outputs
                waiting.extend(body)


def _choices(node: ir.Node, possible: dict[ir.Value, list[Layout]]) -> Iterator[Choice]:
    values = list(dict.fromkeys(v for v in node.inputs if v in possible and v is not None))
    sets = [possible[v] for v in values]
    if len(sets) > _FREELY:
        common = [x for x in sets[0] if all(x in s for s in sets)]
        given: Iterator[tuple[Layout, ...]] = ((x,) * len(sets) for x in common)
    else:
        given = itertools.product(*sets)
    for layouts in given:
        taken = dict(zip(values, layouts, strict=True))
        for step in steps(node, [None if v is None else taken.get(v) for v in node.inputs]):
            if len(step.outputs) == len(node.outputs):
                made = zip(node.outputs, step.outputs, strict=True)
                yield Choice(taken | {v: layout for v, layout in made if layout}, step)


def _rule_out(
    node: ir.Node, choices: dict[ir.Node, list[Choice]], possible: dict[ir.Value, list[Layout]]
) -> bool:
    """Keeps what node and values agree on; returns whether there is anything."""
    kept = [c for c in choices[node] if all(x in possible[v] for v, x in c.layouts.items())]
    choices[node] = kept
    for value in kept[0].layouts if kept else ():
        layouts = {c.layouts[value] for c in kept}
        possible[value] = [x for x in possible[value] if x in layouts]
    return bool(kept)
