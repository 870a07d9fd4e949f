"""Methods that share their passes: one forward pass, and a backward pass for each gradient.

`saliency` and `grad-input` are one gradient, taken to the canonical probe and on the way to what
the model is fed; `elrp` is another backward pass through the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from onnxattr.attribution.gradients import gradients
from onnxattr.attribution.reductions import Target
from onnxattr.attribution.relevance import Switch, with_secants
from onnxattr.attribution.setting import Setting
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.inner import leaf
from onnxattr.types import TOKENS, Network

#: Names of methods, none of which has options.
SHARING = ("saliency", "grad-input", "elrp")


def shared(
    network: Network, names: Sequence[str], targets: Sequence[Target]
) -> Callable[[torch.Tensor], list[list[torch.Tensor]]]:
    """Returns the function from canonical probes to maps, a list a method of one a target.

    The maps are those of the methods by themselves. Of one target, all three cost one forward and
    two backward passes, and without `elrp` one and one.

    Args:
        network: From `convert.torch.to_network`.
        names: Of `SHARING`.
        targets: What is attributed.
    """
    feed = Setting(network).feed
    switch = Switch()
    relevance, plain = "elrp" in names, [name for name in names if name != "elrp"]
    module = with_secants(network, switch=switch) if relevance else network.module
    backwards = len(targets) * (bool(plain) + relevance)

    def explain(probes: torch.Tensor) -> list[list[torch.Tensor]]:
        x, fed, units = _forward(network, module, probes, canonical="saliency" in names)
        sources = {"saliency": x, "grad-input": fed, "elrp": fed}
        found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        done = 0
        for target in targets:
            if plain:
                done += 1
                with switch.gradient():
                    each = gradients(
                        network, units, [sources[n] for n in plain], target, keep=done < backwards
                    )
                for name, gradient in zip(plain, each, strict=True):
                    found[name].append(_map(name, gradient, fed))
            if relevance:
                done += 1
                (multiplier,) = gradients(network, units, [fed], target, keep=done < backwards)
                found["elrp"].append(_map("elrp", multiplier, fed))
        return [found[name] for name in names]

    def _map(name: str, gradient: torch.Tensor, fed: torch.Tensor) -> torch.Tensor:
        if name == "saliency":
            return feed.to_map(gradient.abs())
        return feed.to_map(feed.to_canonical(fed.detach() * gradient))

    return explain


def _forward(
    network: Network, module: torch.nn.Module, probes: torch.Tensor, *, canonical: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns the probes, what the model is fed, and the units; of token ids their embedding twice.

    Args:
        network: The network.
        module: What stands for its own.
        probes: Canonical probes.
        canonical: Whether a gradient is taken to the probes, too.
    """
    feed = feed_of(network.spec).to(network.device)
    if network.spec.kind == TOKENS:
        with leaf(network, module) as made:
            units = module(feed(probes))
        return made[-1], made[-1], units
    x = probes.detach().requires_grad_(canonical)
    fed = feed(x)
    if not fed.requires_grad:
        fed.requires_grad_()
    return x, fed, module(fed)
