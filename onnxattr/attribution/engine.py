"""Runs methods over all probes of a set, in batches, on the network's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onnxattr.arrays import Float32, Probing
from onnxattr.attribution import gradients
from onnxattr.attribution.arithmetic import arithmetic, autocast, require, settings_of
from onnxattr.attribution.compiled import Compiled
from onnxattr.attribution.memory import BATCH as BATCH
from onnxattr.attribution.memory import measured, size_of_batch
from onnxattr.attribution.methods import Method, find, parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.attribution.setting import Setting
from onnxattr.attribution.shared import SHARING, shared
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.parity import is_out_of_memory, runnable, wrap
from onnxattr.errors import DeviceError, SupportError, UsageError
from onnxattr.types import Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

#: Below this `dependence` a map is rounding noise. Measured: up to 3e-7 for units that cancel
#: (untrained ViT, ConvNeXt, Swin), 1 to 7 for others (ResNet, DenseNet, MobileNet, …).
CANCELLED = 1e-4


class Engine:
    """Makes the maps of one network, by one or several methods.

    Repeatable for a batch size on the CPU; on a GPU as far as there are deterministic algorithms:
    `settings` names operators that have none.

    Args:
        network: From `convert.torch.to_network`.
        methods: By gradient or by relevance.
        reduction: How T is made of the units.
        seed: Of all that is drawn.
        background: Probes that some methods compare others with, as `types.Probes` has them.
        batch_size: Probes at a time; a graph that fixes its batch overrules it. By default what
            memory is measured to hold, see `memory.size_of_batch`.
        precision: Of `pipeline.options.PRECISIONS`; `float64` wants a network that is `wide`.
        compile: Whether torch compiles the network, for methods that leave its operators as they
            are. Where that fails they run as they do without, and `settings` says why.

    Attributes:
        size: Probes at a time. It is halved where memory runs out.

    Raises:
        UsageError: The batch size is not positive.
        DeviceError: The device does not have the precision.
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
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch size is a positive number, not `{batch_size}`")
        require(precision, network.device)
        self._precision, self._plain = precision, network
        modules = {method.entry.module for method in methods}
        self._compiled = Compiled(network, modules) if compile else None
        self._network = network = self._compiled.network if self._compiled else network
        self._undetermined: set[str] = set()
        compared = None if background is None else self._canonical(background)
        self._targets = (reduction or Reduction()).targets(seed)
        together = [m.name for m in methods if m.name in SHARING]
        #: Names of the methods that share their passes, where that saves any.
        self._together = together if len(together) * len(self._targets) > 1 else []
        self._shared = shared(network, self._together, self._targets)
        #: Of each other method, what explains each target.
        self._explain: list[list[Explain] | None] = [
            None
            if method.name in self._together
            else [
                find(method.name)(Setting(network, target, seed, some), **method.options)
                for target in self._targets
            ]
            for method in methods
            for some in [None if compared is None else compared[: method.entry.background]]
        ]
        self._chosen = network.spec.batch or batch_size
        self.size = self._chosen or BATCH
        self._tried = False

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the last bits of the maps, for records."""
        found = settings_of(self._network.device, self._precision)
        if self._undetermined:
            found["nondeterministic"] = ", ".join(sorted(self._undetermined))
        found["compiled"] = self._compiled.said if self._compiled else "no"
        return found

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
        with (
            arithmetic(network.device, self._precision) as undetermined,
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
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
        self._undetermined |= undetermined
        return values

    def explain(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the maps of one batch, float32 [method, probe, …].

        It sets no flags of torch and measures nothing, as `maps` does, which is built on it.

        Args:
            x: Canonical probes, on the network's device; whole batches, where the graph fixes one.
        """
        with autocast(self._network.device, self._precision):
            together = iter(self._shared(x) if self._together else ())
            maps = [
                _joined(
                    next(together) if each is None else [explain(x).detach() for explain in each]
                )
                for each in self._explain
            ]
        return torch.stack([each.float() for each in maps])

    def _batch(self, probes: Probing) -> Float32:
        # Another size would be compiled for itself.
        x = self._probes(probes, self.size if self._compiled else None)
        with runnable(self._network):
            try:
                maps = self.explain(x)
            except Exception as error:
                if self._compiled is None or not self._compiled.give_up(error):
                    raise
                maps = self.explain(x)
            found: Float32 = maps.cpu().numpy()
        return found[:, : len(probes)]

    def _probes(self, probes: Probing, size: int | None = None) -> torch.Tensor:
        """Returns canonical probes, filled up to `size` or to the batch that the graph fixes."""
        x = self._canonical(probes)
        size = self._network.spec.batch or size
        return wrap(x, size) if size else x

    def _canonical(self, probes: Probing) -> torch.Tensor:
        given = torch.from_numpy(probes.copy()).to(self._network.device)
        return feed_of(self._network.spec).canonical(given)

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
        network = self._plain
        few = self._probes(probes[: network.spec.batch or 2], 2)
        with runnable(network), measured(network.module, network.device) as taken:
            ratio = gradients.dependence(network, few, self._targets[0])
        if self._chosen is None:
            self.size = size_of_batch(taken, len(few), network.device)
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
