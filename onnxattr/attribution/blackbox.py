"""Maps from outputs alone: how T changes where parts of the probe are hidden.

T is computed by ONNX Runtime. Nothing is converted, and nothing needs a gradient. What is hidden,
and what follows from T, is a `hiding.Scheme` of the method.
"""

from math import prod

import numpy as np
import torch

from onnxattr.arrays import Float32, Probing
from onnxattr.attribution.hiding import Canvas, Scheme, Totals
from onnxattr.attribution.methods import Method, find_black_box, parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.attribution.totals import totals
from onnxattr.attribution.variants import Variants, laid_over
from onnxattr.convert.array_feed import wrap
from onnxattr.convert.parity import TOLERANCE, relative_error, require_same
from onnxattr.convert.session import Runtime
from onnxattr.errors import LimitError, SupportError, UsageError
from onnxattr.types import IMAGE, TOKENS, InputSpec

#: Variants at a time, at least and at most, where the graph leaves the batch free, and numbers of
#: all of them that are wanted. On the CPU no network was faster by larger batches than 8; what
#: they save is the way to ONNX Runtime and back, which counts where a network is tiny.
_BATCH, _NUMBERS = (8, 256), 2**19


class BlackBox:
    """Makes the maps of one model by a black-box method; as repeatable as ONNX Runtime is.

    Args:
        runtime: The model.
        method: A black-box method.
        reduction: How T is made of the units; by default their sum. Of several projections the
            root mean square of the maps is taken.
        seed: Of all that is drawn.
        batch_size: Variants at a time, of one or several probes; a graph that fixes its batch
            overrules it.

    Attributes:
        size: Variants at a time. It is halved where ONNX Runtime lacks memory.

    Raises:
        UsageError: There is no such method, or the batch size is not positive.
        SupportError: The model takes token ids.
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
        spec = runtime.spec
        if spec.kind == TOKENS:
            raise SupportError(
                "black-box maps are made of images and arrays, and it takes token ids: there is "
                "none that hides another",
                hint="choose another --method",
                model=runtime.model.name,
            )
        self._runtime = runtime
        canvas = Canvas(tuple(spec.map_shape), spec.kind == IMAGE, seed)
        self._scheme: Scheme = find_black_box(method.name)(canvas, **method.options)
        self._masks = laid_over(runtime.feed, self._scheme)
        self._targets = (reduction or Reduction()).targets(seed)
        self.size = spec.batch or batch_size or _size(spec)
        self._tried = False
        self._by_itself = self.size == 1 or "N" not in spec.layout

    def maps(self, probes: Probing) -> Float32:
        """Returns maps, float32 [probe, …], of the shape `spec.map_shape`.

        Args:
            probes: Probes, as `types.Probes` has them.

        Raises:
            SupportError: ONNX Runtime fails, the representation holds no numbers, or no such unit.
            LimitError: ONNX Runtime lacks memory for a batch of one.
            ParityError: The model is random.
        """
        scheme = self._scheme
        maps = np.empty((len(probes), *self._runtime.spec.map_shape), np.float32)
        # Of units that are infinite or no numbers, maps hold some too, which is told where they are
        # used.
        with torch.no_grad(), np.errstate(invalid="ignore", over="ignore"):
            x = self._probes(probes)
            self._try(x)
            found = self._totals(x)
            for i in range(len(x)):
                here = slice(i * scheme.count, (i + 1) * scheme.count)
                each = [scheme.map(Totals(t.values[here], t.rounding[here])) for t in found]
                maps[i] = each[0] if len(each) == 1 else np.sqrt(np.square(each).mean(axis=0))
        return maps

    def sees(self, probes: Probing) -> bool:
        """Returns whether T tells the first of some probes from its negative.

        Raises:
            SupportError: ONNX Runtime fails, the representation holds no numbers, or no such unit.
            ParityError: The model is random.
        """
        with torch.no_grad():
            x = self._probes(probes[:1])
            self._try(x)
            both = [self._alone(self._run(one)) for one in (x, self._negative(x))]
        return any(
            abs(one.values[0] - other.values[0]) > max(one.rounding[0], other.rounding[0])
            for one, other in zip(*both, strict=True)
        )

    def _probes(self, probes: Probing) -> torch.Tensor:
        return self._runtime.feed.canonical(torch.from_numpy(probes.copy()))

    def _negative(self, x: torch.Tensor) -> torch.Tensor:
        """Returns what is as unlike a probe as can be in the range of its kind."""
        if self._runtime.spec.kind == IMAGE:
            return 1 - x
        low, high = x.amin(), x.amax()
        return low + high - x if low < high else x + 1

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
        if not self._by_itself and self._mixes(x[:1], alone, tolerance):
            self._by_itself = True
            self.size = self._runtime.spec.batch or 1
        self._tried = True

    def _mixes(self, x: torch.Tensor, alone: Float32, tolerance: float) -> bool:
        """Whether the units of a probe are not a row of their own, the same in any batch."""
        pair = torch.cat([x, self._negative(x)])
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

    def _totals(self, x: torch.Tensor) -> list[Totals]:
        """Returns T of all variants of some probes, for each target."""
        variants = Variants(self._runtime.feed, x, self._scheme, self._masks, self.size)
        found = [Totals(np.empty(len(variants)), np.empty(len(variants))) for _ in self._targets]
        done = 0
        while done < len(variants):
            stop = min(done + (1 if self._by_itself else self.size), len(variants))
            try:
                parts = self._part(variants, done, stop)
            except LimitError:
                if self._by_itself or self._runtime.spec.batch or self.size == 1:
                    raise
                self.size //= 2
                continue
            for whole, part in zip(found, parts, strict=True):
                whole.values[done:stop], whole.rounding[done:stop] = part.values, part.rounding
            done = stop
        return found

    def _part(self, variants: Variants, start: int, stop: int) -> list[Totals]:
        """Returns T of some variants, for each target."""
        spec = self._runtime.spec
        if not self._by_itself:
            rows = self._runtime.run_fed(variants.fed(start, stop))
            # How many rows there are may depend on the values, as behind NonZero.
            if rows.shape[:1] == (spec.batch or stop - start,):
                return totals(rows[: stop - start], self._targets, spec)
        each = [
            self._alone(self._runtime.run_fed(variants.fed(i, i + 1))) for i in range(start, stop)
        ]
        return [
            Totals(
                np.concatenate([one.values for one in target]),
                np.concatenate([one.rounding for one in target]),
            )
            for target in zip(*each, strict=True)
        ]

    def _alone(self, units: Float32) -> list[Totals]:
        """Returns T of one input for each target, whose units are those of all its copies."""
        copies = self._runtime.spec.batch or 1
        rows = units if units.shape[:1] == (copies,) else units[None]
        found = totals(rows, self._targets, self._runtime.spec)
        return [
            Totals(t.values.sum(keepdims=True) / copies, t.rounding.sum(keepdims=True) / copies)
            for t in found
        ]


def _size(spec: InputSpec) -> int:
    """Returns how many variants are made at a time where nobody says."""
    least, most = _BATCH
    numbers = prod(spec.map_shape) * (3 if spec.kind == IMAGE else 1)
    return int(min(max(least, 2 ** (_NUMBERS // max(numbers, 1)).bit_length() // 2), most))
