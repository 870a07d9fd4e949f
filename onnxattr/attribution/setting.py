"""What a method is prepared for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from onnxattr.attribution.reductions import SUM, Target
from onnxattr.convert.array_feed import ArrayFeed, feed_of
from onnxattr.convert.feed import Feed
from onnxattr.types import Network


@dataclass(frozen=True, eq=False)
class Setting:
    """A network, the number that is attributed, and what is drawn.

    Attributes:
        network: From `convert.torch.to_network`.
        target: T, of the units of the representation.
        seed: Of all that a method draws. Draws are the same for every probe and every model, so
            that maps do not depend on the batch, and models are compared on the same draws.
        background: Canonical probes, on the network's device, that some methods compare a probe
            with; None where nobody gives any.
    """

    network: Network
    target: Target = SUM
    seed: int = 0
    background: torch.Tensor | None = None

    @property
    def feed(self) -> Feed | ArrayFeed:
        """The differentiable step from canonical probes to what the model is fed."""
        return feed_of(self.network.spec).to(self.network.device)

    def generator(self) -> torch.Generator:
        """Returns a seeded generator on the CPU: GPUs of one kind do not draw as others do."""
        return torch.Generator().manual_seed(self.seed)
