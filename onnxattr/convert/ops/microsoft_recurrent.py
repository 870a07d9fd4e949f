"""ONNX Runtime's LSTM of eight bits, as its dynamic quantiser writes it."""

from collections.abc import Sequence

import torch

from onnxattr.convert.ops import gates
from onnxattr.convert.ops.numbers import Stored
from onnxattr.convert.ops.quantised import from_steps, quantised_dynamically
from onnxattr.convert.ops.recurrent import States, lstm
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError


@operator("com.microsoft.DynamicQuantizeLSTM", stored=(4,))
def _dynamic_quantize_lstm(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: Stored = None,
    h: torch.Tensor | None = None,
    c: torch.Tensor | None = None,
    p: torch.Tensor | None = None,
    w_scale: torch.Tensor | None = None,
    w_zero_point: torch.Tensor | None = None,
    r_scale: torch.Tensor | None = None,
    r_zero_point: torch.Tensor | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
) -> States:
    if w_scale is None or r_scale is None:
        raise SupportError("weights without a scale")
    names = activations or ["Sigmoid", "Tanh", "Tanh"] * len(w)
    functions = gates.activations(names, activation_alpha, activation_beta)
    w, r = _weights(w, w_scale, w_zero_point), _weights(r, r_scale, r_zero_point)
    given = (_rounded(x), w, r, b, lengths, h, c, p)
    return lstm(*given, functions, clip, direction, input_forget, seen=_rounded)


def _weights(steps: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None) -> torch.Tensor:
    """Returns the weights of each direction as LSTM has them, [gate and unit, input]."""
    # A scale for each direction, or for each of its columns.
    scale = scale.reshape(len(steps), 1, -1)
    zero = None if zero is None else zero.reshape(len(steps), 1, -1).to(scale.dtype)
    return from_steps(steps, scale, zero).transpose(1, 2)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """Returns what a product of eight bits sees of `x`, with the gradient of `x`."""
    return from_steps(*quantised_dynamically(x, carry=1))
