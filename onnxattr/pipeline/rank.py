"""Maps of one model, similarity of two, a ranking of many."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxattr.errors import RankingError, UsageError
from onnxattr.graph.find import find_models
from onnxattr.pipeline.adapters import is_source
from onnxattr.pipeline.assumptions import check_assumptions, lines
from onnxattr.pipeline.export import sources_of
from onnxattr.pipeline.figures import extremes, gallery_of, layout_of
from onnxattr.pipeline.job import open_store, versions
from onnxattr.pipeline.messages import Source, printable, source_of
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress, Silent
from onnxattr.pipeline.space import ModelSpace, ProbeSource, attribute_one, build_space, warnings_of
from onnxattr.registry import closest
from onnxattr.space import ranking, stability
from onnxattr.types import Assumption, Comparison, Maps, Model, ProbeCosine, Ranking

#: Measures where a target is named and none of them is.
OF_TARGET = f"{ATTRIBUTION},predictability"

if TYPE_CHECKING:
    import onnx

    ModelSource = str | Path | bytes | onnx.ModelProto


def attribute(
    model: ModelSource | Model,
    *,
    probes: ProbeSource = None,
    options: Options | None = None,
) -> Maps:
    """Returns the attribution maps of one model, raw, at its own input size.

    Args:
        model: A path, the bytes of an ONNX file, a parsed model, or what `load` returned.
        probes: One or several image files and directories, one file of arrays, what `load_probes`
            returned, or None for the built-in images.
        options: What decides the maps.

    Raises:
        OnnxattrError: The model, one of the probes or the options cannot be used; see `errors`.

    Example:
        >>> import onnxattr
        >>> maps = onnxattr.attribute("samples/models/edge2d-torch.onnx")
        >>> maps.values.shape
        (64, 64, 64)
    """
    return attribute_one(_source(model), probes, options or Options())


def rank(
    models: str | Path | Sequence[str | Path],
    *,
    target: str | None = None,
    probes: ProbeSource = None,
    options: Options | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Ranking:
    """Returns, for each model or for one target, the other models as sources, closest first.

    A model that cannot be used is left out, with the reason in `Ranking.failures`.

    Args:
        models: One or several files, directories or glob patterns.
        target: Name or path of one of the models; None ranks the sources of every model. Where one
            is named and no measure is, `predictability` stands beside `attribution`.
        probes: One or several image files and directories, one file of arrays, what `load_probes`
            returned, or None for the built-in images.
        options: What decides the numbers.
        progress: Told of what is going on.
        stop: Ends the work when another thread or a signal handler sets it; what is finished is
            ranked, and `Ranking.unfinished` says what is not.

    Raises:
        RankingError: Fewer than two models, or not the target, are left.
        UsageError: An option or the target is wrong.
        ProbeError: There are no usable probes.
        DeviceError: The device is not there.

    Example:
        >>> import onnxattr
        >>> options = onnxattr.Options(limit=8)
        >>> result = onnxattr.rank(["samples/models/rgb2*.onnx"], options=options)
        >>> [len(target.sources) for target in result.targets]
        [3, 3, 3, 3]
    """
    options, progress = options or Options(), progress or Silent()
    started = time.perf_counter()
    found, failures = find_models(models, is_source)
    for failure in failures:
        progress.failed(failure)
    if not found:
        raise RankingError("there are no models to rank", failures=failures)
    name = _resolve(target, found) if target is not None else None
    if name is not None and options.measure is None:
        options = dataclasses.replace(options, measure=OF_TARGET)
    with sources_of(found, failures, options, progress, stop) as sources:
        built = build_space(sources, failures, probes, options, progress, stop, name)
        space = _named(built, found)
        names = [s.name for s in space.summaries]
        if name is not None and name not in names:
            reason = next((f.message for f in space.failures if f.name == name), "it is left out")
            raise RankingError(
                f"the target `{name}` cannot be used: {reason}", failures=space.failures
            )
        if len(names) < 2:
            done = "finished before the interruption" if space.unfinished else "usable"
            raise RankingError(
                f"{len(names)} of {len(found)} models {done}, and a ranking needs two",
                hint=_advice(space, len(names)),
                failures=space.failures,
            )
        _require_measure(space)
        hashes = [s.sha256 for s in space.summaries]
        wanted = [names.index(name)] if name is not None else list(range(len(names)))
        targets = tuple(
            ranking.rank_by(
                space.measures,
                space.similarity,
                i,
                seed=options.seed,
                hashes=hashes,
                probabilities=name is not None,
            )
            for i in wanted
        )
        checked: tuple[Assumption, ...] = ()
        if options.check_assumptions and not space.unfinished:
            store = open_store(options.store)
            by_maps = [ranking.rank_sources(space.similarity, i, seed=options.seed) for i in wanted]
            checked = check_assumptions(
                space, by_maps, sources, options, store, progress, stop or threading.Event()
            )
    return Ranking(
        targets=targets,
        models=space.summaries,
        failures=tuple(space.failures),
        similarity=space.similarity,
        warnings=(*warnings_of(space, options), *lines(checked)),
        settings={**space.settings, "target": name},
        versions=versions(),
        unfinished=space.unfinished,
        stored=space.stored,
        seconds={"total": time.perf_counter() - started, **space.seconds},
        assumptions=checked,
        measures=space.measures,
        stability=(
            *stability.by_probes(space.measures[0], wanted, seed=options.seed),
            *stability.by_measures(space.measures, wanted),
        ),
        layout=layout_of(space.similarity),
        gallery=gallery_of([each.maps for each in space.examined], space.probes),
    )


def compare(
    first: str | Path,
    second: str | Path,
    *,
    probes: ProbeSource = None,
    options: Options | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Comparison:
    """Returns how alike two models are, and on which probes they agree and differ most.

    Args:
        first: A model file.
        second: Another.
        probes: As for `rank`.
        options: What decides the numbers.
        progress: Told of what is going on.
        stop: Ends the work when it is set.

    Raises:
        RankingError: One of the two cannot be used.
        OnnxattrError: As for `rank`.

    Example:
        >>> import onnxattr
        >>> folder = "samples/models"
        >>> result = onnxattr.compare(f"{folder}/edge2d-torch.onnx", f"{folder}/denoise-keras.onnx")
        >>> result.low <= result.similarity <= result.high
        True
    """
    options, progress = options or Options(), progress or Silent()
    started = time.perf_counter()
    for path in (Path(first), Path(second)):
        if path.is_dir() and not is_source(str(path)):
            raise UsageError(f"`{path}` is a directory", hint="a comparison takes two model files")
    found, failures = find_models([first, second], is_source)
    if len(found) < 2 or failures:
        raise UsageError(
            f"`{first}` and `{second}` are not two files", hint="a comparison takes two model files"
        )
    with sources_of(found, failures, options, progress, stop) as sources:
        space = _named(build_space(sources, failures, probes, options, progress, stop), found)
    if len(space.summaries) < 2:
        done = "finished before the interruption" if space.unfinished else "usable"
        raise RankingError(
            f"{len(space.summaries)} of 2 models {done}, and a comparison needs both",
            failures=space.failures,
        )
    _require_measure(space)
    one, two = space.summaries
    rows = ranking.rank_sources(
        space.similarity, 0, seed=options.seed, hashes=[one.sha256, two.sha256]
    ).sources
    if not rows:
        raise RankingError("there is no probe on which both models have a usable map")
    cosines, names = space.similarity.per_probe[0, 1], space.probes.names
    order = sorted(
        (i for i in range(len(cosines)) if not np.isnan(cosines[i])),
        key=lambda i: (-cosines[i], names[i]),
    )
    return Comparison(
        models=(one, two),
        similarity=rows[0].similarity,
        low=rows[0].low,
        high=rows[0].high,
        distance=rows[0].distance,
        duplicate=rows[0].duplicate,
        probes=tuple(ProbeCosine(names[i], float(cosines[i])) for i in order),
        failures=tuple(space.failures),
        warnings=warnings_of(space, options),
        settings=space.settings,
        versions=versions(),
        stored=space.stored,
        seconds={"total": time.perf_counter() - started, **space.seconds},
        measures=tuple(
            score
            for measure in space.measures
            for score in ranking.pair_scores(measure, seed=options.seed)
        ),
        gallery=gallery_of([each.maps for each in space.examined], space.probes, extremes(cosines)),
    )


def _require_measure(space: ModelSpace) -> None:
    """Makes sure that there is something to order the models by.

    Raises:
        RankingError: None of the measures can be had.
    """
    if not space.measures:
        asked = ", ".join(f"`{name}`" for name in space.settings["measures"])
        reasons = [line for line in space.notes if line.startswith("`")]
        raise RankingError(
            f"there is nothing to compare the models by: {asked} cannot be had",
            hint="; ".join(reasons),
            failures=space.failures,
        )


def _named(space: ModelSpace, found: Mapping[str, Path]) -> ModelSpace:
    """Returns `space` with the paths that the user named, whatever was exported from them."""
    summaries = tuple(dataclasses.replace(s, path=str(found[s.name])) for s in space.summaries)
    return dataclasses.replace(space, summaries=summaries)


def _advice(space: ModelSpace, usable: int) -> str:
    if space.unfinished:
        return ""
    return "give more models" if usable else "`onnxattr inspect` says more of each model"


def _resolve(target: str, found: Mapping[str, Path]) -> str:
    """Returns the name of the model that `target` names or is the path of."""
    if target in found:
        return target
    for name, path in found.items():
        if path.absolute() == Path(target).absolute():
            return name
    raise UsageError(f"the target `{target}` is not among the models", hint=closest(target, found))


def _source(model: ModelSource | Model) -> Source:
    """Returns what a worker is told of a model in any form."""
    if isinstance(model, str | Path):
        return source_of(Path(model).stem, model)
    if isinstance(model, Model):
        data = model.proto.SerializeToString()
        return Source(printable(model.name), data=data, sidecar=model.sidecar)
    data = model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
    return Source("model", data=data)
