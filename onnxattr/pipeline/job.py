"""The parent's side of a model: asks a worker for what the store lacks, and keeps what comes."""

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from onnxattr._version import __version__
from onnxattr.arrays import Float32
from onnxattr.attribution.entries import OUTPUTS
from onnxattr.attribution.methods import Method
from onnxattr.attribution.units import MOST
from onnxattr.errors import LimitError, OnnxattrError, StoreError, SupportError, WorkerError
from onnxattr.execution.channel import MAX_MESSAGE, Channel
from onnxattr.execution.local import Workers, memory_limit
from onnxattr.pipeline.messages import (
    Attribute,
    Attributed,
    Described,
    End,
    Examine,
    Observe,
    Observed,
    Place,
    Refusal,
    Source,
    Units,
    error_of,
    pack,
    unpack,
)
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.trust import hash_source, malformed, require_sense
from onnxattr.pipeline.units import UnitRows, facts_of, key_of, parts_of, pooled
from onnxattr.probes import hash_values
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.space.measures.table import OUTPUTS as OF_OUTPUTS
from onnxattr.store import Block, Store, make_key
from onnxattr.types import IMAGE, Failure, GradientCheck, Maps, Parity, Probes, Summary

T = TypeVar("T")

#: The module that workers serve.
SERVE = "onnxattr.pipeline.serve"

#: Modules that a worker needs for maps; together they take seconds to import.
HEAVY = (
    "torch",
    "onnx2torch",
    "onnxruntime",
    "onnxattr.convert.ops",
    "onnxattr.attribution.engine",
)

#: One of these packages is there.
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")

#: Probes whose maps are kept together, rounded up to whole batches: the most that is lost.
CHUNK = 16

#: The same on a GPU, which chooses its batches by its memory, and is done with many at once.
GPU_CHUNK = 64

#: The same of black-box maps, each of which takes many passes, whatever the batch.
BLACK_BOX_CHUNK = 4

#: The batch size where nobody says and the graph leaves it free.
BATCH = 8

#: Bytes of all maps of a model, which this process holds; less where many models share its memory.
MAX_MAPS = 2**31


@dataclass(frozen=True, eq=False)
class Examined:
    """One model's maps, and what to say of it.

    Attributes:
        summary: What a report says of it.
        maps: Its maps.
        stored: Whether all of them, and all units, were in the store.
        seconds: Wall time of the parts.
        units: float32 [probe, …], by part, of those that were wanted and that there are.
        lacking: Why there are no others, by part.
        notes: What is to be said of the units.
    """

    summary: Summary
    maps: Maps
    stored: bool
    seconds: Mapping[str, float]
    units: Mapping[str, Float32] = dataclasses.field(default_factory=dict)
    lacking: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def place_of(options: Options, device: str = "cpu") -> Place:
    """Returns where and within which bounds a worker works."""
    return Place(
        device=device,
        threads=options.threads,
        memory=memory_limit(options.limits.memory, len(options.devices)),
        limits=options.limits,
        folder=os.fsencode(os.getcwd()),
    )


def expect(channel: Channel, kind: type[T], name: str, limit: int = MAX_MESSAGE) -> T:
    """Returns the worker's answer, of the kind that was asked for.

    Raises:
        OnnxattrError: The worker refuses, or answers something else.
    """
    answer = channel.receive(kind | Refusal, limit)
    if isinstance(answer, Refusal):
        raise error_of(answer, name)
    assert isinstance(answer, kind)
    return answer


def failure_of(name: str, error: Exception) -> Failure:
    """Returns why a model is left out; whatever it breaks must not cost the others their result."""
    if isinstance(error, OnnxattrError):
        return Failure(name, error.message, error.hint)
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Failure(name, reason, "this is a bug in onnxattr, or memory ran out")


