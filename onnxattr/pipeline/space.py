"""Brings models onto one set of probes, each examined in a worker process."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.attribution.entries import OUTPUTS
from onnxattr.attribution.units import STEPS
from onnxattr.errors import ProbeError, RankingError, UsageError, WorkerError
from onnxattr.execution.channel import Channel
from onnxattr.execution.local import Job, Workers
from onnxattr.graph.options import DEFAULT_AT
from onnxattr.pipeline import job
from onnxattr.pipeline.job import Examiner, failure_of, place_of
from onnxattr.pipeline.measures import compare_by
from onnxattr.pipeline.messages import DTYPES, Decode, Decoded, Hello, Ready, Source, unpack
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress
from onnxattr.pipeline.outcome import Examined
from onnxattr.pipeline.probe_warnings import FEW_PROBES, probe_warnings
from onnxattr.pipeline.units import parts_of
from onnxattr.probes import hash_values
from onnxattr.registry import closest
from onnxattr.space import ranking
from onnxattr.space.measures.table import FIELD
from onnxattr.space.similarity import similarity
from onnxattr.store import Store
from onnxattr.types import (
    ASSUMED,
    IMAGE,
    TOKENS,
    Failure,
    Maps,
    Pairs,
    Probes,
    Similarity,
    Summary,
)

#: One or several image files and directories, one file of arrays, a loaded set, or None for the
#: built-in one.
ProbeSource = str | Path | Sequence[str | Path] | Probes | None

#: Bytes of all probes, which this process holds.
MAX_PROBES = 2**32


class Compare(Protocol):
    """Returns the similarities of maps, as `similarity` does."""

    def __call__(
        self, maps: Sequence[Float32], names: Sequence[str], *, centred: bool, images: bool
    ) -> Similarity:
        """See `similarity`."""


@dataclass(frozen=True)
class ModelSpace:
    """The usable models on one set of probes, and what was left out."""

    probes: Probes
    examined: Sequence[Examined]
    summaries: tuple[Summary, ...]
    similarity: Similarity | None
    measures: tuple[Pairs, ...]
    failures: list[Failure]
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]
    stored: tuple[str, ...]
    unfinished: tuple[str, ...]
    notes: tuple[str, ...]


def build_space(
    sources: Mapping[str, Source],
    failures: list[Failure],
    given: ProbeSource,
    options: Options,
    progress: Progress,
    stop: threading.Event | None = None,
    target: str | None = None,
    *,
    compare: Compare = similarity,
) -> ModelSpace:
    """Returns the models of `sources` that can be used, with their similarities.

    Args:
        sources: Models by name.
        failures: What is left out already; what is left out here is added.
        given: As for `rank`.
        options: What decides the numbers.
        progress: Told of what is going on.
        stop: Ends the work when it is set; what is finished is compared.
        target: The one model to which directed measures are wanted; None for all.
        compare: Makes the similarities of the maps.

    Raises:
        UsageError: An option is wrong, or there is one probe only to centre.
        ProbeError: There are no usable probes.
        DeviceError: The device is not there.
        StoreError: The store cannot be read.
    """
    if len(options.methods) > 1:
        raise UsageError(
            f"`{options.method}` are {len(options.methods)} methods, and one compares models",
            hint="`onnxattr attribute` takes several",
        )

    def leave_out(failure: Failure) -> None:
        failures.append(failure)
        progress.failed(failure)

    store = job.open_store(options.store)
    stop = stop or threading.Event()
    devices, probes = prepare(given, options, stop)
    for failure in probes.failures:
        leave_out(failure)
    if options.wants_maps and len(probes.values) < 2 and not options.paper:
        raise UsageError(
            "centred maps need at least two probes, and there is one",
            hint="give more probes, or --paper for maps that are not centred",
        )
    chosen = ", ".join(devices)
    auto = " (auto)" if options.device == "auto" else ""
    progress.begin(len(sources), len(probes.values), chosen + auto)
    examiner = Examiner(probes, options, store, len(sources))
    outcomes, unfinished = examine_all(sources, examiner, options, progress, stop, leave_out)
    usable = [outcomes[name] for name in sources if name in outcomes]
    compared = None
    if options.wants_maps:
        compared = _compare_maps(usable, probes, options, compare)
        lost = {
            each.summary.name
            for each, count in zip(usable, compared.unusable, strict=True)
            if count == len(probes.values)
        }
        for name in sorted(lost):
            leave_out(Failure(name, "its maps are the same on every probe", ""))
        if lost:
            usable = [each for each in usable if each.summary.name not in lost]
            compared = _compare_maps(usable, probes, options, compare)
    seconds: dict[str, float] = {}
    for each in usable:
        for part, spent in each.seconds.items():
            seconds[part] = seconds.get(part, 0.0) + spent
    wanted = [i for i, each in enumerate(usable) if each.summary.name == target]
    started = time.perf_counter()
    measures, said = compare_by(
        options.measures,
        usable,
        compared,
        len(probes.values),
        None if target is None else wanted,
    )
    if options.measures != (ATTRIBUTION,):
        seconds["measures"] = time.perf_counter() - started
    said += tuple(f"{each.summary.name}: {note}" for each in usable for note in each.notes)
    return ModelSpace(
        probes=probes,
        examined=usable,
        summaries=tuple(
            dataclasses.replace(each.summary, unusable=count)
            for each, count in zip(
                usable, compared.unusable if compared else [0] * len(usable), strict=True
            )
        ),
        similarity=compared,
        measures=measures,
        failures=failures,
        settings=settings_of(options, probes, chosen),
        seconds=seconds,
        stored=tuple(each.summary.name for each in usable if each.stored),
        unfinished=tuple(unfinished),
        notes=(*store_notes(store, examiner), *device_notes(usable, devices, options), *said),
    )


def examine_all(
    sources: Mapping[str, Source],
    examiner: Examiner,
    options: Options,
    progress: Progress,
    stop: threading.Event,
    leave_out: Callable[[Failure], None],
    takes: Callable[[str, Exception], bool] = lambda name, error: False,
) -> tuple[dict[str, Examined], list[str]]:
    """Returns the models that can be used, by name, and those that were not reached in time.

    Args:
        sources: Models by name.
        examiner: Has them examined.
        options: What decides the maps.
        progress: Told of what is going on.
        stop: Ends the work when it is set.
        leave_out: Told of models that cannot be used.
        takes: Told of them, and why, before; it may take care of one itself.
    """
    workers = _workers(options, stop)

    def make(name: str, source: Source) -> Job[Examined]:
        def advance(count: int) -> None:
            workers.post(lambda: progress.advance(count))

        def examine(channel: Channel, device: str) -> Examined:
            workers.post(lambda: progress.model(name))
            return examiner.examine(name, source, channel, device, workers, advance)

        return examine

    names, outcomes = list(sources), {}
    done = set()
    for number, outcome in workers.run([make(name, sources[name]) for name in names]):
        done.add(names[number])
        if isinstance(outcome, Exception):
            if not takes(names[number], outcome):
                leave_out(failure_of(names[number], outcome))
        else:
            outcomes[names[number]] = outcome
    return outcomes, [name for name in names if name not in done]


def attribute_one(source: Source, given: ProbeSource, options: Options) -> Maps:
    """Returns the maps of one model.

    Raises:
        OnnxattrError: The model, one of the probes or the options cannot be used.
    """
    options = dataclasses.replace(options, measure=ATTRIBUTION)  # Of maps, none compares any.
    stop = threading.Event()
    _, probes = prepare(given, options, stop)
    if probes.failures and not isinstance(given, Probes):
        raise ProbeError(probes.failures[0].message, hint=probes.failures[0].hint)
    examiner = Examiner(probes, options, job.open_store(options.store))
    workers = _workers(options, stop)

    def examine(channel: Channel, device: str) -> Examined:
        return examiner.examine(source.name, source, channel, device, workers)

    ((_, outcome),) = workers.run([examine])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.maps


def _workers(options: Options, stop: threading.Event) -> Workers[Examined]:
    return Workers(
        job.SERVE,
        options.devices,
        memory=place_of(options).memory,
        seconds=options.limits.seconds,
        preload=job.HEAVY,
        stop=stop,
    )


def prepare(
    given: ProbeSource, options: Options, stop: threading.Event
) -> tuple[list[str], Probes]:
    """Returns the devices that were chosen, each once, and the probes that `given` means.

    Raises:
        ProbeError: Not one probe can be read.
        DeviceError: A device is not there.
        UsageError: That is no device's name.
    """

    def ask(channel: Channel, _: str) -> tuple[list[str], Probes]:
        devices = []
        for device in dict.fromkeys(options.devices):  # Each may stand for several workers.
            channel.send(Hello(place_of(options, device)))
            devices.append(job.expect(channel, Ready, "").device)
        if isinstance(given, Probes):
            _require_type(given)
            return devices, _first(given, options.limit)
        sources = [given] if isinstance(given, str | Path) else given
        paths = None if sources is None else tuple(os.fsencode(s) for s in sources)
        channel.send(Decode(place_of(options), paths, options.limit, options.input.name))
        return devices, _decoded(job.expect(channel, Decoded, "", MAX_PROBES))

    workers: Workers[tuple[list[str], Probes]] = Workers(
        job.SERVE,
        ["cpu"],
        memory=place_of(options).memory,
        seconds=options.limits.seconds,
        stop=stop,
    )
    for _, outcome in workers.run([ask]):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
    raise RankingError("interrupted before the probes were read")


def _decoded(answer: Decoded) -> Probes:
    if answer.kind not in DTYPES:
        raise WorkerError("its worker sent probes of a kind that there is not")
    inner = (-1, -1, 3) if answer.kind == IMAGE else (-1,) * (len(answer.values.shape) - 1)
    values = unpack(answer.values, DTYPES[answer.kind], (len(answer.names), *inner))
    return Probes(
        values, answer.names, hash_values(values), answer.source, answer.failures, answer.kind
    )


def _compare_maps(
    usable: Sequence[Examined], probes: Probes, options: Options, compare: Compare
) -> Similarity:
    names = [each.summary.name for each in usable]
    return compare(
        [each.maps.values for each in usable],
        names,
        centred=not options.paper,
        images=probes.kind == IMAGE,
    )


def store_notes(store: Store | None, examiner: Examiner) -> tuple[str, ...]:
    """Says what the store could not read or write."""
    notes = [f"{line}; its maps are computed again" for line in store.damaged] if store else []
    if examiner.store_error is not None:
        notes.append(f"{examiner.store_error.message}: new maps are not kept")
    return tuple(notes)


def device_notes(
    usable: Sequence[Examined], devices: Sequence[str], options: Options
) -> tuple[str, ...]:
    """Says where ONNX Runtime, which alone makes black-box maps, computes on another device."""
    places = {each.made.device for each in usable if each.made} - set(devices)
    if options.methods[0].entry.kind != OUTPUTS or not places:
        return ()
    asked, place = ", ".join(devices), ", ".join(sorted(places))
    return (f"ONNX Runtime cannot compute on {asked} here: the maps were made on the {place}",)


def _require_type(given: Probes) -> None:
    wanted = DTYPES.get(given.kind)
    if wanted is None:
        raise UsageError(
            f"there are no probes of the kind `{given.kind}`", hint=closest(given.kind, DTYPES)
        )
    if given.values.dtype != wanted:
        raise UsageError(
            f"probes of the kind `{given.kind}` are {np.dtype(wanted).name}, and not "
            f"{given.values.dtype}"
        )


def _first(given: Probes, limit: int | None) -> Probes:
    """Returns the first `limit` of loaded probes."""
    if limit is None or limit >= len(given.values):
        return given
    values = given.values[:limit]
    digest = hash_values(values)
    return dataclasses.replace(given, values=values, names=given.names[:limit], sha256=digest)


def settings_of(options: Options, probes: Probes, device: str) -> dict[str, Any]:
    """Returns everything that decides the numbers, in JSON's types."""
    given = {k: v for k, v in dataclasses.asdict(options.input).items() if v is not None}
    maps = options.wants_maps
    return {
        "measures": list(options.measures),
        "method": ",".join(method.name for method in options.methods) if maps else None,
        "method_options": dict(options.methods[0].options) if maps else {},
        "field_steps": STEPS if FIELD in parts_of(options.measures) else None,
        "reduction": str(options.reduced),
        "precision": options.precision,
        "at": options.at or DEFAULT_AT,
        "centred": not options.paper if maps else None,
        "device": device,
        "seed": options.seed,
        "resamples": ranking.RESAMPLES,
        "confidence": ranking.CONFIDENCE,
        "input": given,
        "probes": {
            "source": probes.source,
            "kind": probes.kind,
            "count": len(probes.values),
            "sha256": probes.sha256,
        },
    }


