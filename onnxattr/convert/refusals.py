"""What a converted graph refuses when it is run: all of it, found from shapes alone.

Converters refuse what they are given when they are built, and when they are called: a mode, a type,
a number of axes. Here each is called once, on torch's `meta` device: no numbers are computed and no
memory is taken for any. Small integers that live on the host, such as sizes, are computed as ever.
"""

import dataclasses
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops import calls, scope, table
from onnxattr.convert.ops.tensors import DTYPES
from onnxattr.convert.support import grouped, has_converter, once
from onnxattr.convert.torch import convert
from onnxattr.errors import SupportError
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import graphs, nodes
from onnxattr.limits import Limits
from onnxattr.types import InputSpec, Model, Refused, Unsupported

#: Numbers of what is made of no tensor; larger ones are not made.
_LARGEST = 1 << 20

#: Numbers that no tensor has.
_MANY = 1 << 59

#: Seconds after which no further node is called: recurrent layers take many steps.
_SECONDS = 10.0

#: A size that nothing tells.
_GUESS = 8

#: How torch says that there are no values to read: no refusal.
_UNREAD = re.compile(r"(?<![a-z])meta(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Refusals:
    """What is refused, by ONNX name.

    Attributes:
        refused: Operators and reasons.
        unchecked: Operators that could not be called, or not to their end, without values.
    """

    refused: tuple[Refused, ...] = ()
    unchecked: tuple[Unsupported, ...] = ()


def refusals(
    dialect: Model, spec: InputSpec | None = None, limits: Limits | None = None
) -> Refusals:
    """Returns all that a normalised model is refused for, beside operators without a converter.

    A free batch counts as one, and other free sizes as eight: what is refused then is not certain.
    Behind what cannot be called, shapes are those that onnx infers.

    Args:
        dialect: What `graph.normalise` returned.
        spec: What was told to it of the input.
        limits: What bodies that run again and again may cost.

    Raises:
        SupportError: onnx2torch fails.
    """
    complete = dataclasses.replace(dialect, proto=_complete(dialect.proto))
    module, built = convert(complete, limits or Limits(), hold=False)
    walk = _Walk(complete, spec, module, built)
    with torch.no_grad():
        walk.graph(complete.proto.graph)
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for name, (reason, certain) in walk.refused.items():
        vendor = dialect.names.nodes[name]
        groups.setdefault((vendor.op_type, reason, certain), []).append(vendor.name)
    return Refusals(
        tuple(Refused(op, why, once(n), sure) for (op, why, sure), n in sorted(groups.items())),
        grouped(dialect, walk.unchecked),
    )


def _complete(proto: ModelProto) -> ModelProto:
    """Returns a graph in which what has no converter is refused like any other node."""
    complete = ModelProto()
    complete.CopyFrom(proto)
    for node in nodes(complete.graph):
        if not has_converter(node):
            node.op_type, node.domain = "Refused", OWN_DOMAIN
            del node.attribute[:]
    return complete


@table.builder("Refused")
def _refused(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    return table.refusal(node)


class _Walk:
    """Calls each node of a graph, and of the graphs inside it, where it is known what with.

    Args:
        dialect: The model.
        spec: Of its input.
        module: What it was converted to.
        built: Why nodes were refused then.

    Attributes:
        refused: By node: why, and whether that is certain.
        unchecked: Nodes that could not be called, or not to their end.
    """

    def __init__(
        self,
        dialect: Model,
        spec: InputSpec | None,
        module: nn.Module,
        built: Mapping[str, str],
    ) -> None:
        self.refused: dict[str, tuple[str, bool]] = {}
        self.unchecked: list[NodeProto] = []
        self._built = built
        # Our names are unique in all graphs, and subgraphs are modules inside of modules.
        named = module.to("meta").named_modules()
        self._modules = {name.rpartition("/")[2]: inner for name, inner in named}
        graph = dialect.proto.graph
        self._types = {v.name: v.type for v in (*graph.input, *_infos(graph))}
        #: Tensors without numbers, and numbers of the host, by our names.
        self._values: dict[str, Any] = {}
        #: Those whose shapes are onnx's word, or a guess, and what follows from them.
        self._doubtful: set[str] = set()
        guessed = {v.name for v in graph.input if any(_open(v))} if spec is None else set()
        self._free, self._guesses = _free(graph), bool(guessed)
        self._doubtful |= guessed
        for value in graph.input:
            self._stand_in(value.name, value.type)
        self._end = time.monotonic() + _SECONDS

    def graph(self, graph: GraphProto, certain: bool = True) -> None:
        """Calls all nodes of `graph`, which certainly runs, or perhaps."""
        for node in graph.node:
            module = self._modules.get(node.name)
            if isinstance(module, scope.Parameter):
                self._values[node.output[0]] = module.value
            elif isinstance(module, table.Refusal):
                if node.name in self._built:
                    self.refused[node.name] = (self._built[node.name], certain)
                self._infer(node)
                self._guess(node)
            elif isinstance(module, calls.Call):
                self._call(node, module, certain)
            elif module is not None and any(graphs(node)):
                self._bodies(node, certain)

    def _call(self, node: NodeProto, module: calls.Call, certain: bool) -> None:
        names = [node.input[i] for i in module.slots]
        if any(self._is_text(name) for name in names):
            self.refused[node.name] = ("strings", certain)
            self._infer(node)
            return
        known = all(name in self._values for name in names) and time.monotonic() < self._end
        if not known or self._is_large(node, names):
            self.unchecked.append(node)
            self._infer(node)
            return
        doubtful = not self._doubtful.isdisjoint(names)
        try:
            result = module(*(self._values[name] for name in names))
        except SupportError as error:
            reason = table.reason_of(error).removeprefix(f"{module.label}: ")
            # What is refused for a size is not, perhaps, at the size that is fed.
            self.refused[node.name] = (reason, certain and not (doubtful and self._guesses))
            self._infer(node)
            self._guess(node)
        except MemoryError:
            raise
        except Exception as error:
            # Of shapes that are onnx's word alone, torch's complaint proves nothing.
            if doubtful or _UNREAD.search(str(error)):
                self.unchecked.append(node)
            else:
                self.refused[node.name] = (table.reason_of(error), certain)
            self._infer(node)
        else:
            several = isinstance(result, tuple)
            for name, value in zip(node.output, result if several else (result,), strict=False):
                if name and value is not None:
                    self._values[name] = value
            self._doubtful.update(node.output if doubtful else ())

    def _is_text(self, name: str) -> bool:
        kind = self._types.get(name, TypeProto()).tensor_type
        return bool(kind.elem_type == TensorProto.STRING)

    def _is_large(self, node: NodeProto, names: Sequence[str]) -> bool:
        """Whether a node would make much out of what lives on the host."""
        if any(value.is_meta for n in names for value in _tensors(self._values[n])):
            return False
        shapes = (_shape(self._types.get(name, TypeProto()), self._free) for name in node.output)
        return sum(math.prod(shape) for shape in shapes if shape is not None) > _LARGEST

    def _bodies(self, node: NodeProto, certain: bool) -> None:
        """Calls the nodes of subgraphs, once: of an `If`, those of the branch that is taken."""
        for attribute in node.attribute:
            if not attribute.HasField("g"):
                continue
            if node.op_type.startswith("If"):
                condition = self._number(node.input[0])
                if condition is not None and bool(condition) == (attribute.name != "then_branch"):
                    continue
                self.graph(attribute.g, certain and condition is not None)
                if condition is not None:
                    for name, inner in zip(node.output, attribute.g.node[-1].input, strict=False):
                        self._copy(inner, name)
            else:
                self._start(node, attribute.g)
                self.graph(attribute.g, certain and self._runs(node))
        self._infer(node)

    def _number(self, name: str) -> float | None:
        """Returns a number of the host; None where it is not known."""
        value = self._values.get(name)
        if not isinstance(value, torch.Tensor) or value.is_meta or value.numel() != 1:
            return None
        return value.item()

    def _runs(self, node: NodeProto) -> bool:
        """Whether the body of a node certainly runs: that of a Loop may not."""
        if not node.op_type.startswith("Loop"):
            return True
        given = [1 if not name else self._number(name) for name in (*node.input, "", "")[:2]]
        return all(given)

    def _start(self, node: NodeProto, body: GraphProto) -> None:
        """Gives the body of a loop what it starts from, as far as that is known."""
        for value in body.input:
            self._stand_in(value.name, value.type)
            self._doubtful.add(value.name)
        names, given = [value.name for value in body.input], list(node.input)
        if node.op_type.startswith("Loop"):
            for name, number in zip(names, (0, True), strict=False):
                self._values[name] = torch.tensor(number, device="cpu")
            for name, initial in zip(names[2:], given[2:], strict=False):
                self._copy(initial, name)

    def _copy(self, source: str, name: str) -> None:
        """Makes a value what another is, if that is known."""
        if source in self._values:
            self._values[name] = self._values[source]
            if source in self._doubtful:
                self._doubtful.add(name)
            else:
                self._doubtful.discard(name)

    def _infer(self, node: NodeProto) -> None:
        """Gives the outputs of a node that was not called the types that onnx infers."""
        for name in node.output:
            if name and name not in self._values and name in self._types:
                self._stand_in(name, self._types[name])
                self._doubtful.add(name)

    def _guess(self, node: NodeProto) -> None:
        """Makes the output of a refused node what its first input is, if onnx knows no better.

        Most operators of other domains that are refused are activations and the like.
        """
        first = next((name for name in node.input if name in self._values), "")
        if first and node.output[0] not in self._values:
            self._copy(first, node.output[0])
            self._doubtful.add(node.output[0])
            self._guesses = True

    def _stand_in(self, name: str, kind: TypeProto) -> None:
        shape, dtype = _shape(kind, self._free), DTYPES.get(kind.tensor_type.elem_type)
        # torch cannot even name a tensor of more.
        if shape is not None and dtype is not None and math.prod(shape) < _MANY:
            self._values[name] = torch.empty(shape, dtype=dtype, device="meta")


def _infos(graph: GraphProto) -> Iterator[ValueInfoProto]:
    """Yields what is known of the values of a graph, and of those inside it."""
    yield from graph.value_info
    yield from graph.output
    for node in graph.node:
        for body in graphs(node):
            yield from _infos(body)


def _free(graph: GraphProto) -> dict[str, int]:
    """Returns sizes for those that a graph's inputs leave free, which get names if they have none.

    A batch of one is what every model takes.
    """
    free: dict[str, int] = {}
    for value in graph.input:
        for axis, dim in _open(value):
            dim.dim_param = dim.dim_param or f"{value.name} {axis}"
            free.setdefault(dim.dim_param, 1 if axis == 0 else _GUESS)
    return free


def _open(value: ValueInfoProto) -> Iterator[tuple[int, Any]]:
    """Yields the axes of an input that have no size, and their dimensions."""
    dims = enumerate(value.type.tensor_type.shape.dim)
    return ((axis, dim) for axis, dim in dims if not dim.HasField("dim_value"))


def _shape(kind: TypeProto, free: Mapping[str, int]) -> list[int] | None:
    """Returns the sizes of a tensor; None where one is not known."""
    if not kind.tensor_type.HasField("shape"):
        return None
    sizes = [
        d.dim_value if d.HasField("dim_value") else free.get(d.dim_param, -1)
        for d in kind.tensor_type.shape.dim
    ]
    return None if any(size < 0 for size in sizes) else sizes


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)
