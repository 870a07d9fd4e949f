"""Chains of operators that one operator of ours replaces: what the fusions share."""

from __future__ import annotations

import abc
import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.passes.provenance import inherit
from onnxattr.graph.walk import STANDARD

#: How many computed scalars lie behind one another at most: Cast, Sqrt, Div, Cast, Sqrt, …
_DEPTH = 12

_UNARY: dict[str, Callable[[float], float]] = {
    "Cast": float,
    "Neg": operator.neg,
    "Reciprocal": functools.partial(operator.truediv, 1.0),
    "Sqrt": math.sqrt,
}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "Add": operator.add,
    "Div": operator.truediv,
    "Mul": operator.mul,
    "Pow": math.pow,
    "Sub": operator.sub,
}


@dataclass
class Chain:
    """Nodes that together do what one operator does.

    Attributes:
        last: The node whose only output is the chain's.
        nodes: All nodes of the chain; `last` need not be among them.
        make: Makes the nodes that replace them: the last one makes the chain's output. Not before
            the chain is known to be replaced, since they read its inputs.
    """

    last: ir.Node
    nodes: Iterable[ir.Node]
    make: Callable[[], Sequence[ir.Node]]

    def is_closed(self) -> bool:
        """Returns whether nothing but the chain reads what its nodes make, save for the last's."""
        inside = {*self.nodes, self.last}
        return all(
            not value.is_graph_output() and all(use.node in inside for use in value.uses())
            for node in inside
            if node is not self.last
            for value in node.outputs
        )

    def replace(self) -> None:
        """Puts what is made in the place of the chain."""
        graph, (output,) = self.last.graph, self.last.outputs
        assert isinstance(graph, ir.Graph)
        made = self.make()
        inherit(made[-1], self.last)
        old = list({*self.nodes, self.last})
        ir.convenience.replace_nodes_and_values(
            graph, self.last, old, made, [output], made[-1].outputs
        )


def own(
    operator: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None
) -> list[ir.Node]:
    """Returns one node of our own domain."""
    return [ir.node(operator, inputs, attributes, domain=OWN_DOMAIN)]


class Fusion(ir.passes.InPlacePass, abc.ABC):
    """Replaces chains of the main graph, each found from its rarest operator.

    A chain is replaced only where one operator computes the same but for rounding: every constant
    is what the operator's definition says, and nobody else reads what lies inside.
    """

    #: The operators that a chain is found from.
    anchors: ClassVar[frozenset[str]]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with its chains replaced."""
        opset = model.opset_imports.get("", 0)
        anchors = [n for n in model.graph if n.domain in STANDARD and n.op_type in self.anchors]
        modified = False
        for node in anchors:
            chain = self.match(node, node.version or opset)
            if chain is not None and chain.is_closed():
                chain.replace()
                model.opset_imports[OWN_DOMAIN] = 1
                modified = True
        return ir.passes.PassResult(model, modified=modified)

    @abc.abstractmethod
    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around `node`, if it is one; who else reads inside is not asked."""


def made_by(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """Returns the node that makes `value`, if it is one of these of ONNX and has no other output.

    No operators stand for any.
    """
    node = value.producer() if value is not None else None
    if node is None or node.domain not in STANDARD or len(node.outputs) != 1:
        return None
    return node if not operators or node.op_type in operators else None


def reader(value: ir.Value, *operators: str) -> ir.Node | None:
    """Returns the only node that reads `value`, once, if it is one of these of ONNX."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    (use,) = uses
    # A subgraph may read it too.
    if use.node.graph is not value.graph or len(use.node.outputs) != 1:
        return None
    if use.node.domain not in STANDARD or (operators and use.node.op_type not in operators):
        return None
    return use.node


def other(node: ir.Node, value: ir.Value | None) -> ir.Value | None:
    """Returns the input of a node of two inputs that is not `value`; None where both are."""
    if len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if first is second:
        return None
    return second if first is value else first


def stored(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """Returns what the graph stores under `value`, if it does."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy()


def number(value: ir.Value | None, rank: int | None = None) -> float | None:
    """Returns the one number that `value` always holds, if it is one.

    It may be stored, or computed from stored ones, as the scale of an attention is.

    Args:
        value: An operand.
        rank: Dimensions of the other operand. A number of more dimensions makes the result's shape
            another; where it is not known, only a scalar is sure not to.
    """
    if value is None:
        return None
    shape = value.const_value.shape if value.const_value is not None else value.shape
    if shape is None or len(shape) > (rank or 0):
        return None
    return _number(value)


def _number(value: ir.Value | None) -> float | None:
    """Follows the one computed operand of each node, so the time it takes is bounded."""
    functions: list[Callable[[float], float]] = []
    while (found := _stored_number(value)) is None:
        node = made_by(value)
        if node is None or len(functions) == _DEPTH:
            return None
        step = _step(node)
        if step is None:
            return None
        function, value = step
        functions.append(function)
    try:
        for function in reversed(functions):
            found = function(found) if found is not None else None
    except (ArithmeticError, ValueError):
        return None
    return found


def _stored_number(value: ir.Value | None) -> float | None:
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    tensor = value.const_value
    if tensor.size != 1 or tensor.dtype == ir.DataType.STRING:
        return None
    return float(np.asarray(tensor.numpy()).reshape(()).astype(np.float64))


def _step(node: ir.Node) -> tuple[Callable[[float], float], ir.Value | None] | None:
    """Returns the function of one number that `node` is, and its operand."""
    if node.op_type in _UNARY:
        return _UNARY[node.op_type], node.inputs[0]
    if node.op_type not in _BINARY or len(node.inputs) != 2:
        return None
    function, (first, second) = _BINARY[node.op_type], node.inputs
    if (a := _stored_number(first)) is not None:
        return functools.partial(function, a), second
    if (b := _stored_number(second)) is not None:
        return functools.partial(_swapped, function, b), first
    return None


def _swapped(function: Callable[[float, float], float], b: float, a: float) -> float:
    return function(a, b)


def rank_of(value: ir.Value | None) -> int | None:
    """Returns the number of dimensions of `value`, if it was inferred."""
    return len(value.shape) if value is not None and value.shape is not None else None


def close(a: float, b: float, value: ir.Value) -> bool:
    """Returns whether two factors are the same in the type that `value` has.

    Each may be a product of two or three that were rounded to it.
    """
    precision = {ir.DataType.FLOAT16: 2.0**-10, ir.DataType.BFLOAT16: 2.0**-7}
    tolerance = precision.get(value.dtype, 1e-6) if value.dtype is not None else 1e-6
    return math.isclose(a, b, rel_tol=tolerance)


def axes_of(node: ir.Node) -> list[int] | None:
    """Returns the axes of a reduction as it names them: an attribute, or since opset 18 an input.

    None where they are computed, or none are given and it reduces all.
    """
    if "axes" in node.attributes:
        return list(node.attributes["axes"].as_ints())
    axes = stored(node.inputs[1]) if len(node.inputs) > 1 else None
    return [int(a) for a in axes.reshape(-1)] if axes is not None else None
