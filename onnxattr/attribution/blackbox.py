"""Maps from outputs alone: how much T changes where a part of the probe is hidden.

T is computed by ONNX Runtime. Nothing is converted, and nothing needs a gradient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Protocol

import numpy as np
import torch

from onnxattr.arrays import Float32, Float64, UInt8
from onnxattr.attribution.engine import BATCH
from onnxattr.attribution.methods import Method, find_black_box, parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.convert.feed import resize
from onnxattr.convert.parity import TOLERANCE, relative_error, require_same, wrap
from onnxattr.convert.session import Runtime
from onnxattr.errors import LimitError, SupportError, UsageError

#: Rounding of a sum of units, in roundings of one number: 8 (u ‖units‖₂ + min(u, 2⁻²⁴) ‖units‖₁).
#: The first is that of each unit in its own type, the second what units have in common, such as the
#: denominator of a softmax, which is computed in float32 at least.
_ROUNDING = 8
_SINGLE = 2.0**-24


#: A tensor of numbers of any type.
Units = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Totals:
    """T of some inputs: float64 [input], and how far rounding may have moved it, likewise."""

    values: Float64
    rounding: Float64


class Scheme(Protocol):
    """The variants of a probe on which a method wants T, and the map that follows."""

    @property
    def count(self) -> int:
        """The number of variants of a probe."""

    def variants(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yields the variants of one probe, float32 [channel, y, x], in a fixed order."""

    def map(self, totals: Totals) -> Float32:
        """Returns the map, float32 [y, x], that follows from T of a probe's variants."""


