"""Runs methods over all probes of a set, in batches, on the network's device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from onnxattr.arrays import Float32, Probing
from onnxattr.attribution import gradients
from onnxattr.attribution.methods import Method, find, parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.attribution.setting import Setting
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.parity import is_out_of_memory, runnable, wrap
from onnxattr.errors import DeviceError, SupportError, UsageError
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

#: Probes at a time, where the graph leaves the batch free. Results depend on it in the last bits.
BATCH = 8

#: Below this `dependence` a map is rounding noise. Measured: up to 3e-7 for units that cancel
#: (untrained ViT, ConvNeXt, Swin), 1 to 7 for others (ResNet, DenseNet, MobileNet, …).
CANCELLED = 1e-4


class Engine:
    """Makes the maps of one network, by one or several methods.

    Repeatable for a batch size on the CPU; on a GPU as far as cuDNN's deterministic algorithms go.

    Args:
        network: From `convert.torch.to_network`.
        methods: By gradient or by relevance.
        reduction: How T is made of the units.
        seed: Of all that is drawn.
        background: Probes that some methods compare others with, as `types.Probes` has them.
        batch_size: Probes at a time; a graph that fixes its batch overrules it.

    Attributes:
        size: Probes at a time. It is halved where memory runs out.

    Raises:
        UsageError: The batch size is not positive.
        SupportError: A method refuses an operator of the network.
    """

    def __init__(
        self,
        network: Network,
        *,
        methods: Sequence[Method] = (parse("saliency"),),
        reduction: Reduction | None = None,
        seed: int = 0,
        background: Probing | None = None,
        batch_size: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch size is a positive number, not `{batch_size}`")
        self._network = network
        compared = None if background is None else self._probes(background)
        self._targets = (reduction or Reduction()).targets(seed)
        #: Of each method, what explains each target.
        self._explain: list[list[Explain]] = [
            [
                find(method.name)(Setting(network, target, seed, compared), **method.options)
                for target in self._targets
            ]
            for method in methods
        ]
        self.size = network.spec.batch or batch_size or BATCH
        self._tried = False

    def maps(self, probes: Probing) -> Float32:
        """Returns maps, float32 [method, probe, …], each of the shape `spec.map_shape`.

        Of several targets it is the root mean square.

        Args:
            probes: Probes, as `types.Probes` has them.

        Raises:
            SupportError: The representation has no gradient, or its units cancel in the sum.
            DeviceError: Memory runs out at a batch of one.
        """
        network = self._network
        count = len(self._explain)
        values = np.empty((count, len(probes), *network.spec.map_shape), np.float32)
        done = 0
        # Whatever mode the caller is in, a gradient is wanted.
        with deterministic(), torch.inference_mode(False), torch.enable_grad():
            if not self._tried:
                self._require_dependence(probes)
                self._tried = True
            while done < len(probes):
                batch = probes[done : done + self.size]
                try:
                    maps = self._batch(batch)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    self._halve()
                    continue
                values[:, done : done + len(batch)] = maps
                done += len(batch)
        return values

    def _batch(self, probes: Probing) -> Float32:
        with runnable(self._network):
            x = self._probes(probes)
            maps = [_joined([explain(x).detach() for explain in each]) for each in self._explain]
        found: Float32 = torch.stack(maps).cpu().numpy()
        return found[:, : len(probes)]

    def _probes(self, probes: Probing, size: int | None = None) -> torch.Tensor:
        """Returns canonical probes, filled up to `size` or to the batch that the graph fixes."""
        spec = self._network.spec
        given = torch.from_numpy(probes.copy()).to(self._network.device)
        x = feed_of(spec).canonical(given)
        size = spec.batch or size
        return wrap(x, size) if size else x

    def _halve(self) -> None:
        if self._network.spec.batch or self.size == 1:
            raise DeviceError(
                f"memory of `{self._network.device}` runs out at a batch of {self.size}",
                hint="use --device cpu or a smaller --size",
                model=self._network.model.name,
            )
        self.size //= 2

    def _require_dependence(self, probes: Probing) -> None:
        """Refuses units that cancel: their maps would be rounding noise, finite all of it."""
        few = self._probes(probes[: self._network.spec.batch or 2], 2)
        with runnable(self._network):
            ratio = gradients.dependence(self._network, few, self._targets[0])
        if ratio < CANCELLED:
            raise SupportError(
                f"the units of `{self._network.representation.value}` cancel: their sum does not "
                f"depend on the input but for rounding ({ratio:.0e} of what a sum with random "
                "signs does)",
                hint="choose another tensor with --at: before a softmax, or a final normalisation",
                model=self._network.model.name,
            )


def _joined(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns the one map, or the root mean square of several."""
    return maps[0] if len(maps) == 1 else torch.stack(list(maps)).square().mean(0).sqrt()


@contextmanager
def deterministic() -> Iterator[None]:
    """Asks cuDNN for repeatable, full-precision arithmetic, and restores its settings after."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.benchmark, cudnn.deterministic = False, True
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before