class Examiner:
    """Has models examined on one set of probes.

    Args:
        probes: The probes.
        options: What decides the maps.
        store: Where finished maps are kept, or None.
        models: How many there will be: their maps share half of the memory that workers have.
    """

    def __init__(
        self, probes: Probes, options: Options, store: Store | None, models: int = 1
    ) -> None:
        self._probes, self._options, self._store = probes, options, store
        self._black_box = options.methods[0].entry.kind == OUTPUTS
        self._parts = parts_of(options.measures)
        self._hashes = [hash_values(value) for value in probes.values]
        self._share = min(MAX_MAPS, memory_limit(None, 2 * models))
        #: Why the store could not be written, once.
        self.store_error: StoreError | None = None

    def examine(
        self,
        name: str,
        source: Source,
        channel: Channel,
        device: str,
        workers: "Workers[Examined]",
        advance: "Any" = lambda count: None,
    ) -> Examined:
        """Returns the maps of one model; runs in the thread of a worker.

        Args:
            name: What the model is called.
            source: Where it is.
            channel: To the worker.
            device: As the user asked for it.
            workers: Told that torch is needed.
            advance: Called with the number of probes done, in this thread.

        Raises:
            OnnxattrError: The model cannot be used.
        """
        options, place = self._options, place_of(self._options, device)
        kind, inner = self._probes.kind, self._probes.values.shape[1:]
        most = max(method.entry.background for method in options.methods)
        channel.send(
            Examine(
                place=place,
                source=source,
                at=options.at,
                input=options.input,
                methods=options.methods,
                reduction=options.reduced,
                seed=options.seed,
                background=pack(self._background(most)) if most else None,
                precision=options.precision,
                compile=options.compile,
                batch_size=options.batch_size,
                kind=kind,
                shape=() if kind == IMAGE else inner,
                units=self._parts,
            )
        )
        found = expect(channel, Described, name)
        digest = hash_source(source, options.limits)
        require_sense(found, digest, name, self._probes)
        methods = options.methods
        shape = (len(methods), len(self._hashes), *found.spec.map_shape)
        if 4 * int(np.prod(shape, dtype=object)) > self._share:
            raise LimitError(
                f"its {shape[0] * shape[1]} maps of {'×'.join(map(str, shape[2:]))} would take "
                f"more than {self._share / 2**30:.3g} GiB",
                hint="take fewer probes or models, or a --size where the model leaves it free",
                model=name,
            )
        keys = [self._key(name, found, digest, method) for method in methods]
        values = np.empty(shape, np.float32)
        facts: list[Mapping[str, Any]] = []
        lacking = [self._take_stored(key, values[i], facts) for i, (key, _) in enumerate(keys)]
        # What one method lacks is made by all: they share their passes.
        missing = sorted(set().union(*lacking))
        rows = self._units(name, found, digest)
        # Probes whose maps are stored, and whose units are not.
        rest = sorted({i for each, *_ in rows for i in each.missing} - set(missing))
        advance(shape[1] - len(missing))
        stored = not missing and not rest
        seconds: dict[str, float] = {}
        if not stored:
            workers.warm()
        checked = any(fact["gradient"] for fact in facts)
        for chunk in self._chunks(missing, found):
            wanted = (len(methods), len(chunk), *shape[2:])
            answer = self._ask(channel, name, chunk, wanted, check=not checked)
            checked = True
            maps: Float32 = unpack(answer.maps, np.float32, wanted)
            values[:, chunk] = maps
            facts.append(_facts(answer))
            for part, spent in answer.seconds.items():
                seconds[part] = seconds.get(part, 0.0) + spent
            hashes = tuple(self._hashes[i] for i in chunk)
            for made, (key, about) in zip(maps, keys, strict=True):
                self._keep(key, Block(made, hashes, facts[-1]), about)
            self._take(rows, answer.units, chunk, name)
            advance(len(chunk))
        while rest := sorted({i for each, *_ in rows for i in each.missing}):
            chunk = rest[:CHUNK]
            seen = self._observe(channel, name, chunk)
            self._take(rows, seen.units, chunk, name)
            for part, spent in seen.seconds.items():
                seconds[part] = seconds.get(part, 0.0) + spent
        channel.send(End())
        outcome = self._outcome(name, source, found, values, facts, stored, seconds)
        kept = {each.part: made for each, *_ in rows if (made := each.values()) is not None}
        return dataclasses.replace(
            outcome,
            units=kept,
            lacking={each.part: each.lacking for each, *_ in rows if each.lacking},
            notes=tuple(note for each, *_ in rows for note in pooled(each)),
        )

    def _units(
        self, name: str, found: Described, digest: str
    ) -> list[tuple[UnitRows, str, dict[str, Any]]]:
        """Returns what is stored of each part that is wanted and that there is, with its key."""
        made = []
        for part in self._parts:
            if part == OF_OUTPUTS and not found.outputs:
                continue
            known = {p: versions().get(p, "") for p in ("onnxattr", *_RUNTIMES)}
            key, about = key_of(name, found, digest, part, known)
            rows = UnitRows(part, self._hashes, self._share)
            rows.take_stored(self._blocks(key))
            made.append((rows, key, about))
        return made

    def _take(
        self,
        rows: Sequence[tuple[UnitRows, str, dict[str, Any]]],
        given: Mapping[str, Units],
        chunk: Sequence[int],
        name: str,
    ) -> None:
        """Takes units that a worker sent, and keeps those that the store lacks."""
        for each, key, about in rows:
            wanted = bool({*each.missing} & {*chunk})
            made = each.take(given.get(each.part), chunk, name) if wanted else None
            if made is not None and made.values is not None:
                hashes = tuple(self._hashes[i] for i in chunk)
                self._keep(key, Block(made.values, hashes, facts_of(made)), about)

    def _observe(self, channel: Channel, name: str, chunk: Sequence[int]) -> Observed:
        channel.send(Observe(pack(self._probes.values[chunk])))
        answer = expect(channel, Observed, name, MAX_MESSAGE + self._most(chunk))
        if not np.isfinite(list(answer.seconds.values())).all():
            raise WorkerError("its worker sent numbers that make no sense", model=name)
        return answer

    def _most(self, chunk: Sequence[int]) -> int:
        """Returns how many bytes of units a worker may send."""
        return len(self._parts) * min(4 * MOST * len(chunk), MAX_MAPS)

    def _chunks(self, missing: Sequence[int], found: Described) -> Iterator[list[int]]:
        if self._black_box:
            return _chunks(missing, 1, BLACK_BOX_CHUNK)
        batch = found.spec.batch or self._options.batch_size or BATCH
        return _chunks(missing, batch, CHUNK if found.device == "cpu" else GPU_CHUNK)

    def _ask(
        self, channel: Channel, name: str, chunk: Sequence[int], shape: tuple[int, ...], check: bool
    ) -> Attributed:
        channel.send(Attribute(pack(self._probes.values[chunk]), check))
        most = 4 * math.prod(shape) + MAX_MESSAGE + self._most(chunk)
        answer = expect(channel, Attributed, name, most)
        senseless = malformed(_facts(answer), black_box=self._black_box)
        if senseless or not np.isfinite(list(answer.seconds.values())).all():
            raise WorkerError("its worker sent numbers that make no sense", model=name)
        return answer

    def _background(self, count: int) -> np.ndarray[Any, Any]:
        """Returns the probes that methods compare others with: the same for all models."""
        return self._probes.values[:count]

    def _key(
        self, name: str, found: Described, digest: str, method: Method
    ) -> tuple[str, dict[str, Any]]:
        options, spec, entry = self._options, found.spec, method.entry
        parts = {
            # The second is our own: no worker can put maps under the name of another file.
            "model": found.sha256,
            "file": digest,
            "spec": {k: v for k, v in dataclasses.asdict(spec).items() if k != "sources"},
            "tensor": found.representation.value,
            "method": method.name,
            "method_options": dict(method.options),
            "reduction": str(options.reduced),
            "seed": options.seed if entry.draws or options.reduced.kind == "projection" else None,
            "background": hash_values(self._background(n)) if (n := entry.background) else None,
            "device": found.device.split(":")[0],
            "precision": options.precision,
            "compile": options.compile,
            "versions": {
                p: versions().get(p, "")
                for p in ("onnxattr", "torch", *(_RUNTIMES if self._black_box else ("onnx2torch",)))
            },
        }
        return make_key(parts), {"name": name, **parts}

    def _take_stored(self, key: str, values: Float32, facts: list[Mapping[str, Any]]) -> list[int]:
        """Fills in the maps that the store has; returns the places of the others."""
        wanted, rows = set(self._hashes), {}
        for block in self._blocks(key):
            if block.values.shape[1:] != values.shape[1:]:
                continue
            if malformed(block.facts, black_box=self._black_box):
                continue
            used = [(h, row) for row, h in enumerate(block.probes) if h in wanted]
            rows.update({h: block.values[row] for h, row in used})
            facts += [block.facts] if used else []
        for i, probe in enumerate(self._hashes):
            if probe in rows:
                values[i] = rows[probe]
        return [i for i, probe in enumerate(self._hashes) if probe not in rows]

    def _blocks(self, key: str) -> list[Block]:
        try:
            return self._store.blocks(key) if self._store else []
        except StoreError as error:
            self.store_error = error
            return []

    def _keep(self, key: str, block: Block, about: Mapping[str, Any]) -> None:
        if self._store is None or self.store_error is not None:
            return
        try:
            self._store.put(key, block, about)
        except StoreError as error:
            self.store_error = error

    def _outcome(
        self,
        name: str,
        source: Source,
        found: Described,
        values: Float32,
        facts: Sequence[Mapping[str, Any]],
        stored: bool,
        seconds: Mapping[str, float],
    ) -> Examined:
        flat = values.reshape(*values.shape[:2], -1)
        if not (np.isfinite(flat).all(axis=2) & (flat != 0).any(axis=2)).any(axis=1).all():
            raise self._unusable(name, found)
        checks = [fact["gradient"] for fact in facts if fact["gradient"]]
        worst = max(checks, key=lambda check: check["error"], default=None)
        batch = min(fact["batch"] for fact in facts)
        summary = Summary(
            name=name,
            path=os.fsdecode(source.path) if source.path is not None else "",
            sha256=found.sha256,
            origin=found.origin,
            opset=found.opset,
            parameters=found.parameters,
            spec=found.spec,
            representation=found.representation,
            parity=None
            if self._black_box
            else Parity(
                error=max(fact["parity"] for fact in facts),
                tolerance=max(fact["tolerance"] for fact in facts),
                probes=values.shape[1],
            ),
            gradient=GradientCheck(**worst) if worst else None,
            batch=batch,
            unusable=0,
        )
        maps = Maps(
            values=values[0] if len(values) == 1 else values,
            probes=self._probes.names,
            method=",".join(map(str, self._options.methods)),
            model=name,
            batch=batch,
            device=found.device,
            settings={k: v for fact in facts for k, v in fact.get("settings", {}).items()},
            kind=self._probes.kind,
            signed=tuple(self._signed(method) for method in self._options.methods),
        )
        return Examined(summary, maps, stored, seconds)

    def _signed(self, method: Method) -> bool:
        # Maps of several projections are their root mean square.
        reduction = self._options.reduced
        return method.entry.signed and not (reduction.kind == "projection" and reduction.number > 1)

    def _unusable(self, name: str, found: Described) -> SupportError:
        value = found.representation.value
        if self._black_box:
            what = f"the sum of the units of `{value}` does not depend on the probes"
            hint = "choose another tensor with --at, such as that before a softmax"
        else:
            what = f"`{value}` does not depend on the probes in a differentiable way"
            hint = (
                "choose another tensor with --at, or check --range; where a gradient is what is "
                "missing, `--method occlusion` needs none"
            )
        return SupportError(
            f"all of its maps are zero or not finite: {what}", hint=hint, model=name
        )


