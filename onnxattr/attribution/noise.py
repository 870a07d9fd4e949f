"""Gradients at probes with noise: their mean, and how they vary."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from onnxattr.attribution.gradients import embedded, forward, gradient
from onnxattr.attribution.setting import Setting
from onnxattr.types import IMAGE

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain


def smoothgrad(setting: Setting, *, samples: int, noise: float, of: str) -> Explain:
    """Prepares the mean of gradients at probes with noise; averaged over the channels.

        |1/n Σ ∂T/∂x (x + e_i)|,  e_i ~ N(0, (noise · range)²),  or  z ⊙ 1/n Σ ∂T/∂z

    Smilkov et al. 2017, §2. As of `saliency`, the absolute value is taken at the end, where they
    leave that to the picture; `grad-input` multiplies the mean by what the model is fed for the
    probe without noise. The range of images is 1; of arrays, and of the embedding of token ids, it
    is the difference of a probe's largest and smallest number. The noise is the same for all
    probes, and for all models of one input size; noisy images are not cut to [0, 1].

    Args:
        setting: The network, what is attributed, and the seed.
        samples: Noisy probes, each of which is one forward and one backward pass.
        noise: Standard deviation, as a part of the range.
        of: `saliency` or `grad-input`.
    """
    network, feed = setting.network, setting.feed

    def saliency(probes: torch.Tensor) -> torch.Tensor:
        return feed.to_map(_mean(_noisy(setting, probes, samples, noise)).abs())

    def grad_input(probes: torch.Tensor) -> torch.Tensor:
        fed, _ = forward(network, network.module, probes, fed=True)
        product = fed.detach() * _mean(_noisy(setting, probes, samples, noise, fed=True))
        return feed.to_map(feed.to_canonical(product))

    return grad_input if of == "grad-input" else saliency


def vargrad(setting: Setting, *, samples: int, noise: float) -> Explain:
    """Prepares the variance of gradients at probes with noise; averaged over the channels.

        1/n Σ (∂T/∂x (x + e_i) − mean)²

    Adebayo et al. 2018 (appendix), with the noise of `smoothgrad`.

    Args:
        setting: The network, what is attributed, and the seed.
        samples: Noisy probes, each of which is one forward and one backward pass.
        noise: Standard deviation, as a part of the range.
    """
    feed = setting.feed

    def explain(probes: torch.Tensor) -> torch.Tensor:
        slopes = _noisy(setting, probes, samples, noise)
        mean = next(slopes)
        squares = torch.zeros_like(mean)
        for i, slope in enumerate(slopes, start=2):
            # Welford's way, since the difference of two means would be of rounding alone.
            change = slope - mean
            mean = mean + change / i
            squares += change * (slope - mean)
        return feed.to_map(squares / samples)

    return explain


def _mean(slopes: Iterator[torch.Tensor]) -> torch.Tensor:
    total = next(slopes)
    count = 1
    for slope in slopes:
        total = total + slope
        count += 1
    return total / count


def _noisy(
    setting: Setting, probes: torch.Tensor, samples: int, noise: float, *, fed: bool = False
) -> Iterator[torch.Tensor]:
    """Yields gradients at noisy probes; the noise is the same for each of them."""
    network, generator = setting.network, setting.generator()
    x = embedded(network, probes)
    size = noise * _range(setting, x)
    for _ in range(samples):
        draw = torch.randn(x.shape[1:], generator=generator).to(x)
        place = x + size * draw
        point = functools.partial(_there, place)
        source, units = forward(network, network.module, probes, fed=fed, point=point)
        yield gradient(network, units, source, setting.target)


def _there(place: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return place


def _range(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    if setting.network.spec.kind == IMAGE:
        return x.new_ones(())
    axes = tuple(range(1, x.dim()))
    return x.amax(axes, keepdim=True) - x.amin(axes, keepdim=True)
