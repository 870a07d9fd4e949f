"""The module of an operator that is one call of a function, and what the call is made with."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import AttributeProto
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.scope import current, held_name, hold, known
from onnxattr.convert.ops.tensors import device_of, moved, to_torch
from onnxattr.errors import SupportError
from onnxattr.graph.walk import label

#: Numbers of a result that is computed at conversion, where all its inputs are stored.
MAX_FOLDED = 1 << 20

Function = Callable[..., Any]


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
            hold(self, held_name(slot), value)
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