def warnings_of(space: ModelSpace, options: Options, what: str = "ranking") -> tuple[str, ...]:
    """Returns what a reader of the result must know, a line each."""
    lines: list[str] = list(space.notes)
    summaries, compared = space.summaries, space.similarity
    if space.unfinished:
        lines.append(partial(what, space.unfinished, options))
    lines += model_warnings(summaries)
    if (count := len(space.probes.values)) < FEW_PROBES:
        noun = "1 probe is" if count == 1 else f"{count} probes are"
        lines.append(f"{noun} too few for intervals and ties to be trusted")
    lines += probe_warnings(space.probes)
    for summary in summaries:
        if summary.unusable:
            total = len(space.probes.values)
            lines.append(
                f"{summary.name}: {summary.unusable} of {total} maps are zero or not finite, "
                "and left out"
            )
    if compared is None:
        return tuple(lines)
    lines += [
        f"{one} and {two} have no similarity: they share no probe with a usable map"
        for one, two in _pairs(compared, np.isnan(compared.matrix))
    ]
    if options.paper:
        lines += [
            f"the paper's distance N / Σ cos is not defined for {one} and {two}: "
            "their mean cosine is not positive"
            for one, two in _pairs(compared, compared.matrix <= 0)
        ]
    return tuple(lines)


