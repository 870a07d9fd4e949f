"""Feeds arrays and token ids, as they are, and numbers to a model's other inputs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from onnxattr.arrays import Probing
from onnxattr.convert.feed import Feed
from onnxattr.types import IMAGE, TOKENS, InputSpec

Array = np.ndarray[Any, Any]

#: Probes that ONNX Runtime is fed at a time, where the graph leaves the batch free.
BATCH = 8


class ArrayFeed(nn.Module):
    """The step from arrays to what a model's input expects: another type, or no axis of a batch.

    Args:
        spec: What the model expects.

    Attributes:
        dtype: Of the model's input.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.dtype: torch.dtype = getattr(torch, spec.dtype)

    @property
    def is_affine(self) -> bool:
        """Whether what is between two probes becomes what is between what they become, row by row.

        Within the rounding of the input's type, and with that alone.
        """
        return bool(self.spec.layout) and self.dtype in (torch.float32, torch.float64)

    def masks(self, masks: torch.Tensor) -> torch.Tensor:
        """Returns masks, [variant, …], in the type of what the model is fed."""
        return masks.to(self.dtype)

    def canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns probes, float32 [probe, …]."""
        return values.float()

    def forward(self, probes: torch.Tensor) -> torch.Tensor:
        """Returns what the network is fed for probes, in the model's type and with its axes."""
        x = probes.to(self.dtype)
        return x if self.spec.layout else x.squeeze(0)

    def array(self, probes: torch.Tensor) -> Array:
        """Returns what ONNX Runtime is fed for probes, in the type of the input."""
        found: Array = self(probes).detach().cpu().numpy()
        return found

    def to_canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns values in the model's own axes as float32 [probe, …]."""
        return (values if self.spec.layout else values.unsqueeze(0)).float()

    def to_map(self, values: torch.Tensor) -> torch.Tensor:
        """Returns what a map is of values, [probe, …]: an array has no channels."""
        return values

    def noise(self, probes: torch.Tensor) -> torch.Tensor:
        """Returns a probe, or a batch that the graph fixes, of noise in the range of `probes`."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(self.spec.batch or 1, *probes.shape[1:], generator=generator)
        low, high = probes.amin(), probes.amax()
        return low + (high - low) * noise


class TokenFeed(ArrayFeed):
    """The step from token ids to what a model's input expects.

    Canonical values, those of gradients, are of the ids' embedding, [probe, length, …].
    """

    def canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns token ids, int64 [probe, length]."""
        return values

    def to_canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns values of the embedding as float32."""
        return values.float()

    def to_map(self, values: torch.Tensor) -> torch.Tensor:
        """Returns the mean of each token's values, [probe, length]."""
        return values.flatten(2).mean(dim=2) if values.dim() > 2 else values

    def noise(self, probes: torch.Tensor) -> torch.Tensor:
        """Returns a row, or a batch that the graph fixes, of the ids in another order."""
        generator = torch.Generator().manual_seed(0)
        size = (self.spec.batch or 1, *probes.shape[1:])
        places = torch.randint(probes.numel(), size, generator=generator)
        return probes.flatten()[places]


def feed_of(spec: InputSpec) -> Feed | ArrayFeed:
    """Returns the step from canonical probes to what a model's input expects."""
    if spec.kind == IMAGE:
        return Feed(spec)
    return TokenFeed(spec) if spec.kind == TOKENS else ArrayFeed(spec)


def feeds(spec: InputSpec, array: Array) -> dict[str, Array]:
    """Returns what ONNX Runtime is fed: `array` at the probe's input, numbers at the others."""
    batch = array.shape[spec.layout.index("N")] if "N" in spec.layout else 1
    others = {
        fixed.name: np.full(
            [batch if size is None else size for size in fixed.shape], fixed.value, fixed.dtype
        )
        for fixed in spec.fixed
    }
    return {spec.input: array, **others}


def wrap(x: torch.Tensor, size: int) -> torch.Tensor:
    """Returns `x` with its probes repeated up to `size` of them."""
    return x if len(x) == size else x[torch.arange(size) % len(x)]


def in_batches(
    spec: InputSpec, probes: Probing, step: int | None = None
) -> Iterator[tuple[dict[str, Array], int]]:
    """Yields what ONNX Runtime is fed for probes, batch by batch, and of how many probes it is.

    A batch that the graph fixes is filled up with probes of it.

    Args:
        spec: How the probes are fed.
        probes: Probes, as `types.Probes` has them.
        step: How many at a time; as many as the graph wants, or a few, where it is None.
    """
    feed = feed_of(spec)
    step = step or spec.batch or (BATCH if "N" in spec.layout else 1)
    for start in range(0, len(probes), step):
        with torch.no_grad():
            x = feed.canonical(torch.from_numpy(probes[start : start + step].copy()))
            given = feeds(spec, feed.array(wrap(x, spec.batch) if spec.batch else x))
        yield given, len(x)
