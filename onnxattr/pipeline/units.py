"""The parent's side of units, which measures compare beside maps: from the store and workers."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.attribution.units import MOST, STEPS, Arranged
from onnxattr.errors import WorkerError
from onnxattr.pipeline.messages import Described, Units, unpack
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.trust import malformed
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.space.measures.ensemble import WEIGHTS
from onnxattr.space.measures.modelgif import references
from onnxattr.space.measures.table import (
    ENSEMBLE,
    FIELD,
    MEASURES,
    OUTPUTS,
    REPRESENTATION,
    Measure,
)
from onnxattr.store import Block, make_key

#: Axes of the units of one probe, at most, as they are kept, and before.
_AXES, _WHOLE = 3, 8


def parts_of(measures: Sequence[str]) -> tuple[str, ...]:
    """Returns what measures want of a model beside its maps: `messages.UNITS`, and a field."""
    wanted = {part for one in _single(measures) for part in (*one.needs, *one.uses)}
    return tuple(part for part in (REPRESENTATION, OUTPUTS, FIELD) if part in wanted)


def _single(measures: Sequence[str]) -> list[Measure]:
    names = [name for name in measures if name != ENSEMBLE]
    names += WEIGHTS if ENSEMBLE in measures else ()
    return [MEASURES[name] for name in names]


def pairs_of(hashes: Sequence[str], seed: int) -> tuple[list[int], list[str]]:
    """Returns from which other probe the way to each leads, and a hash of both ends of each way.

    Args:
        hashes: Of the probes, two or more.
        seed: Of the draw.
    """
    others = references(len(hashes), seed).tolist()
    ends = (f"{hashes[other]} {own}" for own, other in zip(hashes, others, strict=True))
    return others, [hashlib.sha256(both.encode()).hexdigest() for both in ends]


class UnitRows:
    """One part of what measures compare of a model as it comes in, probe by probe.

    Args:
        part: Of `messages.UNITS`, or a field.
        hashes: Of the probes; of a field, of its ways.
        share: Bytes of all of them, at most.

    Attributes:
        lacking: Why there is none; '' while there may be.
        whole: Shape of the units of one probe before they were pooled.
        checked: Of a field, what was measured while its parts were made.
    """

    def __init__(self, part: str, hashes: Sequence[str], share: int) -> None:
        self.part, self.lacking = part, ""
        self.whole: tuple[int, ...] = ()
        self.checked: list[Mapping[str, Any]] = []
        self._hashes, self._share = hashes, share
        self._rows: dict[int, Float32] = {}
        self._made = False

    @property
    def missing(self) -> list[int]:
        """Places of the probes that are still wanted."""
        return [] if self.lacking else [i for i in range(len(self._hashes)) if i not in self._rows]

    def take_stored(self, blocks: Sequence[Block]) -> None:
        """Takes what the store has, as far as it makes sense: it may have been written by anybody.

        Of blocks that do not belong together, the first counts.
        """
        for block in blocks:
            facts = dict(block.facts)
            checked = facts.pop("checked", {}) if self.part == FIELD else None
            whole = _whole(facts)
            if whole is None or not np.isfinite(block.values).all():
                continue
            if checked is not None and (not isinstance(checked, dict) or malformed(checked)):
                continue
            rows = dict(zip(block.probes, block.values, strict=True))
            used = {i: rows[d] for i, d in enumerate(self._hashes) if d in rows}
            if used and not self._rows:
                self.whole = whole
            if used and self._fits(block.values, whole):
                self._rows.update(used)
                self.checked += [] if checked is None else [checked]
        self._bound()

    def take(self, given: Units | None, chunk: Sequence[int], name: str) -> Arranged | None:
        """Takes what a worker made of some probes; returns it, unless there is none.

        Raises:
            WorkerError: It makes no sense.
        """
        if given is None or given.values is None:
            text = clean(given.lacking, MAX_TEXT) if given else ""
            self.lacking = self.lacking or text or "its worker gave no reason"
            return None
        inner, whole = given.values.shape[1:], given.whole
        sensible = (
            1 <= len(inner) <= _AXES
            and all(size > 0 for size in inner)
            and math.prod(inner) <= MOST
            and _whole({"whole": list(whole)}) is not None
            and len(whole) == len(inner)
            and all(a <= b for a, b in zip(inner, whole, strict=True))
        )
        values = unpack(given.values, np.float32, (len(chunk), *inner)) if sensible else None
        if values is None or not np.isfinite(values).all():
            raise WorkerError("its worker sent units that make no sense", model=name)
        if self._rows and not self._fits(values, whole):
            if self._made:
                raise WorkerError("its worker sent units of another shape than before", model=name)
            self._rows = {}  # What somebody has put into the store is not of this model.
            self.checked = []
        self.whole, self._made = whole, True
        self._rows.update(zip(chunk, values, strict=True))
        self._bound()
        return Arranged(values, whole)

    @property
    def inner(self) -> tuple[int, ...]:
        """Shape of the units of one probe; () while there are none."""
        first = next(iter(self._rows.values()), None)
        return () if first is None else first.shape

    def values(self) -> Float32 | None:
        """Returns all of them, [probe, …], or None where some are lacking."""
        if self.lacking or self.missing:
            return None
        return np.stack([self._rows[i] for i in range(len(self._hashes))])

    def _fits(self, values: Float32, whole: tuple[int, ...]) -> bool:
        first = next(iter(self._rows.values()), values[0])
        return values.shape[1:] == first.shape and whole == self.whole

    def _bound(self) -> None:
        first = next(iter(self._rows.values()), None)
        if first is not None and 4 * first.size * len(self._hashes) > self._share:
            self.lacking = (
                f"those of {len(self._hashes)} probes would take more than "
                f"{self._share / 2**30:.3g} GiB"
            )
            self._rows = {}


def key_of(
    name: str, found: Described, digest: str, part: str, versions: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    """Returns the key under which a model's units are kept, and what it is made of.

    They are the same whatever the method, the reduction and the device: ONNX Runtime makes them,
    on the CPU.
    """
    parts = {
        "model": found.sha256,
        "file": digest,
        "spec": {k: v for k, v in dataclasses.asdict(found.spec).items() if k != "sources"},
        "part": part,
        "tensor": found.representation.value if part == REPRESENTATION else found.outputs,
        "versions": dict(versions),
    }
    return make_key(parts), {"name": name, **parts}


def key_of_field(
    name: str, found: Described, digest: str, options: Options, versions: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    """Returns the key under which a model's gradient field is kept, and what it is made of.

    The seed of the ways is not in it: their ends are what rows are kept by.
    """
    reduction = options.reduced
    parts = {
        "model": found.sha256,
        "file": digest,
        "spec": {k: v for k, v in dataclasses.asdict(found.spec).items() if k != "sources"},
        "part": FIELD,
        "tensor": found.representation.value,
        "steps": STEPS,
        "reduction": str(reduction),
        "seed": options.seed if reduction.kind == "projection" else None,
        "device": found.device.split(":")[0],
        "precision": options.precision,
        "versions": dict(versions),
    }
    return make_key(parts), {"name": name, **parts}


def facts_of(made: Arranged, checked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns what is kept beside units; of a field, also what was measured while it was made."""
    return {"whole": list(made.whole), **({} if checked is None else {"checked": dict(checked)})}


def pooled(rows: UnitRows) -> Iterator[str]:
    """Yields what is to be said of units whose places were averaged."""
    if rows.inner and rows.inner != rows.whole:
        before, after = ("×".join(map(str, shape)) for shape in (rows.whole, rows.inner))
        yield f"its {rows.part}, {before}, is compared as {after}: places are averaged"


def _whole(facts: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Returns the shape that facts tell, or None where they are not what `facts_of` writes."""
    whole = facts.get("whole")
    sensible = (
        facts.keys() == {"whole"}
        and isinstance(whole, list)
        and 1 <= len(whole) <= _WHOLE
        and all(type(size) is int and 0 < size < 2**31 for size in whole)
    )
    return tuple(whole) if sensible and isinstance(whole, list) else None
