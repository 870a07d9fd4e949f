"""Where the relevance of a network's units goes, by LRP-0: to its input, to biases, to intercepts.

Σ x·c + Σ b·c_b + intercepts = T. Biases are found from the rows: what takes part at a position that
bears relevance and does not move. Intercepts are f(0) of elementwise functions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from euler import drawn, is_wide

from onnxattr.attribution.rules.apply import with_rules
from onnxattr.attribution.rules.composites import built_in
from onnxattr.attribution.rules.graph import FACTORS, analyse
from onnxattr.attribution.rules.table import ALL, ROWS, key
from onnxattr.convert.ops.calls import Call
from onnxattr.convert.torch import module_name

#: LRP-0 everywhere.
ZERO = built_in("epsilon", epsilon=0.0)

#: Functions of one number that may not be zero at zero.
RAISED = frozenset(
    {"Acos", "Clip", "Cos", "Cosh", "Exp", "HardSigmoid", "Pow", "Sigmoid", "Softplus"}
)


@dataclass(frozen=True)
class Ledger:
    """What became of T.

    Attributes:
        total: T, random weights times the units.
        input: Σ x·c.
        biases: Σ b·c_b.
        intercepts: Σ f(0)·c.
        relevance: x ⊙ c.
    """

    total: float
    input: float
    biases: float
    intercepts: float
    relevance: torch.Tensor

    @property
    def error(self) -> float:
        """What is lost or made, as a part of T."""
        return abs(self.input + self.biases + self.intercepts - self.total) / abs(self.total)


def ledger(network, x: torch.Tensor, attention: str = "cp") -> Ledger:
    """The ledger of a network for what it is fed, in float64 where it is."""
    module = with_rules(network, ZERO, attention=attention)
    noted: list[torch.Tensor] = []
    raised: list[torch.Tensor] = []
    facts = analyse(network, attention)
    for node in network.dialect.proto.graph.node:
        call, operator = getattr(module, module_name(node), None), key(node.op_type)
        if isinstance(call, Call) and any(facts[node.name].moving):
            function = _noting(call.function, operator, facts[node.name], noted, raised)
            noting = copy.copy(call)
            vars(noting).update(function=function)
            module.add_module(module_name(node), noting)
    source = x.detach().requires_grad_()
    units = module(source)
    (weights,) = drawn([units])
    total = (weights * units).sum()
    (c, *of_biases) = torch.autograd.grad(total, [source, *noted], allow_unused=True)
    pairs = zip(noted, of_biases, strict=True)
    relevance = (source * c).detach()
    return Ledger(
        total=float(total.detach()),
        input=float(relevance.sum()),
        biases=float(sum((b.detach() * g).sum() for b, g in pairs if g is not None)),
        intercepts=float(sum(raised)),
        relevance=relevance,
    )


def _noting(function, operator, facts, noted, raised):
    """The function, with the biases among its arguments made leaves that are noted."""
    row, factors = ROWS[operator], FACTORS.get(operator, ())
    signal = range(len(facts.moving)) if row.signal is ALL else row.signal
    added = [
        i
        for i in signal
        if i < len(facts.moving) and not facts.moving[i] and factors is not ALL and i not in factors
    ]

    def compute(*arguments, **attributes):
        given = list(arguments)
        for i in added:
            if i < len(given) and is_wide(given[i]):
                given[i] = given[i].detach().requires_grad_()
                noted.append(given[i])
        y = function(*given, **attributes)
        if operator in RAISED:
            with torch.no_grad():
                intercept = function(torch.zeros_like(given[0]), *given[1:], **attributes)
            y.register_hook(lambda c: raised.append((c * intercept).sum()))
        return y

    return compute
