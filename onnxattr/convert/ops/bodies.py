"""Subgraphs as modules: where their values live, and what they give where they never run."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from onnx import GraphProto
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.scope import current
from onnxattr.convert.ops.structure import subgraph
from onnxattr.convert.ops.tensors import DTYPES


@dataclass(frozen=True)
class Body:
    """A subgraph, converted.

    Attributes:
        module: Takes the subgraph's inputs, then what it reads from outside.
        outer: Names of the latter.
        sources: Names, inside, of what it gives out.
        host: Positions of outputs that live on the host, whatever the device.
        resident: Names of the inputs that always live there.
    """

    module: nn.Module
    outer: list[str]
    sources: list[str]
    host: frozenset[int]
    resident: frozenset[str] = frozenset()


def graph_of(node: OnnxNode, name: str) -> GraphProto:
    """Returns the subgraph that is an attribute of `node`."""
    found: GraphProto = next(a.g for a in node.proto.attribute if a.name == name)
    return found


def convert_body(
    graph: GraphProto, on_host: Collection[str] = (), carried: Mapping[str, int] | None = None
) -> Body:
    """Returns a subgraph, converted.

    Args:
        graph: The subgraph.
        on_host: Its inputs that live on the host.
        carried: Its inputs that live there at first, each with the position of the output that
            takes its place later; those whose outputs live elsewhere are found by trying.
    """
    here, staying = current(), dict(carried or {})
    before = set(here.host), dict(here.known)
    while True:
        here.host.update(on_host, staying)
        module, outer = subgraph(graph)
        sources = list(graph.node[-1].input)
        host = frozenset(i for i, name in enumerate(sources) if name in here.host)
        leaving = [name for name, position in staying.items() if position not in host]
        if not leaving:
            return Body(module, outer, sources, host, frozenset([*on_host, *staying]))
        # What followed from the wrong assumption is forgotten.
        here.host, here.known = set(before[0]), dict(before[1])
        for name in leaving:
            del staying[name]


def results(value: Any, count: int) -> tuple[Any, ...]:
    """Returns the `count` outputs of a body as a tuple, which one output is not."""
    return (value,) if count == 1 else tuple(value)


def outputs(values: Sequence[Any], count: int) -> Any:
    """Returns what a module of a node with `count` outputs has to return."""
    return values[0] if count == 1 else tuple(values[:count])


@dataclass(frozen=True)
class Element:
    """What is known of one element of a scan output: its type, and its shape with zeros for gaps.

    It is needed where there is no element to look at.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]


def elements(graph: GraphProto, first: int) -> list[Element]:
    """Returns the elements of the scan outputs, which are the outputs of a body from one on."""
    found = []
    for value in graph.output[first:]:
        kind = value.type.tensor_type
        shape = tuple(max(0, d.dim_value) for d in kind.shape.dim)
        found.append(Element(DTYPES.get(kind.elem_type, torch.float32), shape))
    return found


def stacked(
    parts: Sequence[torch.Tensor], element: Element, axis: int, device: torch.device | None
) -> torch.Tensor:
    """Returns the elements of a scan output along a new axis, of which there may be none."""
    if parts:
        return torch.stack(list(parts), axis)
    shape = list(element.shape)
    shape.insert(range(len(shape) + 1)[axis], 0)
    return torch.empty(shape, dtype=element.dtype, device=device)


def host_positions(names: Iterable[str]) -> frozenset[int]:
    """Returns the positions of values that live on the host."""
    return frozenset(i for i, name in enumerate(names) if name in current().host)
