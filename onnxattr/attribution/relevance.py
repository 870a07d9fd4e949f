"""Relevance as a modified gradient: ε-LRP as the paper's code, DeepExplain, defines it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from onnxattr.attribution.gradients import times_input
from onnxattr.attribution.rules.table import key
from onnxattr.attribution.setting import Setting
from onnxattr.convert.ops.calls import Call
from onnxattr.convert.torch import module_name
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

#: The paper's and DeepExplain's ε.
EPSILON = 1e-4

_Tensor = torch.Tensor

#: The operators whose derivative is replaced, and their own: of the gradient, z, f(z), attributes.
#: Every other operator keeps its gradient.
NONLINEARITIES: Mapping[str, Callable[[_Tensor, _Tensor, _Tensor, Mapping[str, Any]], _Tensor]] = {
    "Relu": lambda g, z, y, _: torch.ops.aten.threshold_backward(g, y, 0),
    "Elu": lambda g, z, y, a: torch.ops.aten.elu_backward(g, a.get("alpha", 1.0), 1, 1, False, z),
    "Sigmoid": lambda g, z, y, _: torch.ops.aten.sigmoid_backward(g, y),
    "Tanh": lambda g, z, y, _: torch.ops.aten.tanh_backward(g, y),
    "Softplus": lambda g, z, y, _: torch.ops.aten.softplus_backward(g, z, 1, 40),
}


def elrp(setting: Setting) -> Explain:
    """Prepares ε-LRP: z ⊙ ∂ᵍT/∂z, signed, averaged over the channels.

    ∂ᵍ is the gradient with the derivative of each Relu, Elu, Sigmoid, Tanh and Softplus replaced by
    f(z) / (z + ε·sign z), where sign 0 = +1 and ε = 1e-4 (Ancona et al. 2018, table 1 and their
    code; Song et al. 2019). For piecewise-linear nets it tends to `grad-input` as ε → 0.

    The operators are those of the graph after its fusions. So a Sigmoid that is the gate of a SiLU,
    or the Tanh of a GELU, keeps its gradient, whether an exporter wrote one node for it or a chain;
    and so do those inside of a recurrent layer that is one operator.
    """
    return times_input(setting, with_secants(setting.network))


class Switch:
    """Whether backward passes through secants give relevance, or the gradient."""

    def __init__(self) -> None:
        self.relevance = True

    @contextmanager
    def gradient(self) -> Iterator[None]:
        """In the body they give the gradient."""
        self.relevance = False
        try:
            yield
        finally:
            self.relevance = True


def with_secants(
    network: Network, epsilon: float = EPSILON, switch: Switch | None = None
) -> nn.Module:
    """Returns the network's module with secants for derivatives; weights are shared, not copied.

    Args:
        network: From `convert.torch.to_network`.
        epsilon: Keeps the quotients finite; above zero.
        switch: Chooses at each backward pass; by default all give relevance.
    """
    # A copy of a GraphModule has its own table of submodules, in which replacing is safe.
    module = copy.copy(network.module)
    for node in network.dialect.proto.graph.node:
        operator, name = key(node.op_type), module_name(node)
        if operator in NONLINEARITIES and name in network.operators:
            call = network.module.get_submodule(name)
            assert isinstance(call, Call)
            module.add_module(name, Secant(call, operator, epsilon, switch or Switch()))
    return module


class Secant(nn.Module):
    """An elementwise function whose derivative is taken to be f(z) / (z + ε·sign z).

    Args:
        function: The function, elementwise.
        operator: One of `NONLINEARITIES`.
        epsilon: Keeps the quotient finite; above zero.
        switch: Chooses at each backward pass.
    """

    def __init__(self, function: Call, operator: str, epsilon: float, switch: Switch) -> None:
        super().__init__()
        self.function, self.operator = function, operator
        self.epsilon, self.switch = epsilon, switch

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Returns f(z)."""
        kind = _Relu if self.operator == "Relu" else _Elementwise
        result: torch.Tensor = kind.apply(z, self)
        return result


class _Relu(torch.autograd.Function):
    """Where z is positive f(z) is z, and elsewhere 0: so f(z) is all that need be kept."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, secant: Secant) -> torch.Tensor:
        y = F.relu(z)
        ctx.save_for_backward(y)
        ctx.secant = secant
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (y,), secant = ctx.saved_tensors, ctx.secant
        if not secant.switch.relevance:
            return torch.ops.aten.threshold_backward(gradients[0], y, 0), None
        # One tensor for all three steps: on the CPU memory is what they wait for.
        quotient = y + secant.epsilon
        torch.div(y, quotient, out=quotient)
        return quotient.mul_(gradients[0]), None


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, secant: Secant) -> torch.Tensor:
        y: torch.Tensor = secant.function(z)
        ctx.save_for_backward(z, y)
        ctx.secant = secant
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (z, y), secant = ctx.saved_tensors, ctx.secant
        if not secant.switch.relevance:
            own = NONLINEARITIES[secant.operator]
            return own(gradients[0], z, y, secant.function.attributes), None
        epsilon = torch.full_like(z, secant.epsilon)
        # -0.0 counts as zero, whose sign is +1: copysign alone would make it negative.
        signed = torch.where(z < 0, -epsilon, epsilon)
        return gradients[0] * y / (z + signed), None
