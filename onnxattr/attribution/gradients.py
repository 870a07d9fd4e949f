"""Methods that are one gradient: saliency and gradient times input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from onnxattr.convert.feed import Feed
from onnxattr.errors import SupportError
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain


def saliency(network: Network) -> Explain:
    """Prepares |∂T/∂x|, averaged over the channels; x is the canonical probe.

    The absolute value is taken after the sum over units (Simonyan et al. 2014; Song et al. 2019,
    official code).
    """

    def explain(probes: torch.Tensor) -> torch.Tensor:
        return canonical_gradient(network, probes).abs().mean(dim=1)

    return explain


def grad_input(network: Network) -> Explain:
    """Prepares z ⊙ ∂T/∂z, signed, averaged over the channels; z is what the model is fed.

    As in the paper, which multiplies by the input that its encoders see, in [-1, 1]
    (Shrikumar et al. 2016; Song et al. 2019, official code).
    """
    return times_input(network, network.module)


def times_input(network: Network, module: nn.Module) -> Explain:
    """Returns the function z ⊙ ∂T/∂z for `module`, which stands for the network's own."""
    feed = _feed(network)

    def explain(probes: torch.Tensor) -> torch.Tensor:
        fed = feed(probes.detach()).requires_grad_()
        product = fed.detach() * gradient(network, module, fed, fed)
        return feed.to_canonical(product).mean(dim=1)

    return explain


def gradient(
    network: Network, module: nn.Module, fed: torch.Tensor, source: torch.Tensor
) -> torch.Tensor:
    """Returns ∂T/∂source, where `fed` depends on `source` and T = Σ module(fed).

    Raises:
        SupportError: Nothing differentiable connects the two.
    """
    units = module(fed)
    if not units.is_floating_point() or not units.requires_grad:
        raise SupportError(
            f"its tensor `{network.representation.value}` has no gradient to the input",
            hint="choose another tensor with --at",
            model=network.model.name,
        )
    (result,) = torch.autograd.grad(units.sum(), source)
    return result


def canonical_gradient(network: Network, probes: torch.Tensor) -> torch.Tensor:
    """Returns ∂T/∂x at canonical probes, float32 [probe, 3, y, x].

    Raises:
        SupportError: Nothing differentiable connects the two.
    """
    probes = probes.detach().requires_grad_()
    return gradient(network, network.module, _feed(network)(probes), probes)


def dependence(network: Network, probes: torch.Tensor) -> float:
    """Returns how much T depends on the probes, against a sum of the same units with random signs.

    ‖∂ΣU/∂x‖ / ‖∂Σ±U/∂x‖, seeded: about 1 or more as a rule; where the units cancel only rounding
    is left. A softmax sums to 1, and an untrained LayerNormalization to 0, whatever
    the probe. NaN where neither sum depends on the probes.

    Args:
        network: From `convert.torch.to_network`.
        probes: Canonical probes, float32 [probe, 3, y, x], on the network's device.
    """
    feed = _feed(network)
    probes = probes.detach().requires_grad_()
    units = network.module(feed(probes))
    if not units.requires_grad:
        return float("nan")
    coins = torch.randint(0, 2, units.shape, generator=torch.Generator().manual_seed(0))
    signs = (coins * 2 - 1).to(units)
    (plain,) = torch.autograd.grad(units.sum(), probes, retain_graph=True)
    (signed,) = torch.autograd.grad((units * signs).sum(), probes)
    return float(plain.double().norm() / signed.double().norm())


def _feed(network: Network) -> Feed:
    return Feed(network.spec).to(network.device)
