"""Maps of many models on one set of probes, by one method or several."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.errors import RankingError
from onnxattr.graph.find import find_models
from onnxattr.pipeline.adapters import is_source
from onnxattr.pipeline.export import sources_of
from onnxattr.pipeline.job import Examiner, open_store, versions
from onnxattr.pipeline.options import Options, Progress, Silent
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
from onnxattr.types import Attributions, Failure, Maps, Probes, Summary

#: Settings of a ranking that have no part in maps; methods are told one by one.
_OF_RANKINGS = ("method", "method_options", "centred", "resamples", "confidence")


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
    cannot be used is left out, with the reason in `Attributions.failures`.

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
        outcomes, unfinished = examine_all(sources, examiner, options, progress, stop, leave_out)
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
        dataclasses.replace(one.summary, path=str(found[one.summary.name]), unusable=max(counts))
        for one, counts in zip(usable, lost, strict=True)
    )
    seconds: dict[str, float] = {}
    for one in usable:
        for part, spent in one.seconds.items():
            seconds[part] = seconds.get(part, 0.0) + spent
    notes = (*store_notes(store, examiner), *device_notes(usable, devices, options))
    return Attributions(
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
