"""Relevance as a modified gradient: ε-LRP as the paper's code, DeepExplain, defines it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnxattr.attribution.gradients import times_input
from onnxattr.attribution.setting import Setting
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

#: The paper's and DeepExplain's ε.
EPSILON = 1e-4

#: The ONNX operators whose derivative is replaced; every other operator keeps its gradient.
NONLINEARITIES = frozenset({"Relu", "Elu", "Sigmoid", "Tanh", "Softplus"})


def elrp(setting: Setting) -> Explain:
    """Prepares ε-LRP: z ⊙ ∂ᵍT/∂z, signed, averaged over the channels.

    ∂ᵍ is the gradient with the derivative of each Relu, Elu, Sigmoid, Tanh and Softplus replaced by
    f(z) / (z + ε·sign z), where sign 0 = +1 and ε = 1e-4 (Ancona et al. 2018, table 1 and their
    code; Song et al. 2019). For piecewise-linear nets it tends to `grad-input` as ε → 0.
    """
    return times_input(setting, with_secants(setting.network))


def with_secants(network: Network, epsilon: float = EPSILON) -> nn.Module:
    """Returns the network's module with secants for derivatives; weights are shared, not copied."""
    # A copy of a GraphModule has its own table of submodules, in which replacing is safe.
    module = copy.copy(network.module)
    for name, node in network.operators.items():
        if node.op_type in NONLINEARITIES:
            module.add_module(name, Secant(network.module.get_submodule(name), epsilon))
    return module


class Secant(nn.Module):
    """An elementwise function whose derivative is taken to be f(z) / (z + ε·sign z).

    Args:
        function: The function, elementwise.
        epsilon: Keeps the quotient finite; above zero.
    """

    def __init__(self, function: nn.Module, epsilon: float) -> None:
        super().__init__()
        self.function, self.epsilon = function, epsilon

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Returns f(z)."""
        result: torch.Tensor = _Secant.apply(z, self.function, self.epsilon)
        return result


class _Secant(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor], epsilon: float
    ) -> torch.Tensor:
        y = function(z)
        ctx.save_for_backward(z, y)
        ctx.epsilon = epsilon
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        z, y = ctx.saved_tensors
        epsilon = torch.full_like(z, ctx.epsilon)
        # -0.0 counts as zero, whose sign is +1: copysign alone would make it negative.
        signed = torch.where(z < 0, -epsilon, epsilon)
        return gradients[0] * y / (z + signed), None, None
