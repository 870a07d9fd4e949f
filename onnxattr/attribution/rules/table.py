"""The table of relevance rules: one row an operator; the families' modules fill it.

A row says which inputs of an operator bear relevance, and what becomes of its function. A rule is a
function of a `Site` and returns a function of the node's inputs, in ONNX's order, as the function
of the operator's `Call` takes them, but with the attributes bound. Its values are those of the
operator; its gradient by autograd is the multiplier c = R/z. What it does not want to bear
relevance it detaches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnxattr.convert.ops.calls import Call

Function = Callable[..., Any]
Rule = Callable[["Site"], Function]

#: Every input of floating point bears relevance.
ALL = None

#: Ranks of a value, by which a product tells its gate from its signal.
SIGNAL, WEAK_GATE, GATE = 0, 1, 2


@dataclass(frozen=True)
class Facts:
    """What is known of one node from the graph.

    Attributes:
        ranks: Of each input: `SIGNAL`, `WEAK_GATE` (Tanh, Erf) or `GATE` (Sigmoid, Softmax, …).
        moving: Of each input: whether a gradient can flow from it to the model's input. What is
            stored, or computed from stored values or from sizes, does not move.
        nonnegative: Whether the input that bears relevance cannot be below zero.
        first: Whether no other layer lies between it and the model's input.
    """

    ranks: tuple[int, ...]
    moving: tuple[bool, ...]
    nonnegative: bool = False
    first: bool = False


@dataclass(frozen=True, eq=False)
class Site:
    """One node, when its rule is made.

    Attributes:
        call: The converted node, with its attributes and the stored tensors that it holds.
        operator: The key of its row.
        ranks: See `Facts`.
        moving: See `Facts`.
        nonnegative: See `Facts`.
        first: See `Facts`.
        attention: `cp` or `attn-lrp`: how products of two activations are taken.
    """

    call: Call
    operator: str
    ranks: tuple[int, ...]
    moving: tuple[bool, ...]
    nonnegative: bool
    first: bool
    attention: str

    def function(self, *arguments: Any) -> Any:
        """Returns what the operator does with inputs in ONNX's order, its attributes bound."""
        return self.call.function(*arguments, **self.call.attributes)


@dataclass(frozen=True)
class Row:
    """What the table says of an operator.

    Attributes:
        signal: Positions of the inputs that bear relevance; `ALL` for every one.
        rule: Makes the function that stands for the operator's. None where it is (piecewise) linear
            and homogeneous in `signal` jointly, the other inputs held fixed: those are detached.
        layer: The operator by which a composite calls it, where it is a product of one moving input
            with stored weights: the composite chooses its rule then. Its inputs 0 and 1 are the
            moving one and the weights, in any order, input 2 is the bias if there is one.
        refuse: Why methods of relevance refuse it.
    """

    signal: tuple[int, ...] | None = (0,)
    rule: Rule | None = None
    layer: str = ""
    refuse: str = ""


#: By the dialect's operator without its since-version: `Conv`, `FusedGelu`, `com.microsoft.Gelu`.
ROWS: dict[str, Row] = {}


def row(*names: str, **what: Any) -> None:
    """Puts a row into the table for each of `names`; see `Row` for the rest.

    Raises:
        ValueError: One of them has a row already.
    """
    for name in names:
        if name in ROWS:
            raise ValueError(f"{name} has a row already")
        ROWS[name] = Row(**what)


def rule(
    *names: str, signal: tuple[int, ...] | None = (0,), layer: str = ""
) -> Callable[[Rule], Rule]:
    """Returns a decorator that puts a rule into the table for each of `names`; see `Row`.

    Raises:
        ValueError: One of them has a row already.
    """

    def decorate(made: Rule) -> Rule:
        row(*names, signal=signal, rule=made, layer=layer)
        return made

    return decorate


def key(op_type: str) -> str:
    """Returns the row's key of an operator of the dialect: `Conv` of `Conv_22`."""
    name, _, version = op_type.rpartition("_")
    return name if name and version.isdigit() else op_type
