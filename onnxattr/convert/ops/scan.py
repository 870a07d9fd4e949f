"""Scan and SequenceMap: a subgraph for each of the elements of tensors, or of sequences."""

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
from onnxattr.convert.ops.calls import attributes_of
from onnxattr.convert.ops.numbers import integers
from onnxattr.convert.ops.scope import current
from onnxattr.convert.ops.table import builder
from onnxattr.convert.ops.tensors import device_of, moved
from onnxattr.convert.ops.turns import Turns, turns_of


class Scan(nn.Module):
    """A subgraph that runs for each element of its scan inputs, and carries states from one on.

    Args:
        body: Takes the states and the elements; gives the states and those of the scan outputs.
        taken: How many scan inputs there are.
        scans: One a scan output.
        axes: Of the scan inputs, and of the scan outputs.
        reverse: Whether each of the former, and each of the latter, goes backwards.
        count: How many outputs the node lists.
        followers: Positions of inputs that live on the host.
        turns: Bounds what it may cost.
    """

    def __init__(
        self,
        body: Body,
        taken: int,
        scans: Sequence[Element],
        axes: tuple[Sequence[int], Sequence[int]],
        reverse: tuple[Sequence[int], Sequence[int]],
        count: int,
        followers: frozenset[int],
        turns: Turns,
    ) -> None:
        super().__init__()
        self.body, self.taken, self.scans, self.count = body.module, taken, tuple(scans), count
        self.axes, self.reverse, self.followers = axes, reverse, followers
        self.outer, self.turns = len(body.outer), turns

    def forward(self, *values: Any) -> Any:
        with self.turns.counted():
            return self._all(values)

    def _all(self, values: Sequence[Any]) -> Any:
        states, inputs, outer = self._parts(values)
        parts = [x.unbind(axis) for x, axis in zip(inputs, self.axes[0], strict=True)]
        states, scans = self._run(states, parts, outer)
        device = device_of(inputs)
        ends = [
            stacked(p, e, axis, device)
            for p, e, axis in zip(scans, self.scans, self.axes[1], strict=True)
        ]
        return outputs([*states, *ends], self.count)

    def _parts(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Returns the states, the scan inputs, and what is read from outside."""
        inside, outer = list(values[: len(values) - self.outer]), list(values)[-self.outer :]
        if self.followers:
            device = device_of(v for i, v in enumerate(inside) if i not in self.followers)
            inside = [moved(v, device) if i in self.followers else v for i, v in enumerate(inside)]
        states, inputs = inside[: -self.taken], inside[-self.taken :]
        return states, inputs, outer if self.outer else []

    def _run(
        self, states: list[Any], inputs: Sequence[Sequence[torch.Tensor]], outer: Sequence[Any]
    ) -> tuple[list[Any], list[list[torch.Tensor]]]:
        """Returns the last states, and the elements of each scan output."""
        scans: list[list[torch.Tensor]] = [[] for _ in self.scans]
        ordered = [x[::-1] if back else x for x, back in zip(inputs, self.reverse[0], strict=True)]
        for parts in zip(*ordered, strict=True):
            new = results(self.body(*states, *parts, *outer), len(states) + len(scans))
            self.turns.take(new)
            for scan, part in zip(scans, new[len(states) :], strict=True):
                scan.append(part)
            states = list(new[: len(states)])
        back = zip(scans, self.reverse[1], strict=True)
        return states, [scan[::-1] if reverse else scan for scan, reverse in back]


class BatchedScan(Scan):
    """A Scan for each sequence of a batch, whose outputs end in zeros where a sequence is shorter.

    Args:
        lengths: Of the sequences, if they are stored.
        computed: Whether they come as the first input.
        options: Of a Scan.
    """

    def __init__(self, lengths: Sequence[int] | None, computed: bool, *options: Any) -> None:
        super().__init__(*options)
        self.lengths, self.computed = lengths, computed

    def _all(self, values: Sequence[Any]) -> Any:
        lengths = integers(values[0]) if self.computed else self.lengths
        states, inputs, outer = self._parts(values[1:] if self.computed else values)
        batch, most = inputs[0].shape[:2]
        finals, collected = [], []
        for i in range(batch):
            length = most if lengths is None else lengths[i]
            parts = [x[i, :length].unbind() for x in inputs]
            last, scans = self._run([state[i] for state in states], parts, outer)
            finals.append(last)
            collected.append(scans)
        ends = [
            self._padded(list(sequences), element, most, device_of(inputs))
            for element, *sequences in zip(self.scans, *collected, strict=True)
        ]
        return outputs([*(torch.stack(s) for s in zip(*finals, strict=True)), *ends], self.count)

    def _padded(
        self,
        sequences: Sequence[list[torch.Tensor]],
        element: Element,
        length: int,
        device: torch.device | None,
    ) -> torch.Tensor:
        given = [part for parts in sequences for part in parts]
        nothing = torch.zeros(element.shape, dtype=element.dtype, device=device)
        nothing = torch.zeros_like(given[0]) if given else nothing
        rows = [parts + [nothing] * (length - len(parts)) for parts in sequences]
        return torch.stack([stacked(row, element, 0, device) for row in rows])


@builder("Scan", 9, 11, 16, 19, 21, 23, 24, 25)
def _scan(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    attributes, names = attributes_of(node.proto), list(node.input_values)
    taken, inner = attributes["num_scan_inputs"], graph_of(node, "body")
    scans = elements(inner, len(names) - taken)
    body, followers = _converted(node, names)
    module = Scan(
        body,
        taken,
        scans,
        (
            attributes.get("scan_input_axes", [0] * taken),
            attributes.get("scan_output_axes", [0] * len(scans)),
        ),
        (
            attributes.get("scan_input_directions", [0] * taken),
            attributes.get("scan_output_directions", [0] * len(scans)),
        ),
        len(node.output_values),
        followers,
        turns_of(node),
    )
    return module, [*names, *body.outer]


@builder("Scan", 8)
def _batched_scan(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    attributes = attributes_of(node.proto)
    lengths, *names = node.input_values
    taken, stored = attributes["num_scan_inputs"], current().known.get(lengths)
    scans = elements(graph_of(node, "body"), len(names) - taken)
    computed = bool(lengths) and stored is None
    body, followers = _converted(node, names)
    module = BatchedScan(
        None if stored is None else stored.tolist(),
        computed,
        body,
        taken,
        scans,
        ([1] * taken, [1] * len(scans)),
        (attributes.get("directions", [0] * taken), [0] * len(scans)),
        len(node.output_values),
        followers,
        turns_of(node),
    )
    return module, [*([lengths] if computed else []), *names, *body.outer]


class MapSequence(nn.Module):
    """A subgraph for each element of a sequence, and of others of the same length.

    Args:
        body: Takes an element of each; tensors among them are the same for all.
        taken: How many inputs there are.
        count: How many outputs, which are sequences.
        followers: Positions of inputs that live on the host.
        turns: Bounds what it may cost.
    """

    def __init__(
        self, body: Body, taken: int, count: int, followers: frozenset[int], turns: Turns
    ) -> None:
        super().__init__()
        self.turns = turns
        self.body, self.taken, self.count, self.followers = body.module, taken, count, followers

    def forward(self, *values: Any) -> Any:
        with self.turns.counted():
            return self._all(values)

    def _all(self, values: Sequence[Any]) -> Any:
        inside, outer = list(values[: self.taken]), values[self.taken :]
        if self.followers:
            device = device_of(v for i, v in enumerate(inside) if i not in self.followers)
            inside = [moved(v, device) if i in self.followers else v for i, v in enumerate(inside)]
        sequences: list[list[Any]] = [[] for _ in range(self.count)]
        for i in range(len(inside[0])):
            parts = [v[i] if isinstance(v, list) else v for v in inside]
            new = results(self.body(*parts, *outer), self.count)
            self.turns.take(new)
            for sequence, part in zip(sequences, new, strict=True):
                sequence.append(part)
        return outputs(sequences, self.count)


@builder("SequenceMap", 17)
def _sequence_map(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    names = list(node.input_values)
    body, followers = _converted(node, names)
    module = MapSequence(body, len(names), len(node.output_values), followers, turns_of(node))
    return module, [*names, *body.outer]


def _converted(node: OnnxNode, names: Sequence[str]) -> tuple[Body, frozenset[int]]:
    """Returns a body, and the positions of inputs that live on the host, where not all do.

    Those follow the others, and the body expects none of them there.
    """
    on_host = host_positions(names)
    everything = len(on_host) == len(names)
    inner = graph_of(node, "body")
    body = convert_body(inner)
    return body, frozenset() if everything else on_host
