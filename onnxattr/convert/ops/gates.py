"""Activations of recurrent layers, which are attributes there, with numbers of their own."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.errors import SupportError

Activation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Roles:
    """What becomes of the activations of a recurrent layer, by what they are for.

    Attributes:
        gate: Of those whose result multiplies others.
        signal: Of those whose result is multiplied by gates, or is the state.
    """

    gate: Callable[[Activation], Activation]
    signal: Callable[[Activation], Activation]


def _as_it_is(function: Activation) -> Activation:
    return function


#: Activations are what the node says.
AS_THEY_ARE = Roles(_as_it_is, _as_it_is)


def _affine(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return alpha * x + beta


def _leaky_relu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return F.leaky_relu(x, alpha)


def _thresholded_relu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return F.threshold(x, alpha, 0)


def _scaled_tanh(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return alpha * torch.tanh(beta * x)


def _hard_sigmoid(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return (alpha * x + beta).clamp(0, 1)


def _elu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return F.elu(x, alpha)


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return F.softplus(x, threshold=40)


#: Each with the defaults of its numbers: alpha, and beta if it takes one.
_ACTIVATIONS: dict[str, tuple[Callable[..., torch.Tensor], tuple[float, ...]]] = {
    "relu": (F.relu, ()),
    "tanh": (torch.tanh, ()),
    "sigmoid": (torch.sigmoid, ()),
    "affine": (_affine, (1.0, 0.0)),
    "leakyrelu": (_leaky_relu, (0.01,)),
    "thresholdedrelu": (_thresholded_relu, (1.0,)),
    "scaledtanh": (_scaled_tanh, (1.0, 1.0)),
    "hardsigmoid": (_hard_sigmoid, (0.2, 0.5)),
    "elu": (_elu, (1.0,)),
    "softsign": (F.softsign, ()),
    "softplus": (_softplus, ()),
}


def activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Activation]:
    """Returns activations by name, whatever its case.

    Args:
        names: In the order of the layer's directions, and of the gates in each.
        alphas: Taken in turn by those activations that need one, which have defaults.
        betas: Likewise.
    """
    first, second = iter(alphas), iter(betas)
    return [_activation(name, first, second) for name in names]


def bounded(function: Activation, most: float | None) -> Activation:
    """Returns `function` of its argument clipped on both sides of zero, if there is a bound."""
    return function if most is None else functools.partial(_clipped, function, most)


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    try:
        function, defaults = _ACTIVATIONS[name.lower()]
    except KeyError:
        raise SupportError(f"the activation `{name}`") from None
    if not defaults:
        return function
    values = zip(("alpha", "beta"), defaults, (alphas, betas), strict=False)
    return functools.partial(function, **{key: next(v, default) for key, default, v in values})


def _clipped(function: Activation, most: float, x: torch.Tensor) -> torch.Tensor:
    return function(x.clamp(-most, most))
