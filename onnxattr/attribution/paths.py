"""Gradients along the way from baselines to the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from onnxattr.attribution.baselines import baselines
from onnxattr.attribution.gradients import embedded, forward, gradient
from onnxattr.attribution.setting import Setting
from onnxattr.errors import UsageError
from onnxattr.types import TOKENS

if TYPE_CHECKING:
    from onnxattr.attribution.baselines import Baseline
    from onnxattr.attribution.methods import Explain


def integrated_gradients(setting: Setting, *, steps: int, baseline: str) -> Explain:
    """Prepares (x − x₀) ⊙ ∫₀¹ ∂T/∂x (x₀ + α (x − x₀)) dα, signed, averaged over the channels.

    Sundararajan et al. 2017, eq. 1. The integral is taken by Gauss and Legendre's rule, which is
    exact for polynomials of a degree below 2·`steps`; a gradient that jumps, as behind a Relu, has
    an error of the order of 1/`steps`. Without it the map is complete (their proposition 1):

        Σ (x − x₀) ⊙ ∫ … = T(x) − T(x₀),

    where a map holds the mean over the channels of what is summed.

    Args:
        setting: The network, and what is attributed. Of images x are canonical probes, of token
            ids their embedding.
        steps: Points on the way, each of which is one forward and one backward pass.
        baseline: One or several, whose maps are averaged; see `baselines.baselines`.

    Raises:
        UsageError: There is no such baseline.
        SupportError: It is none of such probes.
    """
    chosen = baselines(setting, baseline)
    feed = setting.feed

    def explain(probes: torch.Tensor) -> torch.Tensor:
        maps = [contributions(setting, probes, each, steps) for each in chosen]
        return feed.to_map(sum(maps[1:], maps[0]) / len(maps))

    return explain


def contributions(
    setting: Setting, probes: torch.Tensor, baseline: Baseline, steps: int
) -> torch.Tensor:
    """Returns (x − x₀) ⊙ ∫ ∂T/∂x of canonical probes, or of the embedding of token ids, float32.

    Args:
        setting: The network, and what is attributed.
        probes: Canonical probes, on the network's device.
        baseline: x₀ of x.
        steps: Points on the way.
    """
    # On [−1, 1], where the weights sum to 2.
    places, weights = np.polynomial.legendre.leggauss(steps)
    x = embedded(setting.network, probes)
    x0 = baseline(x)
    total = torch.zeros_like(x)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        total += float(weight) * _gradient(setting, probes, x0 + float(place) * (x - x0))
    return (x - x0) * total


def expected_gradients(setting: Setting, *, samples: int) -> Explain:
    """Prepares the mean over baselines x₀ of integrated gradients, by sampling.

        E (x − x₀) ⊙ ∂T/∂x (x₀ + α (x − x₀)),  x₀ from the background, α uniform in [0, 1]

    signed, averaged over the channels (Erion et al. 2021, eq. 2). The background are the first
    probes of the set, the same for all models. It is gone through in a seeded order, as often as
    there are samples, and each α is drawn from its own of `samples` equal parts of [0, 1]; draws
    are the same for all probes and models. A probe that is in the background itself has no part of
    its own there. The sum over x tends to T(x) − mean of T over the background.

    Args:
        setting: The network, what is attributed, and the background.
        samples: Pairs of a baseline and a place, each of which is one forward and one backward
            pass.

    Raises:
        UsageError: There is no background.
    """
    if setting.background is None or not len(setting.background):
        raise UsageError("`expected-gradients` compares a probe with others, and none are given")
    network, feed, background = setting.network, setting.feed, setting.background
    generator = setting.generator()
    rounds = -(-samples // len(background))
    order = [torch.randperm(len(background), generator=generator) for _ in range(rounds)]
    chosen = torch.cat(order)[:samples].tolist()
    # Neither may a baseline always have the same part of the way, so the parts are shuffled.
    parts = torch.randperm(samples, generator=generator)
    offsets = torch.rand(samples, generator=generator, dtype=torch.float64)
    places = ((parts + offsets) / samples).tolist()

    def explain(probes: torch.Tensor) -> torch.Tensor:
        x = embedded(network, probes)
        total = torch.zeros_like(x)
        for i, place in zip(chosen, places, strict=True):
            x0 = background[i : i + 1].expand_as(probes)
            x0 = embedded(network, x0) if network.spec.kind == TOKENS else x0
            total += (x - x0) * _gradient(setting, probes, x0 + place * (x - x0))
        return feed.to_map(total / samples)

    return explain


def _gradient(setting: Setting, probes: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Returns ∂T/∂x at another place than that of the probes."""
    network = setting.network
    source, units = forward(network, network.module, probes, point=lambda _: place)
    return gradient(network, units, source, setting.target)
