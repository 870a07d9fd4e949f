"""DeepLIFT: differences to a baseline, carried back through the network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from onnxattr.attribution.baselines import baselines
from onnxattr.attribution.differences.rules import RULES
from onnxattr.attribution.differences.walk import Walk
from onnxattr.attribution.gradients import forward, gradient
from onnxattr.attribution.setting import Setting

if TYPE_CHECKING:
    from onnxattr.attribution.baselines import Baseline
    from onnxattr.attribution.methods import Explain


def deeplift(setting: Setting, *, baseline: str) -> Explain:
    """Prepares (x − x₀) ⊙ m, signed, averaged over the channels; m are DeepLIFT's multipliers.

    The rescale rule (Shrikumar et al. 2017, §3.5.1) puts Δy/Δx for the derivative of each function
    of one number, and the derivative where Δx is rounding. The other steps of a network have
    multipliers of their own (`differences.rules`), so that for every one

        Σ (x − x₀) ⊙ m = T(x) − T(x₀),

    the summation to delta (their eq. 1), holds but for rounding: also where a layer is used twice,
    and for products, normalisations, attention and recurrent layers, which the paper does not
    treat. A step without a rule is refused by the name of its operator.

    Args:
        setting: The network, and what is attributed. Of images x are canonical probes, of token
            ids their embedding.
        baseline: One or several, whose maps are averaged; see `baselines.baselines`.

    Raises:
        UsageError: There is no such baseline.
        SupportError: It is none of such probes. When called: an operator has no rule, or takes
            other steps for the baseline than for the probe.
    """
    chosen = baselines(setting, baseline)
    feed = setting.feed

    def explain(probes: torch.Tensor) -> torch.Tensor:
        maps = [contributions(setting, probes, each) for each in chosen]
        return feed.to_map(sum(maps[1:], maps[0]) / len(maps))

    return explain


def contributions(setting: Setting, probes: torch.Tensor, baseline: Baseline) -> torch.Tensor:
    """Returns (x − x₀) ⊙ m of canonical probes, or of the embedding of token ids, float32.

    Args:
        setting: The network, and what is attributed.
        probes: Canonical probes, on the network's device.
        baseline: x₀ of x.
    """
    network, target = setting.network, setting.target
    # The steps of a module that is compiled are not seen; a copy is not.
    module = copy.copy(network.module)
    found: list[torch.Tensor] = []

    def point(x: torch.Tensor) -> torch.Tensor:
        found.append(baseline(x.detach()))
        return found[-1]

    nothing = torch.empty(0)
    # Nothing goes back from the baseline: what a gradient would want is not kept.
    with (
        torch.autograd.graph.saved_tensors_hooks(lambda _: nothing, lambda _: nothing),
        Walk(RULES) as first,
    ):
        _, units = forward(network, module, probes, point=point)
        target.total(units, network.spec)
    del units
    with Walk(RULES, first.noted):
        source, units = forward(network, module, probes)
        multipliers = gradient(network, units, source, target)
    return (source.detach() - found[0]) * multipliers
