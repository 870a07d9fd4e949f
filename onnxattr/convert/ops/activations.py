"""Activations: functions of one number each."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import UNSIGNED, number, ordered
from onnxattr.convert.ops.table import operator

_larger = ordered(torch.maximum)
_smaller = ordered(torch.minimum)

#: The bounds of Clip before opset 11 where a node names none.
_MOST = torch.finfo(torch.float32).max


@operator("Relu", 1, 6, 13, 14)
def _relu(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return F.relu(x)


@operator("LeakyRelu", 1, 6, 16)
def _leaky_relu(
    x: torch.Tensor, *, alpha: float = 0.01, consumed_inputs: object = None
) -> torch.Tensor:
    return F.leaky_relu(x, alpha)


@operator("PRelu", 7, 9, 16)
def _prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return _sloped(x, slope)


@operator("PRelu", 1, 6)
def _prelu_of_channels(
    x: torch.Tensor, slope: torch.Tensor, *, consumed_inputs: object = None
) -> torch.Tensor:
    if slope.ndim == 1 and x.ndim > 1 and slope.numel() == x.shape[1]:
        return F.prelu(x, slope)
    return _sloped(x, slope)


def _sloped(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    if x.is_floating_point():
        if slope.numel() == 1:
            return F.prelu(x, slope.reshape(1))
        shape = [1] * (x.ndim - slope.ndim) + list(slope.shape)
        # One slope a channel, in shape [channels, 1, 1]: torch has a kernel for it.
        if x.ndim > 1 and shape[1] == x.shape[1] and slope.numel() == shape[1]:
            return F.prelu(x, slope.reshape(-1))
    elif x.dtype in UNSIGNED:
        return x
    return torch.where(x < 0, slope * x, x)


@operator("Elu", 1, 6, 22)
def _elu(x: torch.Tensor, *, alpha: float = 1.0, consumed_inputs: object = None) -> torch.Tensor:
    return F.elu(x, alpha)


@operator("Selu", 6, 22)
def _selu(
    x: torch.Tensor,
    *,
    alpha: float = 1.6732631921768188,
    gamma: float = 1.0507010221481323,
) -> torch.Tensor:
    # torch's own knows no other numbers than the usual ones.
    return gamma * F.elu(x, alpha)


@operator("Selu", 1)
def _selu_of_four_digits(
    x: torch.Tensor,
    *,
    alpha: float = 1.673200011253357,
    gamma: float = 1.0506999492645264,
    consumed_inputs: object = None,
) -> torch.Tensor:
    return gamma * F.elu(x, alpha)


@operator("Celu", 12, 28)
def _celu(x: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    return F.celu(x, alpha)


@operator("Gelu", 20)
def _gelu(x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    return F.gelu(x, approximate=approximate)


@operator("HardSigmoid", 1, 6, 22)
def _hard_sigmoid(
    x: torch.Tensor, *, alpha: float = 0.2, beta: float = 0.5, consumed_inputs: object = None
) -> torch.Tensor:
    return (alpha * x + beta).clamp(0, 1)


@operator("HardSwish", 14, 22)
def _hard_swish(x: torch.Tensor) -> torch.Tensor:
    return F.hardswish(x)


@operator("Softplus", 1, 22)
def _softplus(x: torch.Tensor) -> torch.Tensor:
    # Beyond the threshold it is the identity: at torch's own, 20, float64 would see a step.
    return F.softplus(x, threshold=40)


@operator("Softsign", 1, 22)
def _softsign(x: torch.Tensor) -> torch.Tensor:
    return F.softsign(x)


@operator("ThresholdedRelu", 10, 22)
def _thresholded_relu(x: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    return F.threshold(x, alpha, 0)


@operator("Shrink", 9)
def _shrink(x: torch.Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> torch.Tensor:
    wide = x if x.is_floating_point() else x.double()
    outside = torch.where(wide > lambd, wide - bias, 0)
    return torch.where(wide < -lambd, wide + bias, outside).to(x.dtype)


@operator("Mish", 18, 22)
def _mish(x: torch.Tensor) -> torch.Tensor:
    return F.mish(x)


@operator("Swish", 24)
def _swish(x: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@operator("Sigmoid", 1, 6, 13)
def _sigmoid(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return torch.sigmoid(x)


@operator("Clip", 11, 12, 13, stored=(1, 2))
def _clip(x: torch.Tensor, least: Any = None, most: Any = None) -> torch.Tensor:
    """Returns `x` within bounds, each of which may be absent; the upper one wins."""
    if x.dtype in UNSIGNED:
        low, high = _bound(least, x), _bound(most, x)
        x = x if low is None else _larger(x, low)
        return x if high is None else _smaller(x, high)
    if isinstance(least, torch.Tensor) or isinstance(most, torch.Tensor):
        return torch.clamp(x, _bound(least, x), _bound(most, x))
    return _between(x, number(least), number(most))


def _between(x: torch.Tensor, least: float | None, most: float | None) -> torch.Tensor:
    if least is None and most is None:
        return x
    if x.is_floating_point() and least is not None and most is not None and least < most:
        # The same as clamp, and its gradient is one kernel instead of four.
        return F.hardtanh(x, least, most)
    return torch.clamp(x, least, most)


def _bound(value: Any, x: torch.Tensor) -> torch.Tensor | None:
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        return value.reshape(()).to(x.device)
    return torch.tensor(number(value), dtype=x.dtype, device=x.device)


@operator("Clip", 1, 6)
def _clip_to_attributes(
    x: torch.Tensor, *, min: float = -_MOST, max: float = _MOST, consumed_inputs: object = None
) -> torch.Tensor:
    # What float16 cannot say bounds nothing.
    reach = torch.finfo(x.dtype).max
    least = None if min < -reach else min
    most = None if max > reach else max
    return _between(x, least, most)
