"""Maps of many models on one set of probes, by one method or several."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.errors import RankingError, SupportError
from onnxattr.graph.find import find_models
from onnxattr.pipeline.adapters import is_source
from onnxattr.pipeline.export import sources_of
from onnxattr.pipeline.figures import gallery_of
from onnxattr.pipeline.job import Examined, Examiner, failure_of, open_store, versions
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress, Silent
from onnxattr.pipeline.space import (
    ProbeSource,
    device_notes,
    examine_all,
    model_warnings,
    partial,
    prepare,
    settings_of,
    store_notes,
)
from onnxattr.store import Store
from onnxattr.types import Attributions, Failure, Maps, Probes, Summary

#: Settings of a ranking that have no part in maps; methods are told one by one.
_OF_RANKINGS = ("measures", "method", "method_options", "centred", "resamples", "confidence")


def attribute_many(
    models: str | Path | Sequence[str | Path],
    *,
    probes: ProbeSource = None,
    options: Options | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Attributions:
    """Returns the maps of many models on the same probes, raw, each at its own input size.

    Several methods (`Options(method="saliency,grad-input")`) share their passes. A model that
    cannot be used is left out, with the reason in `Attributions.failures`; one that some of the
    methods refuse has maps by the others.

    Args:
        models: One or several files, directories or glob patterns.
        probes: One or several image files and directories, one file of arrays, what `load_probes`
            returned, or None for the built-in images.
        options: What decides the maps.
        progress: Told of what is going on.
        stop: Ends the work when another thread or a signal handler sets it; what is finished is
            returned, and `Attributions.unfinished` says what is not.

    Raises:
        RankingError: Not one model is left.
        UsageError: An option is wrong.
        ProbeError: There are no usable probes.
        DeviceError: The device is not there.

    Example:
        >>> import onnxattr
        >>> options = onnxattr.Options(method="saliency,grad-input", limit=4)
        >>> result = onnxattr.attribute_many("samples/models/edge2d-*.onnx", options=options)
        >>> [(maps.model, maps.dims, maps.values.shape) for maps in result.maps]
        [('edge2d-jax', ('method', 'probe', 'y', 'x'), (2, 4, 64, 64)), \
('edge2d-torch', ('method', 'probe', 'y', 'x'), (2, 4, 64, 64))]
    """
    options, progress = options or Options(), progress or Silent()
    options = replace(options, measure=ATTRIBUTION)  # Of maps, none compares any.
    stop = stop or threading.Event()
    started = time.perf_counter()
    store = open_store(options.store)
    found, failures = find_models(models, is_source)
    for failure in failures:
        progress.failed(failure)

    def leave_out(failure: Failure) -> None:
        failures.append(failure)
        progress.failed(failure)

    if not found:
        raise RankingError("there are no models to attribute", failures=failures)
    with sources_of(found, failures, options, progress, stop) as sources:
        devices, given = prepare(probes, options, stop)
        for failure in given.failures:
            leave_out(failure)
        chosen = ", ".join(devices)
        auto = " (auto)" if options.device == "auto" else ""
        progress.begin(len(sources), len(given.values), chosen + auto)
        examiner = Examiner(given, options, store, len(sources))
        refused: dict[str, Exception] = {}

        def takes(name: str, error: Exception) -> bool:
            if len(options.methods) > 1 and isinstance(error, SupportError):
                refused[name] = error
            return name in refused

        outcomes, unfinished = examine_all(
            sources, examiner, options, progress, stop, leave_out, takes
        )
        some = {name: sources[name] for name in refused}
        for name, found_by in _by_each(some, given, options, store, progress, stop).items():
            parts = [part for part in found_by.values() if isinstance(part, Examined)]
            if len(found_by) < len(options.methods):
                unfinished.append(name)
                continue
            if not parts:
                leave_out(failure_of(name, refused[name]))
                continue
            outcomes[name] = _together(parts)
            for method, error in found_by.items():
                if isinstance(error, Exception):
                    failure = failure_of(name, error)
                    leave_out(replace(failure, message=f"by `{method}`: {failure.message}"))
        usable = [outcomes[name] for name in sources if name in outcomes]
    if not usable:
        done = "finished before the interruption" if unfinished else "usable"
        raise RankingError(
            f"none of {len(found)} models is {done}" if len(found) > 1 else f"no model is {done}",
            hint="" if unfinished else "`onnxattr inspect` says more of each model",
            failures=failures,
        )
    lost = [_unusable(one.maps) for one in usable]
    summaries = tuple(
        replace(one.summary, path=str(found[one.summary.name]), unusable=max(counts))
        for one, counts in zip(usable, lost, strict=True)
    )
    seconds: dict[str, float] = {}
    for one in usable:
        for part, spent in one.seconds.items():
            seconds[part] = seconds.get(part, 0.0) + spent
    notes = (*store_notes(store, examiner), *device_notes(usable, devices, options))
    result = Attributions(
        models=summaries,
        maps=tuple(one.maps for one in usable),
        unusable=tuple(lost),
        probes=given,
        failures=tuple(failures),
        warnings=(*notes, *_warnings(summaries, len(given.values), unfinished, options)),
        settings=_settings(options, given, chosen),
        versions=versions(),
        unfinished=tuple(unfinished),
        stored=tuple(one.summary.name for one in usable if one.stored),
        seconds={"total": time.perf_counter() - started, **seconds},
    )
    galleries = (gallery_of(maps, given) for maps in result.by_method().values())
    return replace(result, galleries=tuple(one for one in galleries if one is not None))


def _by_each(
    sources: Mapping[str, Source],
    probes: Probes,
    options: Options,
    store: Store | None,
    progress: Progress,
    stop: threading.Event,
) -> dict[str, dict[str, Examined | Exception]]:
    """Returns, by model and method, what each method alone makes of models, or why it does not."""
    found: dict[str, dict[str, Examined | Exception]] = {name: {} for name in sources}
    for text in options.method.split(",") if sources else ():
        alone = replace(options, method=text)
        (method,) = alone.methods
        errors: dict[str, Exception] = {}

        def takes(name: str, error: Exception, errors: dict[str, Exception] = errors) -> bool:
            errors[name] = error
            return True

        examiner = Examiner(probes, alone, store, len(sources))
        made, _ = examine_all(sources, examiner, alone, progress, stop, lambda _: None, takes)
        for name in sources:
            outcome = made.get(name) or errors.get(name)
            if outcome is not None:  # And not interrupted.
                found[name][str(method)] = outcome
    return found


def _together(parts: Sequence[Examined]) -> Examined:
    """Returns one model's maps by several methods, each of which was made by itself."""
    if len(parts) == 1:
        return parts[0]
    maps = [part.maps for part in parts]
    worst = max(parts, key=lambda part: part.summary.parity.error if part.summary.parity else 0.0)
    seconds: dict[str, float] = {}
    for part in parts:
        for key, spent in part.seconds.items():
            seconds[key] = seconds.get(key, 0.0) + spent
    together = replace(
        maps[0],
        values=np.stack([one.values for one in maps]),
        method=",".join(one.method for one in maps),
        signed=tuple(one.signed[0] for one in maps),
    )
    return Examined(worst.summary, together, all(part.stored for part in parts), seconds)


def _unusable(maps: Maps) -> tuple[int, ...]:
    """Returns the number of maps that are zero or not finite, one a method."""
    counts = []
    for each in maps.by_method():
        flat = each.values.reshape(len(each.values), -1)
        usable = np.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1)
        counts.append(int(np.count_nonzero(~usable)))
    return tuple(counts)


def _warnings(
    summaries: Sequence[Summary], probes: int, unfinished: Sequence[str], options: Options
) -> list[str]:
    lines = [partial("result", unfinished, options)] if unfinished else []
    lines += model_warnings(summaries)
    return lines + [
        f"{summary.name}: {summary.unusable} of {probes} maps are zero or not finite"
        for summary in summaries
        if summary.unusable
    ]


def _settings(options: Options, probes: Probes, device: str) -> dict[str, Any]:
    every = settings_of(options, probes, device)
    return {
        "methods": [{"name": m.name, "options": dict(m.options)} for m in options.methods],
        **{key: value for key, value in every.items() if key not in _OF_RANKINGS},
        "compile": options.compile,
    }