@dataclass(frozen=True)
class Occlusion:
    """T(x) − T(x with a patch hidden), spread over the patch; the mean where patches overlap.

    Attributes:
        shape: Of the map, and of the last axes of a probe.
        patches: Places in the map; together they cover it.
    """

    shape: tuple[int, ...]
    patches: tuple[tuple[slice, ...], ...]

    @property
    def count(self) -> int:
        """The probe itself, and one variant a patch."""
        return 1 + len(self.patches)

    def variants(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yields the probe, then the probe with each patch in the probe's own mean colour."""
        yield x
        colour = x.mean(dim=tuple(range(1, x.dim())), keepdim=True)
        for patch in self.patches:
            hidden = x.clone()
            hidden[:, *patch] = colour
            yield hidden

    def map(self, totals: Totals) -> Float32:
        """Returns the map; differences that rounding alone may have made are none."""
        values, rounding = totals.values, totals.rounding
        difference = values[0] - values[1:]
        # Not the other way round: what is no number stays so.
        difference[np.abs(difference) <= np.maximum(rounding[0], rounding[1:])] = 0.0
        total, covering = np.zeros(self.shape), np.zeros(self.shape)
        for patch, change in zip(self.patches, difference, strict=True):
            total[patch] += change / total[patch].size
            covering[patch] += 1
        return (total / covering).astype(np.float32)


def occlusion(shape: tuple[int, ...], *, grid: int, span: int = 1, axes: int = 2) -> Occlusion:
    """Prepares occlusion by patches (Zeiler & Fergus 2014).

    What hides a patch is the probe's mean colour, where they took the grey that is the mean of
    their training images: a colour without relation to a probe is an object of its own, and with
    this one there is nothing to be seen in a probe of one colour.

    Args:
        shape: Of the map.
        grid: Cells a side, as far as there are pixels for them; patches begin at every cell.
        span: Cells a side that a patch takes.
        axes: How many of the last axes are cut into cells; patches take the whole of the others.
    """
    whole = [[slice(0, size)] for size in shape[: len(shape) - axes]]
    cut = [_windows(size, grid, span) for size in shape[len(shape) - axes :]]
    return Occlusion(tuple(shape), tuple(product(*whole, *cut)))


def _windows(size: int, grid: int, span: int) -> list[slice]:
    """Returns runs of `span` of the cells into which `size` pixels are cut, as equal as can be."""
    edges = sorted({round(i * size / grid) for i in range(grid + 1)})
    span = min(span, len(edges) - 1)
    return [slice(a, b) for a, b in zip(edges, edges[span:], strict=False)]


class BlackBox:
    """Makes the maps of one model by a black-box method; as repeatable as ONNX Runtime is.

    Args:
        runtime: The model.
        method: A black-box method.
        reduction: How T is made of the units.
        seed: Of all that is drawn.
        batch_size: Variants at a time, of one or several probes; a graph that fixes its batch
            overrules it.

    Attributes:
        size: Variants at a time.

    Raises:
        UsageError: There is no such method, or the batch size is not positive.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        method: Method = parse("occlusion"),  # noqa: B008 - a constant
        reduction: Reduction | None = None,
        seed: int = 0,
        batch_size: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch size is a positive number, not `{batch_size}`")
        self._runtime = runtime
        prepare = find_black_box(method.name)
        self._scheme: Scheme = prepare(runtime.spec.map_shape, **method.options)
        self.size = runtime.spec.batch or batch_size or BATCH
        self._tried = False
        self._by_itself = self.size == 1

    def maps(self, images: UInt8) -> Float32:
        """Returns maps, float32 [probe, y, x], at the model's input size.

        Args:
            images: Probes, uint8 [probe, y, x, 3].

        Raises:
            SupportError: ONNX Runtime fails, or the representation holds no numbers.
            ParityError: It is random.
        """
        scheme = self._scheme
        values = np.empty((len(images), *self._runtime.spec.map_shape), np.float32)
        with torch.no_grad():
            x = self._probes(images)
            self._try(x)
            variants = (variant for one in x for variant in scheme.variants(one))
            totals = self._totals(variants, len(x) * scheme.count)
        for i in range(len(x)):
            here = slice(i * scheme.count, (i + 1) * scheme.count)
            values[i] = scheme.map(Totals(totals.values[here], totals.rounding[here]))
        return values

    def sees(self, images: UInt8) -> bool:
        """Returns whether T tells the first of some probes from its negative.

        Raises:
            SupportError: ONNX Runtime fails, or the representation holds no numbers.
            ParityError: It is random.
        """
        with torch.no_grad():
            x = self._probes(images[:1])
            self._try(x)
            totals = self._totals(iter([x[0], 1 - x[0]]), 2)
        return bool(np.ptp(totals.values) > totals.rounding.max())

    def _probes(self, images: UInt8) -> torch.Tensor:
        return resize(torch.from_numpy(images.copy()), *self._runtime.spec.map_shape)

    def _try(self, x: torch.Tensor) -> None:
        """Makes sure that the model repeats itself, and finds out whether it takes batches.

        It does not where its units have a form of their own, a scalar among them, where it mixes
        its batch, or where it fixes a batch of one and does not say so.
        """
        if self._tried:
            return
        tolerance = TOLERANCE.get(self._runtime.dtype, 1e-4)
        alone = self._run(x[:1])
        require_same(alone, self._run(x[:1]), tolerance, self._runtime.model.name)
        if self.size > 1 and self._mixes(x[:1], alone, tolerance):
            self._by_itself = True
            self.size = self._runtime.spec.batch or 1
        self._tried = True

    def _mixes(self, x: torch.Tensor, alone: Float32, tolerance: float) -> bool:
        """Whether the units of a probe are not a row of their own, the same in any batch."""
        # A probe beside its negative, which is as unlike as can be.
        pair = torch.cat([x, 1 - x])
        try:
            both = self._run(pair)
        except (SupportError, LimitError):
            return True
        batch = self._runtime.spec.batch
        if both.shape[:1] != (batch or 2,) or alone.shape[:1] != (batch or 1,):
            return True
        return not relative_error(both[:1], alone[:1]) <= tolerance

    def _run(self, x: torch.Tensor) -> Float32:
        """Returns the units of some inputs, which are repeated where the graph fixes its batch."""
        batch = self._runtime.spec.batch
        return self._runtime.run(wrap(x, batch) if batch else x)

    def _totals(self, inputs: Iterator[torch.Tensor], count: int) -> Totals:
        """Returns T of `count` inputs, float32 [3, y, x] each."""
        values, rounding = np.empty(count), np.empty(count)
        done = 0
        while some := list(islice(inputs, 1 if self._by_itself else self.size)):
            for units, copies in self._units(some):
                exact = units.astype(np.float64)
                values[done] = exact.sum() / copies
                rounding[done] = _rounding(exact, units.dtype) / copies
                done += 1
        return Totals(values, rounding)

    def _units(self, inputs: Sequence[torch.Tensor]) -> Iterator[tuple[Units, int]]:
        """Yields the units of each input, and how many copies of the input they are of."""
        batch = self._runtime.spec.batch
        if not self._by_itself:
            rows = self._run(torch.stack(list(inputs)))
            # How many rows there are may depend on the values, as behind NonZero.
            if rows.shape[:1] == (batch or len(inputs),):
                yield from ((row, 1) for row in rows[: len(inputs)])
                return
        for one in inputs:
            yield self._run(one[None]), batch or 1


def _rounding(units: Float64, kind: np.dtype[Any]) -> float:
    """Returns how far rounding may have moved the sum of some units, which were of type `kind`."""
    if kind.kind != "f":
        return 0.0
    one = float(np.finfo(kind).eps) / 2
    common = min(one, _SINGLE) * np.abs(units).sum()
    return _ROUNDING * float(one * np.linalg.norm(units.ravel()) + common)
