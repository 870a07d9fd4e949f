"""Guided backpropagation."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnxattr.attribution.gradients import forward, gradient
from onnxattr.attribution.setting import Setting
from onnxattr.convert.ops.calls import Call
from onnxattr.convert.torch import module_name
from onnxattr.graph.spatial import operator_of
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain


def guided_backprop(setting: Setting) -> Explain:
    """Prepares ∂T/∂x with what comes back to each rectifier cut to what is positive.

    Springenberg et al. 2015, fig. 1: R = 1(z > 0) · max(0, R of what is behind), signed, averaged
    over the channels. Rectifiers are Relu, Clip from 0 (ReLU6), and operators that end in a Relu;
    LeakyRelu, Gelu and others keep their derivative, so that for a network without rectifiers this
    is the gradient.

    It fails the sanity checks of Adebayo et al. 2018: its maps hardly change when the weights of
    the last layers are replaced by random ones, so they tell little of what a network has learnt.
    It is here for comparison.
    """
    network, feed = setting.network, setting.feed
    module = _guided(network)

    def explain(probes: torch.Tensor) -> torch.Tensor:
        source, units = forward(network, module, probes)
        return feed.to_map(gradient(network, units, source, setting.target))

    return explain


def _guided(network: Network) -> nn.Module:
    """Returns the network's module with guided rectifiers; weights are shared, not copied."""
    module = copy.copy(network.module)
    for node in network.dialect.proto.graph.node:
        name = module_name(node)
        call = network.module.get_submodule(name) if name in network.operators else None
        if isinstance(call, Call) and _is_rectifier(operator_of(node), call):
            module.add_module(name, _Guided(call))
    return module


def _is_rectifier(operator: str, call: Call) -> bool:
    if operator == "Clip":
        least = call.arguments[1] if len(call.arguments) > 1 else call.attributes.get("min")
        return isinstance(least, int | float) and least == 0
    return operator == "Relu" or call.attributes.get("activation") == "Relu"


class _Guided(nn.Module):
    def __init__(self, rectifier: nn.Module) -> None:
        super().__init__()
        self.rectifier = rectifier

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _Positive.apply(self.rectifier(*values))
        return result


class _Positive(torch.autograd.Function):
    """The identity, back through which goes what is positive."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor) -> torch.Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0].clamp(min=0)
