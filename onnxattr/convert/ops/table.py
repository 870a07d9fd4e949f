"""The table of operators: each is a function of tensors, registered under its since-version.

`operator` takes a function of the node's inputs in ONNX's order, None for a blank one, and of its
attributes by name; it returns a tensor, a list for a sequence, or a tuple for several outputs, the
number of which it is told if it takes `outputs`. What the graph stores and the function needs to
know as numbers (`stored`) comes as Python numbers, so that a converted graph reads no value off a
device. `builder` takes a function that makes the module itself, for operators with subgraphs.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from onnx import AttributeProto
from onnx2torch.node_converters.registry import add_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult
from torch import nn

from onnxattr.convert.ops.tensors import from_numpy, to_torch
from onnxattr.errors import SupportError
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import label
from onnxattr.limits import Limits
from onnxattr.types import OnnxNode as VendorNode

#: Numbers of a result that is computed at conversion, where all its inputs are stored.
MAX_FOLDED = 1 << 20

#: Integers that stay on the host, whatever the device: shapes, axes and the like.
MAX_HOST = 256

#: Characters of a reason: attributes may be long.
_REASON = 400

Function = Callable[..., Any]
Build = Callable[[OnnxNode, OnnxGraph], tuple[nn.Module, Sequence[str]]]


@dataclass(frozen=True)
class Entry:
    """What the table says of an operator.

    Attributes:
        function: Of the inputs and attributes; None where `build` makes the module.
        stored: Positions of inputs that come as Python numbers where the graph stores them.
        scalars: Positions of those that do where the graph stores one number without a dimension.
        gradient: Whether any output has a gradient with respect to any input.
        fold: Whether it may be computed at conversion: it gives the same every time.
        host: Whether the result is made on the host, whatever the device of the inputs.
        holds: Whether its module may hold stored tensors that it takes: `call` makes it.
    """

    function: Function | None
    stored: frozenset[int] = frozenset()
    scalars: frozenset[int] = frozenset()
    gradient: bool = True
    fold: bool = True
    host: bool = False
    holds: bool = True


#: Operators with their since-version, `Gelu_20`, or their domain, `com.microsoft.Gelu`.
OPERATORS: dict[str, Entry] = {}


def operator(
    name: str,
    *versions: int,
    stored: Sequence[int] = (),
    scalars: Sequence[int] = (),
    gradient: bool = True,
    fold: bool = True,
    host: bool = False,
) -> Callable[[Function], Function]:
    """Returns a decorator that puts a function of tensors into the table.

    Args:
        name: The ONNX operator, with its domain if that is not ONNX's own.
        *versions: The since-versions for which the function is right; none for an operator of
            another domain, or of ours alone.
        stored: Positions of inputs that the function takes as Python numbers (`tolist()`) where the
            graph stores them; where it computes them they come as tensors.
        scalars: Positions of those that it takes so only where they have no dimension.
        gradient: Whether any output has a gradient with respect to any input.
        fold: Whether it may be computed at conversion where all of its inputs are stored.
        host: Whether the result is made on the host, as sizes are, whatever the inputs' device.
    """

    def decorate(function: Function) -> Function:
        entry = Entry(function, frozenset(stored), frozenset(scalars), gradient, fold, host)

        def build(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
            return call(node, entry)

        _register(name, versions, entry, build)
        return function

    return decorate


def builder(
    name: str, *versions: int, gradient: bool = True, holds: bool = False
) -> Callable[[Build], Build]:
    """Returns a decorator that puts an operator into the table whose module a function makes.

    The module returns a tuple exactly when the node lists more than one output; the function also
    returns the names of the inputs that the module takes. One that leaves the inputs to `call`
    `holds` stored tensors.
    """

    def decorate(build: Build) -> Build:
        entry = Entry(None, gradient=gradient, fold=False, holds=holds)
        _register(name, versions, entry, build)
        return build

    return decorate


def _register(name: str, versions: Sequence[int], entry: Entry, build: Build) -> None:
    def convert(node: Any, graph: OnnxGraph) -> OperationConverterResult:
        try:
            module, inputs = build(node, graph)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            # The others are converted all the same, so that all refusals are told at once.
            current().refused[node.proto.name] = reason_of(error)
            module, inputs = refusal(node)
        mapping = OnnxMapping(tuple(inputs), tuple(node.output_values))
        return OperationConverterResult(torch_module=module, onnx_mapping=mapping)

    for key in [f"{name}_{version}" for version in versions] or [name]:
        add_converter(operation_type=key, version=1, domain=OWN_DOMAIN)(convert)
        OPERATORS[key] = entry


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


class Parameter(nn.Module):
    """A stored tensor: a frozen parameter, a buffer, or a number of the host."""

    value: torch.Tensor

    def __init__(self, value: torch.Tensor, host: bool) -> None:
        super().__init__()
        if host:
            self.value = value
        else:
            _hold(self, "value", value)

    def forward(self) -> torch.Tensor:
        return self.value


@functools.cache
def held_name(slot: int) -> str:
    """Returns the name under which a module holds the stored tensor of an input."""
    return f"input{slot}"


def _hold(module: nn.Module, name: str, value: torch.Tensor) -> None:
    if value.is_floating_point() and value.itemsize > 1:
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    else:
        # A few numbers are attributes of the operator rather than a state.
        module.register_buffer(name, value, persistent=not _is_of_host(value))


class Refusal(nn.Module):
    """Stands for a node that cannot be converted, in a graph that is never run."""

    def forward(self, *values: Any) -> Any:
        raise SupportError("a node that is not converted")


def refusal(node: OnnxNode) -> tuple[nn.Module, Sequence[str]]:
    """Returns what stands for a node that cannot be converted, and takes all of its inputs."""
    return Refusal(), [n for n in node.input_values if n and n not in current().held]


class Call(nn.Module):
    """An ONNX operator: a function of its inputs in order, and of its attributes.

    Args:
        function: From the table.
        arguments: One an input: what is stored on the host, None where it is blank, held or given.
        slots: Positions of the inputs that are given.
        held: Stored tensors by their positions: parameters or buffers `input1`, …, which move with
            the module.
        moved: Positions of those that live on the host and must follow the others to their device.
        attributes: By name.
        outputs: How many the node lists.
        label: What the vendor calls it, for messages.

    Raises:
        SupportError: When called: the function refuses what it is given.
    """

    function: Function
    arguments: tuple[Any, ...]
    slots: tuple[int, ...]
    held: tuple[int, ...]
    names: tuple[tuple[int, str], ...]
    moved: tuple[int, ...]
    attributes: dict[str, Any]
    outputs: int
    label: str
    plain: bool

    def __init__(
        self,
        function: Function,
        arguments: Sequence[Any],
        slots: Sequence[int],
        held: Mapping[int, torch.Tensor],
        moved: Sequence[int],
        attributes: Mapping[str, Any],
        outputs: int,
        label: str,
    ) -> None:
        super().__init__()
        given = tuple(slots)
        for slot, value in held.items():
            _hold(self, held_name(slot), value)
        # Past the module's own __setattr__, which looks for parameters among them at every node.
        vars(self).update(
            function=function,
            attributes=dict(attributes),
            outputs=outputs,
            label=label,
            arguments=tuple(arguments),
            slots=given,
            held=tuple(held),
            names=tuple((slot, held_name(slot)) for slot in held),
            moved=tuple(moved),
            # The usual case: everything is given, in order.
            plain=given == tuple(range(len(arguments))) and not moved,
        )

    def forward(self, *values: Any) -> Any:
        try:
            result = self.function(*self._arguments(values), **self.attributes)
        except SupportError as error:
            raise SupportError(f"{self.label}: {error.message}") from error
        if not isinstance(result, tuple):
            return result
        if self.outputs == 1:
            return result[0]
        return (*result, *[None] * (self.outputs - len(result)))[: self.outputs]

    def _arguments(self, values: Sequence[Any]) -> Sequence[Any]:
        if self.plain:
            return values
        arguments = list(self.arguments)
        for slot, value in zip(self.slots, values, strict=True):
            arguments[slot] = value
        for slot, name in self.names:
            arguments[slot] = getattr(self, name)
        if self.moved:
            tensors = (i for i in (*self.slots, *self.held) if i not in self.moved)
            device = device_of(arguments[i] for i in tensors)
            for slot in self.moved:
                arguments[slot] = moved(arguments[slot], device)
        return arguments

    def extra_repr(self) -> str:
        """Returns the operator's function and attributes."""
        given = ", ".join(f"{k}={v}" for k, v in self.attributes.items())
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"{name.strip('_')}({given})"


