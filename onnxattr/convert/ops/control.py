"""Control flow: If and Loop, whose subgraphs are modules of their own.

Which branch is taken, and how often a body runs, is decided by Python, as the graph runs.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.bodies import (
    Body,
    Element,
    convert_body,
    elements,
    graph_of,
    host_positions,
    outputs,
    results,
    stacked,
)
from onnxattr.convert.ops.scope import current
from onnxattr.convert.ops.table import builder
from onnxattr.convert.ops.tensors import device_of, moved
from onnxattr.convert.ops.turns import Turns, turns_of
from onnxattr.errors import SupportError

_VERSIONS = (1, 11, 13, 16, 19, 21, 23, 24, 25)


class Branches(nn.Module):
    """One of two subgraphs, by a condition.

    Args:
        then: Taken where the condition holds.
        otherwise: Taken where it does not.
        count: How many outputs there are.
        staying: Positions of values from outside that live on the host.
    """

    def __init__(self, then: Body, otherwise: Body, count: int, staying: frozenset[int]) -> None:
        super().__init__()
        self.then, self.otherwise = then.module, otherwise.module
        self.taken, self.count, self.staying = len(then.outer), count, staying
        #: Positions of outputs that live on the host in one of them alone.
        self.followers = (then.host - otherwise.host, otherwise.host - then.host)

    def forward(self, condition: torch.Tensor, *outer: Any) -> Any:
        if bool(condition):
            values, followers = self.then(*outer[: self.taken]), self.followers[0]
        else:
            values, followers = self.otherwise(*outer[self.taken :]), self.followers[1]
        if not followers:
            return values
        device = device_of(v for i, v in enumerate(outer) if i not in self.staying)
        given = enumerate(results(values, self.count))
        return outputs([moved(v, device) if i in followers else v for i, v in given], self.count)


@builder("If", *_VERSIONS)
def _if(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    here, (condition,) = current(), node.input_values
    if condition in here.known:
        # The other branch need not even be convertible.
        name = "then_branch" if bool(here.known[condition]) else "else_branch"
        body = convert_body(graph_of(node, name))
        for i, output in enumerate(node.output_values):
            if i in body.host:
                here.host.add(output)
            if body.sources[i] in here.known:
                here.known[output] = here.known[body.sources[i]]
        return body.module, body.outer
    then, otherwise = (convert_body(graph_of(node, n)) for n in ("then_branch", "else_branch"))
    outer = [*then.outer, *otherwise.outer]
    both = then.host & otherwise.host
    here.host.update(output for i, output in enumerate(node.output_values) if i in both)
    module = Branches(then, otherwise, len(node.output_values), host_positions(outer))
    return module, [condition, *outer]


class Loop(nn.Module):
    """A subgraph that runs again and again, as often as it is told, or while a condition holds.

    Args:
        body: Takes the iteration's number, the condition and the states; gives the condition, the
            states and the elements of the scan outputs.
        limit: The stored number of iterations; None where it is computed or there is none.
        start: Whether it runs at all, if that is stored; None where it is computed.
        computed: Whether the number of iterations, and the first condition, come as inputs.
        states: How many there are.
        scans: One a scan output.
        count: How many outputs the node lists.
        staying: Positions, among the states and what is read from outside, of what lives on the
            host and does not leave it.
        starting: Positions of states that live there at first alone.
        turns: Bounds what it may cost.
    """

    def __init__(
        self,
        body: Body,
        limit: int | None,
        start: bool | None,
        computed: tuple[bool, bool],
        states: int,
        scans: Sequence[Element],
        count: int,
        staying: frozenset[int],
        starting: frozenset[int],
        turns: Turns,
    ) -> None:
        super().__init__()
        self.body, self.limit, self.start, self.computed = body.module, limit, start, computed
        self.states, self.scans, self.count = states, tuple(scans), count
        self.staying, self.starting, self.turns = staying, starting, turns
        #: Positions of states that the body makes on the host, and that have to leave it.
        self.leaving = frozenset(range(states)) & {i - 1 for i in body.host} - staying

    def forward(self, *values: Any) -> Any:
        with self.turns.counted():
            return self._run(values)

    def _run(self, values: Sequence[Any]) -> Any:
        given = iter(values)
        limit = int(next(given)) if self.computed[0] else self.limit
        going = bool(next(given)) if self.computed[1] else self.start is not False
        rest = list(given)
        others = (v for i, v in enumerate(rest) if i not in self.staying | self.starting)
        device = device_of(others)
        states, outer = rest[: self.states], rest[self.states :]
        states = [moved(v, device) if i in self.starting else v for i, v in enumerate(states)]
        scans: list[list[torch.Tensor]] = [[] for _ in self.scans]
        for i in itertools.count():
            if not going or (limit is not None and i >= limit):
                break
            number, condition = torch.tensor(i, device="cpu"), torch.tensor(True, device="cpu")
            value = self.body(number, condition, *states, *outer)
            after, *new = results(value, 1 + self.states + len(self.scans))
            self.turns.take(new)
            going = bool(after)
            states = [
                moved(v, device) if j in self.leaving else v
                for j, v in enumerate(new[: self.states])
            ]
            for parts, part in zip(scans, new[self.states :], strict=True):
                parts.append(part)
        ends = [stacked(p, e, 0, device) for p, e in zip(scans, self.scans, strict=True)]
        return outputs([*states, *ends], self.count)


@builder("Loop", *_VERSIONS)
def _loop(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    here, names, inner = current(), list(node.input_values), graph_of(node, "body")
    limit, start, *initial = [*names, ""] if len(names) == 1 else names
    if "" in initial:
        raise SupportError("Loop with a blank initial value")
    taken = [value.name for value in inner.input]
    carried = {name: 1 + i for i, name in enumerate(taken[2:]) if initial[i] in here.host}
    body = convert_body(inner, taken[:2], carried)
    on_host = host_positions([*initial, *body.outer])
    staying = {i for i, name in enumerate(taken[2:]) if name in body.resident}
    starting = (on_host & frozenset(range(len(initial)))) - staying
    for i, output in enumerate(node.output_values):
        if i in staying or (i >= len(initial) and 1 + i in body.host):
            here.host.add(output)
    limits, starts = here.known.get(limit), here.known.get(start)
    computed = (bool(limit) and limits is None, bool(start) and starts is None)
    module = Loop(
        body,
        None if limits is None else int(limits),
        None if starts is None else bool(starts),
        computed,
        len(initial),
        elements(inner, 1 + len(initial)),
        len(node.output_values),
        on_host - starting,
        starting,
        turns_of(node),
    )
    counts = [name for name, given in zip((limit, start), computed, strict=True) if given]
    return module, [*counts, *initial, *body.outer]
