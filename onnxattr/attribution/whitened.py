"""Gradient times input of the units once they are whitened: what a change of their basis leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from onnxattr.attribution.gradients import forward
from onnxattr.attribution.reductions import channel_axis
from onnxattr.attribution.setting import Setting
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.parity import wrap
from onnxattr.errors import SupportError, UsageError
from onnxattr.graph.channels import channels_of
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

#: Probes at a time that the spread of the units is measured on.
_STEP = 8

#: What is divided by where nothing varies.
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Whitening:
    """The linear map v = (C + λ)⁻¹ (u − μ), float64 on the CPU.

    Attributes:
        mean: μ, [channel].
        rows: Of fewer samples than channels, the centred samples [sample, channel]; else None.
        inverse: (C + λ)⁻¹, [channel, channel]; with `rows`, (n λ + R Rᵀ)⁻¹, [sample, sample].
        ridge: λ.
    """

    mean: torch.Tensor
    rows: torch.Tensor | None
    inverse: torch.Tensor
    ridge: float

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
        rows: Units of some probes and places, float64 [sample, channel].
        ridge: λ as a part of the mean variance along the directions that samples can have.
    """
    count, channels = rows.shape
    mean = rows.mean(dim=0)
    centred = rows - mean
    power = float(centred.square().sum()) / count / min(channels, max(count - 1, 1))
    amount = max(ridge * power, _TINY)
    if channels <= count:
        covariance = centred.T @ centred / count
        inverse = torch.linalg.inv(covariance + amount * torch.eye(channels, dtype=rows.dtype))
        return Whitening(mean, None, inverse, amount)
    products = centred @ centred.T + count * amount * torch.eye(count, dtype=rows.dtype)
    return Whitening(mean, centred, torch.linalg.inv(products), amount)


def whitened(setting: Setting, *, ridge: float) -> Explain:
    """Prepares z ⊙ ∂T/∂z with T = ½ (u − μ)ᵀ (C + λ)⁻¹ (u − μ), averaged over the colours.

    u are the units at one place, μ their mean and C their covariance over places and the first
    probes of the set; T is summed over the places, and z is what the model is fed. T is the squared
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
        fed, units = forward(network, network.module, probes, fed=True)
        if not units.is_floating_point() or not units.requires_grad:
            raise SupportError(
                f"its tensor `{network.representation.value}` has no gradient to the input",
                hint="choose another tensor with --at",
                model=network.model.name,
            )
        direction = _restored(network, made[0](_rows(network, units)), units)
        (slope,) = torch.autograd.grad(units, fed, direction)
        return feed.to_map(feed.to_canonical(fed.detach() * slope))

    return explain


def _spread(network: Network, background: torch.Tensor) -> torch.Tensor:
    """Returns the units of the background at all places, float64 [sample, channel]."""
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
    """Returns units as float64 on the CPU, [probe · place, channel]."""
    units = _batched(network, units.detach().double().cpu())
    return units.movedim(_axis(network, units), -1).reshape(-1, units.shape[_axis(network, units)])


def _restored(network: Network, rows: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Returns rows in the shape, the type and the place of the units that they belong to."""
    shaped = _batched(network, units)
    axis = _axis(network, shaped)
    moved = shaped.movedim(axis, -1)
    return rows.reshape(moved.shape).movedim(-1, axis).reshape(units.shape).to(units)