def _chunks(missing: Sequence[int], batch: int, least: int) -> Iterator[list[int]]:
    """Yields `missing` in runs of whole batches, `least` or more at a time."""
    size = -(-least // batch) * batch
    for start in range(0, len(missing), size):
        yield list(missing[start : start + size])


def _facts(answer: Attributed) -> dict[str, Any]:
    check = answer.gradient
    return {
        "batch": answer.batch,
        "parity": answer.parity,
        "tolerance": answer.tolerance,
        "gradient": {"error": check.error, "tolerance": check.tolerance, "probes": check.probes}
        if check
        else None,
        "settings": {
            clean(key, MAX_TEXT): clean(value, MAX_TEXT) if isinstance(value, str) else value
            for key, value in answer.settings.items()
        },
    }


def versions() -> dict[str, str]:
    """Returns the versions of what decides the numbers."""
    packages = ("numpy", "onnx", "onnx2torch", *_RUNTIMES, "torch")
    found = {p: _version(p) for p in packages}
    return {"onnxattr": __version__, **{p: v for p, v in found.items() if v}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # One of ONNX Runtime's two packages is always absent.
        return ""


def open_store(given: str | Path | None) -> Store | None:
    """Returns the store that `Options.store` means.

    Raises:
        StoreError: It is there and cannot be read.
    """
    if given is None:
        return None
    if given == "default":
        from onnxattr.store import default_root

        return Store(default_root())
    return Store(Path(given))
