"""What is known while a graph is converted: what it stores, and what was computed of that."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.tensors import from_numpy
from onnxattr.limits import Limits
from onnxattr.types import OnnxNode as VendorNode

#: Integers that stay on the host, whatever the device: shapes, axes and the like.
MAX_HOST = 256


@dataclass
class Scope:
    """What is known while a graph is converted.

    Attributes:
        arrays: What the graph stores, by value; a `Parameter` node reads it.
        limits: What bodies that run again and again may cost.
        vendor: The vendor's nodes, by the name of ours.
        held: Values of which there is no `Parameter` node: the node that takes one holds it.
        inputs: The vendor's names of inputs, by ours.
        refused: Why nodes cannot be converted, by name.
        known: Values that are stored, or were computed from stored ones.
        host: Values that stay on the host, whatever the device.
        takers: Of the graphs that a converter looked ahead in: who takes each value.
    """

    arrays: Mapping[str, Any]
    limits: Limits
    vendor: Mapping[str, VendorNode]
    held: Collection[str] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    host: set[str] = field(default_factory=set)
    takers: dict[OnnxGraph, dict[str, list[OnnxNode]]] = field(default_factory=dict)


_SCOPE: contextvars.ContextVar[Scope] = contextvars.ContextVar("scope")


@contextmanager
def scope(
    arrays: Mapping[str, Any],
    limits: Limits,
    vendor: Mapping[str, VendorNode],
    held: Collection[str] = (),
    inputs: Mapping[str, str] | None = None,
) -> Iterator[Scope]:
    """Holds what the graph stores, and what is known of it, for as long as it is converted."""
    token = _SCOPE.set(Scope(arrays, limits, vendor, held, inputs or {}))
    try:
        for name in held:
            note(name, from_numpy(arrays[name]))
        yield _SCOPE.get()
    finally:
        _SCOPE.reset(token)


def current() -> Scope:
    """Returns the scope of the conversion that is under way."""
    return _SCOPE.get()


def takers(graph: OnnxGraph) -> Mapping[str, Sequence[OnnxNode]]:
    """Returns the nodes of a graph that take each value, in the order of the graph."""
    if graph not in current().takers:
        found: dict[str, list[OnnxNode]] = {}
        for node in graph.nodes.values():
            for name in dict.fromkeys(node.input_values):
                found.setdefault(name, []).append(node)
        current().takers[graph] = found
    return current().takers[graph]


def known(name: str, value: torch.Tensor) -> Parameter:
    """Returns the module of a value that is stored, or was computed from stored ones."""
    return Parameter(value, note(name, value))


def note(name: str, value: torch.Tensor) -> bool:
    """Notes a value that is stored, or was computed; returns whether it stays on the host."""
    here = current()
    here.known[name] = value
    host = _is_of_host(value)
    if host:
        here.host.add(name)
    return host


def _is_of_host(value: torch.Tensor) -> bool:
    return not value.is_floating_point() and value.numel() <= MAX_HOST


class Parameter(nn.Module):
    """A stored tensor: a frozen parameter, a buffer, or a number of the host."""

    value: torch.Tensor

    def __init__(self, value: torch.Tensor, host: bool) -> None:
        super().__init__()
        if host:
            self.value = value
        else:
            hold(self, "value", value)

    def forward(self) -> torch.Tensor:
        return self.value


@functools.cache
def held_name(slot: int) -> str:
    """Returns the name under which a module holds the stored tensor of an input."""
    return f"input{slot}"


def hold(module: nn.Module, name: str, value: torch.Tensor) -> None:
    """Puts a stored tensor into a module, to which it moves with the others."""
    if value.is_floating_point() and value.itemsize > 1:
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    else:
        # A few numbers are attributes of the operator rather than a state.
        module.register_buffer(name, value, persistent=not _is_of_host(value))
