"""Rules of recurrent layers, step by step: gates are held, what enters the cell has a secant."""

from __future__ import annotations

from typing import Any

import torch

from onnxattr.attribution.rules.parts import keeping, secant
from onnxattr.attribution.rules.table import Function, Site, rule
from onnxattr.convert.ops.gates import Activation, Roles

#: The input, the biases, and the initial states.
_SIGNAL = (0, 3, 5, 6)


def _held_gate(function: Activation) -> Activation:
    def gate(z: torch.Tensor) -> torch.Tensor:
        return function(z.detach())

    return gate


_ROLES = Roles(gate=_held_gate, signal=secant)


@rule("RNN", "GRU", "LSTM", signal=_SIGNAL)
def _recurrent(site: Site) -> Function:
    """Gates take nothing of what they gate (Arras et al. 2017, section 3.3; 2019, “LRP-all”).

    The products with stored weights are taken as they are, by the rule with ε = 0.
    """

    def compute(*arguments: Any) -> Any:
        kept = keeping(arguments, _SIGNAL)
        return site.call.function(*kept, **site.call.attributes, _roles=_ROLES)

    return compute
