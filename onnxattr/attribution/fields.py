"""Gradient fields along the way from one probe to another, which `modelgif` compares."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from onnxattr.attribution.gradients import embedded, forward, gradient
from onnxattr.attribution.setting import Setting
from onnxattr.attribution.units import STEPS
from onnxattr.types import IMAGE

#: Sides of a field in pixels, at most: the size of the authors' images.
SIDE = 128


def gradient_field(
    setting: Setting, probes: torch.Tensor, references: torch.Tensor, steps: int = STEPS
) -> torch.Tensor:
    """Returns F(t) = (x − x′) ⊙ ∫₀ᵗ ∂T/∂x (x′ + α (x − x′)) dα at each step t.

    Song et al. 2023 (*ModelGiF: Gradient Fields for Model Functional Distance*), as in the authors'
    code for Taskonomy: x′ is another probe, the integral is taken by Gauss and Legendre's rule and
    kept after each of its points, signed, and averaged over the channels. Its last step is the map
    of integrated gradients from x′, which is complete: the mean over the channels of what sums to
    T(x) − T(x′). T is that of the maps, where the authors sum the largest unit of each channel.

    Args:
        setting: The network, and what is attributed.
        probes: Canonical probes x, on the network's device.
        references: As many, x′.
        steps: Points on the way, each of which is one forward and one backward pass.

    Returns:
        [probe, step, y, x] of images, whose places are averaged by area onto 128×128 at most; of
        others [probe, step, number].
    """
    network, feed = setting.network, setting.feed
    # On [−1, 1], where the weights sum to 2.
    places, weights = np.polynomial.legendre.leggauss(steps)
    x, x0 = embedded(network, probes), embedded(network, references)
    total, found = torch.zeros_like(x), []
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        point = functools.partial(_there, x0 + float(place) * (x - x0))
        source, units = forward(network, network.module, probes, point=point)
        total = total + float(weight) * gradient(network, units, source, setting.target)
        found.append(feed.to_map((x - x0) * total))
    field = torch.stack(found, dim=1)
    if network.spec.kind != IMAGE:
        return field.flatten(2)
    height, width = (min(side, SIDE) for side in field.shape[2:])
    return adaptive_avg_pool2d(field, (height, width))


def _there(place: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return place
