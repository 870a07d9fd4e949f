"""The table of operators: each is a function of tensors, registered under its since-version.

`operator` takes a function of the node's inputs in ONNX's order, None for a blank one, and of its
attributes by name; it returns a tensor, a list for a sequence, or a tuple for several outputs, the
number of which it is told if it takes `outputs`. What the graph stores and the function needs to
know as numbers (`stored`) comes as Python numbers, so that a converted graph reads no value off a
device. `builder` takes a function that makes the module itself, for operators with subgraphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnx2torch.node_converters.registry import add_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult
from torch import nn

from onnxattr.convert.ops.calls import Entry, Function, call
from onnxattr.convert.ops.scope import current
from onnxattr.errors import SupportError
from onnxattr.graph.load import OWN_DOMAIN

#: Characters of a reason: attributes may be long.
_REASON = 400

Build = Callable[[OnnxNode, OnnxGraph], tuple[nn.Module, Sequence[str]]]


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


class Refusal(nn.Module):
    """Stands for a node that cannot be converted, in a graph that is never run."""

    def forward(self, *values: Any) -> Any:
        raise SupportError("a node that is not converted")


def refusal(node: OnnxNode) -> tuple[nn.Module, Sequence[str]]:
    """Returns what stands for a node that cannot be converted, and takes all of its inputs."""
    return Refusal(), [n for n in node.input_values if n and n not in current().held]


def reason_of(error: Exception) -> str:
    """Returns what an error says, on a short line: converters raise whatever they happen to hit."""
    # What follows are the addresses of torch's own functions.
    said = " ".join(str(error).partition("Exception raised from")[0].split())
    said = said if len(said) <= _REASON else f"{said[:_REASON]}…"
    return said or type(error).__name__
