"""What is kept of the passes through ONNX Runtime: the units that measures compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from onnxattr.arrays import Float32, Probing
from onnxattr.attribution.units import Arranged, arranged, joined
from onnxattr.convert.array_feed import feed_of, feeds, in_batches, wrap
from onnxattr.convert.observer import Observer
from onnxattr.convert.parity import TOLERANCE, relative_error, require_same
from onnxattr.errors import LimitError, SupportError
from onnxattr.space.measures.table import OUTPUTS, REPRESENTATION
from onnxattr.types import InputSpec


class Witness:
    """Gathers the units of some probes, batch by batch.

    Args:
        spec: How the probes are fed.
        parts: What is wanted: `representation`, `outputs`.
        channels: For each part, the axis of its channels, if that is known; see `arranged`.
    """

    def __init__(
        self,
        spec: InputSpec,
        parts: Sequence[str],
        channels: Mapping[str, int | None] | None = None,
    ) -> None:
        self._spec, self._channels = spec, channels or {}
        self._found: dict[str, list[Arranged]] = {part: [] for part in parts}

    def keep(self, representation: Float32, outputs: Float32 | None, count: int) -> None:
        """Takes what ONNX Runtime made of a batch of `count` probes."""
        for part, units in zip((REPRESENTATION, OUTPUTS), (representation, outputs), strict=True):
            if part in self._found and units is not None:
                # Outputs may be a sequence, as no representation is.
                tensor = isinstance(units, np.ndarray)
                other = Arranged(None, lacking="they are no tensor")
                axis = self._channels.get(part)
                made = arranged(units, self._spec, count, axis) if tensor else other
                self._found[part].append(made)

    def units(self, lost: str = "") -> dict[str, Arranged]:
        """Returns the parts that there are, and why others are missing.

        Args:
            lost: Why there are no outputs.
        """
        made = {}
        for part, batches in self._found.items():
            whole = joined(batches) if batches else Arranged(None)
            if part != REPRESENTATION and lost:  # Perhaps of the last batches only.
                whole = Arranged(None, lacking=lost)
            if whole.values is not None or whole.lacking:
                made[part] = whole
        return made


def mixes(observer: Observer, spec: InputSpec, probes: Probing, model: str) -> bool:
    """Returns whether what a model makes of a probe hangs on the others of its batch.

    A conversion is checked for that; a model that is not converted is asked here, by two probes.

    Args:
        observer: The model's way to ONNX Runtime.
        spec: How the probes are fed.
        probes: Probes, of which two are used; where there is one, it is taken to be mixed.
        model: Name of the model.

    Raises:
        ParityError: The model is random.
        SupportError: ONNX Runtime fails on one probe.
    """
    feed = feed_of(spec)
    tolerance = TOLERANCE.get(feed.dtype, 1e-4)

    def run(count: int) -> Float32:
        x = feed.canonical(torch.from_numpy(probes[:count].copy()))
        return observer.run(feeds(spec, feed.array(wrap(x, spec.batch) if spec.batch else x)))[0]

    with torch.no_grad():
        alone = run(1)
        if alone.dtype.kind not in "fiub":
            return True  # They are no numbers, which is told elsewhere.
        require_same(alone, run(1), tolerance, model)
        if len(probes) < 2 or spec.batch == 1 or "N" not in spec.layout:
            return True
        try:
            both = run(2)
        except (SupportError, LimitError):
            return True
    if both.shape[:1] != (spec.batch or 2,) or alone.shape[:1] != (spec.batch or 1,):
        return True
    return not relative_error(both[:1], alone[:1]) <= tolerance


def observed(
    observer: Observer, witness: Witness, spec: InputSpec, probes: Probing, *, alone: bool
) -> dict[str, Arranged]:
    """Returns units by a pass of their own, where no other pass is made that shows them.

    Args:
        observer: The model's way to ONNX Runtime.
        witness: What gathers them.
        spec: How the probes are fed.
        probes: Probes, as `types.Probes` has them.
        alone: Whether each probe is given by itself: the model may mix its batch.
    """
    for given, count in in_batches(spec, probes, 1 if alone else None):
        witness.keep(*observer.run(given), count)
    return witness.units(observer.lost)
