"""Methods that are one gradient: saliency and gradient times input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from onnxattr.attribution.reductions import SUM, Target
from onnxattr.attribution.setting import Setting
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.inner import leaf
from onnxattr.errors import SupportError
from onnxattr.types import TOKENS, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxattr.attribution.methods import Explain

    #: From where a probe is to another place.
    Point = Callable[[torch.Tensor], torch.Tensor]


def saliency(setting: Setting) -> Explain:
    """Prepares |∂T/∂x|, averaged over the channels; x is the canonical probe.

    The absolute value is taken after the sum over units (Simonyan et al. 2014; Song et al. 2019,
    official code).
    """
    feed, network = setting.feed, setting.network

    def explain(probes: torch.Tensor) -> torch.Tensor:
        return feed.to_map(canonical_gradient(network, probes, setting.target).abs())

    return explain


def grad_input(setting: Setting) -> Explain:
    """Prepares z ⊙ ∂T/∂z, signed, averaged over the channels; z is what the model is fed.

    As in the paper, which multiplies by the input that its encoders see, in [-1, 1]
    (Shrikumar et al. 2016; Song et al. 2019, official code).
    """
    return times_input(setting, setting.network.module)


def times_input(setting: Setting, module: nn.Module) -> Explain:
    """Returns the function z ⊙ ∂T/∂z for `module`, which stands for the network's own."""
    feed, network = setting.feed, setting.network

    def explain(probes: torch.Tensor) -> torch.Tensor:
        fed, units = forward(network, module, probes, fed=True)
        product = fed.detach() * gradient(network, units, fed, setting.target)
        return feed.to_map(feed.to_canonical(product))

    return explain


def forward(
    network: Network,
    module: nn.Module,
    probes: torch.Tensor,
    *,
    fed: bool = False,
    point: Point | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns what a gradient is taken to, and the units that depend on it.

    Args:
        network: From `convert.torch.to_network`.
        module: The network's own, or one that stands for it.
        probes: Canonical probes, on the network's device.
        fed: Take it to what the model is fed, not to the canonical probes. Of token ids it is their
            embedding in any case.
        point: Where it is taken, of the canonical probes, or of the embedding; by default there.
    """
    feed = feed_of(network.spec).to(network.device)
    if network.spec.kind == TOKENS:
        with leaf(network, module, point) as made:
            units = module(feed(probes))
        return made[-1], units
    probes = probes if point is None else point(probes)
    if fed:
        source = feed(probes.detach()).requires_grad_()
        return source, module(source)
    source = probes.detach().requires_grad_()
    return source, module(feed(source))


def embedded(network: Network, probes: torch.Tensor) -> torch.Tensor:
    """Returns what gradients are taken to: canonical probes, or the embedding of token ids.

    Args:
        network: From `convert.torch.to_network`.
        probes: Canonical probes, on the network's device.
    """
    if network.spec.kind != TOKENS:
        return probes.detach()
    with torch.no_grad():
        return forward(network, network.module, probes)[0].detach()


def gradient(
    network: Network, units: torch.Tensor, source: torch.Tensor, target: Target = SUM
) -> torch.Tensor:
    """Returns ∂T/∂source of each probe.

    Raises:
        SupportError: Nothing differentiable connects the two, or there is no such target.
    """
    (found,) = gradients(network, units, [source], target)
    return found


def gradients(
    network: Network,
    units: torch.Tensor,
    sources: Sequence[torch.Tensor],
    target: Target = SUM,
    *,
    keep: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Returns ∂T/∂source of each probe for several sources, by one backward pass.

    Args:
        network: From `convert.torch.to_network`.
        units: The units of its representation.
        sources: What they depend on.
        target: T.
        keep: Whether another backward pass follows.

    Raises:
        SupportError: Nothing differentiable connects them, or there is no such target.
    """
    require_gradient(network, units)
    total = target.total(units, network.spec)
    return torch.autograd.grad(total, list(sources), retain_graph=keep)


def require_gradient(network: Network, units: torch.Tensor) -> None:
    """Makes sure that something differentiable leads to the units.

    Raises:
        SupportError: Nothing does.
    """
    if not units.is_floating_point() or not units.requires_grad:
        raise SupportError(
            f"its tensor `{network.representation.value}` has no gradient to the input",
            hint="choose another tensor with --at",
            model=network.model.name,
        )


def canonical_gradient(
    network: Network, probes: torch.Tensor, target: Target = SUM
) -> torch.Tensor:
    """Returns ∂T/∂x at canonical probes, float32: of images [probe, 3, y, x], of arrays [probe, …].

    Of token ids it is that of their embedding, [probe, length, …].

    Raises:
        SupportError: Nothing differentiable connects the two.
    """
    source, units = forward(network, network.module, probes)
    return gradient(network, units, source, target)


def dependence(network: Network, probes: torch.Tensor, target: Target = SUM) -> float:
    """Returns how much T depends on the probes, against a sum of the same units with random signs.

    ‖∂T/∂x‖ / ‖∂Σ±U/∂x‖, seeded: about 1 or more as a rule; where the units cancel only rounding
    is left. A softmax sums to 1, and an untrained LayerNormalization to 0, whatever
    the probe. NaN where neither sum depends on the probes.

    Args:
        network: From `convert.torch.to_network`.
        probes: Canonical probes, on the network's device.
        target: T.
    """
    source, units = forward(network, network.module, probes)
    if not units.requires_grad:
        return float("nan")
    coins = torch.randint(0, 2, units.shape, generator=torch.Generator().manual_seed(0))
    signs = (coins * 2 - 1).to(units)
    (plain,) = torch.autograd.grad(target.total(units, network.spec), source, retain_graph=True)
    (signed,) = torch.autograd.grad((units * signs).sum(), source)
    return float(plain.double().norm() / signed.double().norm())