def partial(what: str, unfinished: Sequence[str], options: Options) -> str:
    """Returns what is to be said of a result that was interrupted."""
    again = "; the next run goes on from what is stored" if options.store else ""
    noun = "1 model was" if len(unfinished) == 1 else f"{len(unfinished)} models were"
    return f"the {what} is partial: {noun} not finished before the interruption{again}"


def model_warnings(summaries: Sequence[Summary]) -> list[str]:
    """Returns what is doubtful of single models, a line each."""
    lines = []
    for part, meaning in (("range", "input range [0, 1]"), ("size", "input size of 224×224")):
        assumed = [s.name for s in summaries if s.spec.sources.get(part, "").startswith(ASSUMED)]
        if assumed:
            everyone = "all models" if len(assumed) == len(summaries) else ", ".join(assumed)
            lines.append(f"{meaning} is assumed for {everyone}; --{part} says otherwise")
    lines += [
        f"{summary.name}: {free}, in the inputs that are fed a number"
        for summary in summaries
        if (free := summary.spec.sources.get("inputs", "").partition("; ")[2])
    ]
    lines += [
        f"{summary.name}: its gradient could not be checked by finite differences"
        for summary in summaries
        if summary.spec.kind == TOKENS and summary.gradient is None
    ]
    return lines


def _pairs(compared: Similarity, chosen: np.ndarray[Any, Any]) -> list[tuple[str, str]]:
    """Returns the names of the pairs of models that are `chosen`, [model, model], each once."""
    rows, columns = np.nonzero(np.triu(chosen, k=1))
    return [(compared.names[i], compared.names[j]) for i, j in zip(rows, columns, strict=True)]
