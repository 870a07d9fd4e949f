"""Gradient times input of the units once they are whitened: what a change of their basis leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from onnxattr.attribution.gradients import forward, require_gradient
from onnxattr.attribution.reductions import channel_axis
from onnxattr.attribution.setting import Setting
from onnxattr.convert.array_feed import feed_of, wrap
from onnxattr.errors import UsageError
from onnxattr.graph.channels import channels_of
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

#: Probes at a time that the spread of the units is measured on.
_STEP = 8


@dataclass(frozen=True, eq=False)
class Whitening:
    """The linear map v = (C + λ)⁻¹ (u − μ), on the device of the samples.

    Attributes:
        mean: μ, [channel].
        rows: Of fewer samples than channels, the centred samples [sample, channel]; else None.
        inverse: (C + λ)⁻¹, [channel, channel]; with `rows`, (n λ + R Rᵀ)⁻¹, [sample, sample].
        ridge: λ, a number without axes.
    """

    mean: torch.Tensor
    rows: torch.Tensor | None
    inverse: torch.Tensor
    ridge: torch.Tensor

    def __call__(self, units: torch.Tensor) -> torch.Tensor:
        """Returns v of each row of units, [row, channel]."""
        centred = units - self.mean
        if self.rows is None:
            return centred @ self.inverse
        # Woodbury: (λ + RᵀR/n)⁻¹ = (1 − Rᵀ (n λ + R Rᵀ)⁻¹ R) / λ, without a matrix of channels².
        return (centred - centred @ self.rows.T @ self.inverse @ self.rows) / self.ridge


def whitening(rows: torch.Tensor, ridge: float) -> Whitening:
    """Returns what whitens units that are spread like these.

    Args:
        rows: Units of some probes and places, [sample, channel].
        ridge: λ as a part of the mean variance along the directions that samples can have.
    """
    count, channels = rows.shape
    mean = rows.mean(dim=0)
    centred = rows - mean
    power = centred.square().sum() / (count * min(channels, max(count - 1, 1)))
    amount = (ridge * power).clamp_min(torch.finfo(rows.dtype).tiny)
    one = torch.eye(min(channels, count), dtype=rows.dtype, device=rows.device)
    if channels <= count:
        inverse = torch.linalg.inv(centred.T @ centred / count + amount * one)
        return Whitening(mean, None, inverse, amount)
    products = centred @ centred.T + count * amount * one
    return Whitening(mean, centred, torch.linalg.inv(products), amount)


def whitened(setting: Setting, *, ridge: float) -> Explain:
    """Prepares x ⊙ ∂T/∂x with T = ½ (u − μ)ᵀ (C + λ)⁻¹ (u − μ), averaged over the colours.

    u are the units at one place, μ their mean and C their covariance over places and the first
    probes of the set; T is summed over the places, and x is the canonical probe: a model that wants
    its input in another range keeps its maps. T is the squared
    length of the whitened units: where λ is small it stays the same under every invertible linear
    map of the channels, and under every rotation whatever λ is. A model whose representation was
    turned keeps its maps, as it does not where the sum of its units is attributed. T is fixed: a
    reduction makes no difference.

    Args:
        setting: The network, and the probes that C is taken over.
        ridge: λ, as a part of the mean variance of a channel.

    Raises:
        UsageError: There are no probes to take C over.
        SupportError: The representation has no gradient.
    """
    network, feed, background = setting.network, setting.feed, setting.background
    if background is None or len(background) < 2:
        raise UsageError("`whitened` measures the spread of units over probes, and takes two")
    made: list[Whitening] = []

    def explain(probes: torch.Tensor) -> torch.Tensor:
        if not made:  # Within the arithmetic that the engine sets, and once.
            made.append(whitening(_spread(network, background), ridge))
        source, units = forward(network, network.module, probes)
        require_gradient(network, units)
        direction = _restored(network, made[0](_rows(network, units)), units)
        (slope,) = torch.autograd.grad(units, source, direction)
        return feed.to_map(source.detach() * slope)

    return explain


def _spread(network: Network, background: torch.Tensor) -> torch.Tensor:
    """Returns the units of the background at all places, [sample, channel]; see `_rows`."""
    feed = feed_of(network.spec).to(network.device)
    step = network.spec.batch or (_STEP if "N" in network.spec.layout else 1)
    rows = []
    with torch.no_grad():
        for start in range(0, len(background), step):
            some = background[start : start + step]
            units = network.module(feed(wrap(some, step) if network.spec.batch else some))
            found = _rows(network, units)
            rows.append(found[: len(found) * len(some) // step] if network.spec.batch else found)
    return torch.cat(rows)


def _axis(network: Network, units: torch.Tensor) -> int:
    """Returns the axis of the channels, the batch included."""
    if units.dim() == 4:
        graph, value = network.model.proto.graph, network.representation.value
        if (known := channels_of(graph, value)) is not None:
            return known
    return channel_axis(network.spec, units.dim()) if units.dim() in (3, 4) else 1


def _batched(network: Network, units: torch.Tensor) -> torch.Tensor:
    units = units if "N" in network.spec.layout else units.unsqueeze(0)
    return units if 1 < units.dim() < 5 else units.reshape(len(units), -1)


def _rows(network: Network, units: torch.Tensor) -> torch.Tensor:
    """Returns units as float64, [probe · place, channel]; float32 on a device without float64."""
    wide = torch.float32 if units.device.type == "mps" else torch.float64
    units = _batched(network, units.detach().to(wide))
    return units.movedim(_axis(network, units), -1).reshape(-1, units.shape[_axis(network, units)])


def _restored(network: Network, rows: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Returns rows in the shape, the type and the place of the units that they belong to."""
    shaped = _batched(network, units)
    axis = _axis(network, shaped)
    moved = shaped.movedim(axis, -1)
    return rows.reshape(moved.shape).movedim(-1, axis).reshape(units.shape).to(units)
