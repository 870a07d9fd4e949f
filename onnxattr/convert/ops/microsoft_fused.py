"""Activations and matrix products as ONNX Runtime's optimiser fuses them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

#: Activations that are fused into a product, of which no parameter is given.
_PLAIN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Gelu": F.gelu,
    "HardSwish": F.hardswish,
    "Relu": F.relu,
    "Sigmoid": torch.sigmoid,
    "Silu": F.silu,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Tanh": torch.tanh,
}


@operator("com.microsoft.Gelu")
def _gelu(x: torch.Tensor) -> torch.Tensor:
    return F.gelu(x)


@operator("com.microsoft.BiasGelu")
def _bias_gelu(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.gelu(x + bias)


@operator("com.microsoft.FastGelu")
def _fast_gelu(x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@operator("com.microsoft.QuickGelu")
def _quick_gelu(x: torch.Tensor, *, alpha: float = 1.702) -> torch.Tensor:
    return x * torch.sigmoid(alpha * x)


@operator("com.microsoft.BiasSplitGelu")
def _bias_split_gelu(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    left, right = (x + bias).chunk(2, dim=-1)
    return left * F.gelu(right)


@operator("com.microsoft.BiasAdd")
def _bias_add(x: torch.Tensor, bias: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    return x + bias + skip


@operator("com.microsoft.BiasDropout")
def _bias_dropout(
    x: torch.Tensor,
    bias: torch.Tensor,
    residual: torch.Tensor | None = None,
    ratio: torch.Tensor | None = None,
    training_mode: torch.Tensor | None = None,
    *,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    # As Dropout is elsewhere: nothing is dropped, whatever the training mode says.
    y = x + bias if residual is None else x + bias + residual
    return y, torch.ones_like(y, dtype=torch.bool)


@operator("com.microsoft.BiasSoftmax")
def _bias_softmax(
    x: torch.Tensor, bias: torch.Tensor, *, axis: int = 1, is_inner_broadcast: int = 1
) -> torch.Tensor:
    axis %= x.ndim
    if is_inner_broadcast and bias.ndim == x.ndim - 1:
        # The bias has no axes for what it is repeated along, which lie just before `axis`.
        bias = bias.unsqueeze(axis - 1)
    return (x + bias).flatten(axis).softmax(-1).reshape(x.shape)


@operator("com.microsoft.FusedMatMul")
@operator("com.microsoft.TransposeMatMul")
def fused_matmul(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803 - the attribute's name
    transB: int = 0,  # noqa: N803
    transBatchA: int = 0,  # noqa: N803
    transBatchB: int = 0,  # noqa: N803
) -> torch.Tensor:
    """Returns a product of matrices, each of which may be transposed first."""
    a, b = _turned(a, transA, transBatchA), _turned(b, transB, transBatchB)
    product = torch.matmul(a, b)
    return product if alpha == 1 else product * alpha


@operator("com.microsoft.FusedMatMulActivation")
def _fused_matmul_activation(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    activation: str,
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    activation_axis: int = -1,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
    transBatchA: int = 0,  # noqa: N803
    transBatchB: int = 0,  # noqa: N803
) -> torch.Tensor:
    a, b = _turned(a, transA, transBatchA), _turned(b, transB, transBatchB)
    product = torch.matmul(a, b) * alpha
    if activation == "Softmax":
        return product.softmax(activation_axis)
    return activated(product, activation, activation_alpha, activation_beta, activation_gamma)


@operator("com.microsoft.FusedGemm")
def _fused_gemm(
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> torch.Tensor:
    a, b = a.T if transA else a, b.T if transB else b
    if c is None:
        y = a @ b if alpha == 1 else alpha * (a @ b)
    else:
        y = torch.addmm(c, a, b, beta=beta, alpha=alpha)
    return activated(y, activation, activation_alpha, activation_beta, activation_gamma)


def activated(
    x: torch.Tensor,
    name: str,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
) -> torch.Tensor:
    """Returns an activation that was fused into the operator that made its input.

    Raises:
        SupportError: It is not known, or lacks a parameter.
    """
    if name in ("", "Identity"):
        return x
    if name in _PLAIN:
        return _PLAIN[name](x)
    if alpha is None:
        raise SupportError(f"the fused activation `{name}`")
    if name == "LeakyRelu":
        return F.leaky_relu(x, alpha)
    if name == "Elu":
        return F.elu(x, alpha)
    if name == "ThresholdedRelu":
        return torch.where(x > alpha, x, 0)
    if name == "QuickGelu":
        return x * torch.sigmoid(alpha * x)
    if name == "Selu" and gamma is not None:
        return gamma * F.elu(x, alpha)
    if beta is None:
        raise SupportError(f"the fused activation `{name}`")
    if name == "Clip":
        return x.clamp(alpha, beta)
    if name == "HardSigmoid":
        return (alpha * x + beta).clamp(0, 1)
    if name == "ScaledTanh":
        return alpha * torch.tanh(beta * x)
    if name == "ParametricSoftplus":
        return alpha * F.softplus(beta * x)
    raise SupportError(f"the fused activation `{name}`")


def _turned(x: torch.Tensor, transpose: int, batch: int) -> torch.Tensor:
    """Returns a factor whose last two axes, or whose first and batch axes, are exchanged."""
    if x.ndim < 2:
        return x
    if batch:
        # [rows, batch…, columns], or [columns, batch…, rows] of the transposed one.
        x = x.movedim(0, -2)
    return x.transpose(-1, -2) if transpose else x
