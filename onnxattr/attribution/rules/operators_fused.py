"""Rules of what optimisers and language models have in one operator: those of its parts."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.attribution.rules.operators_products import product_by
from onnxattr.attribution.rules.parts import Elementwise, keeping, secant, share
from onnxattr.attribution.rules.table import ALL, SIGNAL, Function, Site, rule
from onnxattr.convert.ops.microsoft_fused import activated, fused_matmul

Tensor = torch.Tensor


@rule("com.microsoft.BiasGelu", "com.microsoft.FastGelu", signal=(0, 1))
def _biased_gelu(site: Site) -> Function:
    approximate = "tanh" if site.operator.endswith("FastGelu") else "none"
    gelu = secant(functools.partial(F.gelu, approximate=approximate))

    def compute(x: Tensor, bias: Tensor | None = None) -> Tensor:
        return gelu(x if bias is None else x + bias)

    return compute


@rule("com.microsoft.BiasSplitGelu", signal=(0, 1))
def _biased_split_gelu(site: Site) -> Function:
    gelu = secant(F.gelu)

    def compute(x: Tensor, bias: Tensor) -> Tensor:
        left, right = (x + bias).chunk(2, dim=-1)
        return share(left * gelu(right), 2)

    return compute


@rule("com.microsoft.BiasSoftmax", signal=(0, 1))
def _biased_softmax(site: Site) -> Function:
    """By its true gradient, as Softmax."""
    return site.function


@rule("SwiGLU", signal=ALL)
def _swiglu(site: Site) -> Function:
    """A product of two activations, one of which has a secant."""
    alpha = site.call.attributes.get("alpha", 1.0)
    swish = secant(lambda z: F.silu(z) if alpha == 1 else z * torch.sigmoid(alpha * z))
    after = dataclasses.replace(site, ranks=(SIGNAL, *site.ranks[1:]))
    multiply = product_by(after, torch.mul)

    def compute(gate: Tensor, x: Tensor) -> Any:
        return multiply(swish(gate), x)

    return compute


@rule("CausalConvWithState", signal=(0, 2, 3))
def _causal_convolution(site: Site) -> Function:
    """A convolution with weights that are held, whose activation has a secant."""
    attributes = dict(site.call.attributes)
    after = None if attributes.pop("activation", "none") == "none" else secant(F.silu)

    def compute(*arguments: Any) -> Any:
        y, state = site.call.function(*keeping(arguments, (0, 2, 3)), **attributes)
        return y if after is None else after(y), state

    return compute


#: The attributes that say what comes after a product.
_ACTIVATION = ("activation", "activation_alpha", "activation_beta", "activation_gamma")


def _activation(site: Site) -> tuple[dict[str, Any], Elementwise | None]:
    """Returns the attributes of an operator without its activation, and the secant of that."""
    attributes = dict(site.call.attributes)
    name, *numbers = (attributes.pop(key, None) for key in _ACTIVATION)
    numbers = [*attributes.pop("activation_params", ()), *numbers]
    if not name:
        return attributes, None
    return attributes, secant(lambda z: activated(z, name, *numbers[:3]))


@rule(
    "com.microsoft.FusedConv",
    "com.microsoft.NhwcConv",
    "com.microsoft.NhwcFusedConv",
    signal=(0, 2, 3),
)
def _fused_convolution(site: Site) -> Function:
    """A convolution with weights that are held, and what is added to it, and its activation."""
    attributes, after = _activation(site)

    def compute(*arguments: Any) -> Tensor:
        y: Tensor = site.call.function(*keeping(arguments, (0, 2, 3)), **attributes)
        return y if after is None else after(y)

    return compute


@rule("com.microsoft.FusedGemm", "com.microsoft.FusedMatMulActivation", signal=(0, 1, 2))
def _fused_product(site: Site) -> Function:
    """A product of matrices, by its rule, and its activation."""
    attributes, after = _activation(site)
    softmax = site.call.attributes.get("activation") == "Softmax"
    axis = attributes.pop("activation_axis", -1)
    if site.operator.endswith("FusedMatMulActivation"):
        # The operator that has no activation takes all of the other attributes.
        plain = functools.partial(fused_matmul, **attributes)
    else:
        plain = functools.partial(site.call.function, **attributes)
    multiply = product_by(site, plain)

    def compute(*arguments: Any) -> Tensor:
        y: Tensor = multiply(*arguments)
        if softmax:
            return y.softmax(axis)
        return y if after is None else after(y)

    return compute