def device_of(values: Iterable[Any]) -> torch.device | None:
    """Returns where the first tensor among values lives, or in sequences among them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            return value.device
        if isinstance(value, list) and value:
            return device_of(value)
    return None


def moved(value: Any, device: torch.device | None) -> Any:
    """Returns a tensor, a sequence or an absent value on a device; where it is if that is None."""
    if isinstance(value, list):
        return [moved(item, device) for item in value]
    return value if value is None or device is None else value.to(device)


def call(node: OnnxNode, entry: Entry) -> tuple[nn.Module, Sequence[str]]:
    """Returns the module of a node that is one call of a function, and the inputs that it takes."""
    names, attributes, here = node.input_values, attributes_of(node.proto), current()
    assert entry.function is not None
    _require_arguments(entry.function, len(names), attributes)
    if any(p.name == "outputs" for p in _parameters(entry.function)):
        attributes["outputs"] = len(node.output_values)
    if entry.fold and all(n == "" or n in here.known for n in names):
        module = _folded(node, entry, attributes)
        if module is not None:
            return module, ()
    arguments: list[Any] = [None] * len(names)
    slots = []
    for i, name in enumerate(names):
        if name in here.known and _is_number(here.known[name], i, entry):
            arguments[i] = here.known[name].tolist()
        elif name:
            slots.append(i)
    on_host = {i for i in slots if names[i] in here.host}
    followers = sorted(on_host - entry.stored) if on_host != set(slots) else []
    if entry.host or on_host == set(slots):
        # What is made of no tensor at all is made on the host, too.
        here.host.update(node.output_values)
    if not set(slots) - on_host - entry.stored:
        followers = []
    following = {i: here.known[names[i]] for i in followers if names[i] in here.known}
    given = [i for i in slots if names[i] not in here.held and i not in following]
    held = {i: here.known[names[i]] for i in slots if i not in given}
    for i in on_host & (held.keys() - following.keys()):
        arguments[i] = held.pop(i)
    moving = [i for i in followers if i not in following]
    count, called = len(node.output_values), label(here.vendor[node.proto.name])
    module = Call(entry.function, arguments, given, held, moving, attributes, count, called)
    return module, [names[i] for i in given]


def reason_of(error: Exception) -> str:
    """Returns what an error says, on a short line: converters raise whatever they happen to hit."""
    # What follows are the addresses of torch's own functions.
    said = " ".join(str(error).partition("Exception raised from")[0].split())
    said = said if len(said) <= _REASON else f"{said[:_REASON]}…"
    return said or type(error).__name__


def _folded(node: OnnxNode, entry: Entry, attributes: Mapping[str, Any]) -> nn.Module | None:
    """Returns the result of a node whose inputs are all stored, if it is one small tensor."""
    here = current()
    values = [here.known[n] if n else None for n in node.input_values]
    if len(node.output_values) != 1 or not all(_is_small(v) for v in values):
        return None
    arguments = [
        v.tolist() if v is not None and _is_number(v, i, entry) else v for i, v in enumerate(values)
    ]
    # What an operator makes of its input is as large as the numbers in it say: Tile, Expand, Range.
    numbers = [n for a in arguments if isinstance(a, int | float | list) for n in _flat(a)]
    size = max([1, *(v.numel() for v in values if v is not None)])
    if entry.stored and size * math.prod(max(1.0, abs(n)) for n in numbers) > MAX_FOLDED:
        return None
    assert entry.function is not None
    with torch.no_grad():
        result = entry.function(*arguments, **attributes)
    result = result[0] if isinstance(result, tuple) else result
    if not isinstance(result, torch.Tensor) or result.numel() > MAX_FOLDED:
        return None
    return known(node.output_values[0], result.clone())


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


def _is_number(value: torch.Tensor, position: int, entry: Entry) -> bool:
    """Returns whether a stored input at a position comes as Python numbers."""
    return position in entry.stored or (position in entry.scalars and not value.ndim)


def _is_small(value: Any) -> bool:
    return value is None or (isinstance(value, torch.Tensor) and value.numel() <= MAX_FOLDED)


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif not isinstance(value, bool) and math.isfinite(value):
        yield value


@functools.cache
def _parameters(function: Function) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


def _require_arguments(function: Function, count: int, attributes: Mapping[str, Any]) -> None:
    parameters = _parameters(function)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        # What is an input of a later version may be an attribute of an earlier one.
        later = [p for p in parameters[count:] if p.kind is p.POSITIONAL_OR_KEYWORD]
        # What begins with an underscore is for other code, and no file may say it.
        own = (p for p in parameters if p.kind is p.KEYWORD_ONLY and not p.name.startswith("_"))
        taken = {p.name for p in own} | {p.name for p in later}
        if unknown := sorted(set(attributes) - taken):
            raise SupportError(f"the attribute `{unknown[0]}`")
    if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        most = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        if count > most:
            raise SupportError(f"{count} inputs, where {most} are known")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Returns the attributes of a node as Python numbers, strings, lists and torch tensors.

    Subgraphs are left out.
    """
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            continue
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.STRING:
            value = value.decode()
        elif attribute.type == AttributeProto.STRINGS:
            value = [v.decode() for v in value]
        elif attribute.type == AttributeProto.TENSOR:
            value = to_torch(value)
        elif attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
            value = list(value)
        found[attribute.name] = value
    return found
