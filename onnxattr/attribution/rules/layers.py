"""Rules of layers: products of one moving input with stored weights."""

from __future__ import annotations

from typing import Any

import torch

from onnxattr.attribution.rules.composites import LayerRule
from onnxattr.attribution.rules.table import Function, Site
from onnxattr.errors import SupportError


def layer(site: Site, rule: LayerRule) -> Function | None:
    """Returns the function of a layer whose gradient is the multiplier by `rule`.

    None where the layer's own gradient is.

    Raises:
        SupportError: The rule cannot be applied to the layer.
    """
    if rule.name != "epsilon":
        raise SupportError(f"the rule `{rule.name}`")
    epsilon = rule.options["epsilon"]
    if not epsilon:
        return None

    def function(*arguments: Any) -> Any:
        y: torch.Tensor = _Epsilon.apply(site.function(*arguments), epsilon)
        return y

    return function


class _Epsilon(torch.autograd.Function):
    """z, whose gradient is multiplied by z / (z + ε·sign z) = 1 − ε / (|z| + ε)."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, epsilon: float) -> torch.Tensor:
        ctx.save_for_backward(z)
        ctx.epsilon = epsilon
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (z,), (c,), epsilon = ctx.saved_tensors, gradients, ctx.epsilon
        return torch.addcdiv(c, c, z.abs().add_(epsilon), value=-epsilon), None
