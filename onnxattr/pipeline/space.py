"""Brings models onto one set of probes: each is loaded, converted, checked and attributed."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr._version import __version__
from onnxattr.errors import OnnxattrError, SupportError, UsageError
from onnxattr.graph.load import load
from onnxattr.pipeline.options import Options, Progress
from onnxattr.probes import hash_images, load_probes
from onnxattr.space import ranking
from onnxattr.space.similarity import similarity
from onnxattr.types import ASSUMED, Failure, Maps, Model, Probes, Similarity, Summary

#: One or several image files and directories, a loaded set, or None for the built-in one.
ProbeSource = str | Path | Sequence[str | Path] | Probes | None

#: Fewer probes than these leave intervals that are far too narrow.
FEW_PROBES = 10


@dataclass(frozen=True)
class ModelSpace:
    """The usable models on one set of probes, and what was left out."""

    probes: Probes
    summaries: tuple[Summary, ...]
    similarity: Similarity
    failures: list[Failure]
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]


def build_space(
    found: Mapping[str, Path],
    failures: list[Failure],
    given: ProbeSource,
    options: Options,
    progress: Progress,
) -> ModelSpace:
    """Returns the models of `found` that can be used, with their similarities.

    Args:
        found: Model files by name.
        failures: What is left out already; what is left out here is added.
        given: As for `rank`.
        options: What decides the numbers.
        progress: Told of what is going on.

    Raises:
        UsageError: An option is wrong, or there is one probe only to centre.
        ProbeError: There are no usable probes.
        DeviceError: The device is not there.
    """
    from onnxattr.attribution import engine
    from onnxattr.convert.device import choose_device

    def leave_out(failure: Failure) -> None:
        failures.append(failure)
        progress.failed(failure)

    engine.METHODS[options.method]  # A wrong name is told before any work is done.
    device = choose_device(options.device)
    probes = probes_of(given, options.limit)
    for failure in probes.failures:
        leave_out(failure)
    if len(probes.images) < 2 and not options.paper:
        raise UsageError(
            "centred maps need at least two probes, and there is one",
            hint="give more probes, or --paper for maps that are not centred",
        )
    chosen = f"{device} (auto)" if options.device == "auto" else device
    progress.begin(len(found), len(probes.images), chosen)
    seconds: dict[str, float] = {}
    usable: list[tuple[Summary, Maps]] = []
    for name, path in found.items():
        progress.model(name)
        try:
            model = load(path, name=name)
            usable.append(examine(model, probes, options, device, progress, seconds))
        except Exception as error:
            leave_out(failure_of(name, error))
    compared = _compare_maps(usable, options)
    lost = {
        summary.name
        for (summary, _), count in zip(usable, compared.unusable, strict=True)
        if count == len(probes.images)
    }
    for name in sorted(lost):
        leave_out(Failure(name, "its maps are the same on every probe", ""))
    if lost:
        usable = [(summary, maps) for summary, maps in usable if summary.name not in lost]
        compared = _compare_maps(usable, options)
    return ModelSpace(
        probes=probes,
        summaries=tuple(
            dataclasses.replace(summary, unusable=count)
            for (summary, _), count in zip(usable, compared.unusable, strict=True)
        ),
        similarity=compared,
        failures=failures,
        settings=_settings(options, probes, device),
        seconds=seconds,
    )


def _compare_maps(usable: Sequence[tuple[Summary, Maps]], options: Options) -> Similarity:
    names = [summary.name for summary, _ in usable]
    return similarity([maps.values for _, maps in usable], names, centred=not options.paper)


def failure_of(name: str, error: Exception) -> Failure:
    """Returns why a model is left out; whatever it breaks must not cost the others their result."""
    if isinstance(error, OnnxattrError):
        return Failure(name, error.message, error.hint)
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Failure(name, reason, "this is a bug in onnxattr, or memory ran out")


def examine(
    model: Model,
    probes: Probes,
    options: Options,
    device: str,
    progress: Progress,
    seconds: dict[str, float],
) -> tuple[Summary, Maps]:
    """Returns the maps of one model, once it is converted and found right, and what to say of it.

    Raises:
        OnnxattrError: The model cannot be used, or all of its maps are zero or not finite.
    """
    from onnxattr.attribution import engine
    from onnxattr.convert.parity import check_parity
    from onnxattr.convert.torch import to_network

    with _timed(seconds, "convert"):
        network = to_network(model, at=options.at, options=options.input, device=device)
    # TF32, which torch allows convolutions by default, is coarser than the tolerance.
    with _timed(seconds, "parity"), engine.deterministic():
        parity = check_parity(network, probes)
    with _timed(seconds, "attribute"):
        maps = engine.attribute(
            network,
            probes,
            method=options.method,
            batch_size=options.batch_size,
            advance=progress.advance,
        )
    flat = maps.values.reshape(len(maps.values), -1)
    if not (np.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1)).any():
        raise SupportError(
            f"all of its maps are zero or not finite: `{network.representation.value}` does not "
            "depend on the probes in a differentiable way",
            hint="choose another tensor with --at, or check --range",
            model=model.name,
        )
    summary = Summary(
        name=model.name,
        path=str(model.path) if model.path else "",
        sha256=model.sha256,
        origin=model.origin,
        opset=model.opset,
        parameters=model.parameters,
        spec=network.spec,
        representation=network.representation,
        parity=parity,
        batch=maps.batch,
        unusable=0,
    )
    return summary, maps


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - started


def probes_of(given: ProbeSource, limit: int | None) -> Probes:
    """Returns the probes that `given` means, the first `limit` of them.

    Raises:
        ProbeError: Not one can be read.
    """
    if not isinstance(given, Probes):
        return load_probes(given, limit=limit)
    if limit is None or limit >= len(given.images):
        return given
    images = given.images[:limit]
    digest = hash_images(images)
    return dataclasses.replace(given, images=images, names=given.names[:limit], sha256=digest)


def _settings(options: Options, probes: Probes, device: str) -> dict[str, Any]:
    given = {k: v for k, v in dataclasses.asdict(options.input).items() if v is not None}
    return {
        "method": options.method,
        "at": options.at,
        "centred": not options.paper,
        "device": device,
        "seed": options.seed,
        "resamples": ranking.RESAMPLES,
        "confidence": ranking.CONFIDENCE,
        "input": given,
        "probes": {
            "source": probes.source,
            "count": len(probes.images),
            "sha256": probes.sha256,
        },
    }


def warnings_of(space: ModelSpace, options: Options) -> tuple[str, ...]:
    """Returns what a reader of the result must know, a line each."""
    lines: list[str] = []
    summaries, compared = space.summaries, space.similarity
    for part, meaning in (("range", "input range [0, 1]"), ("size", "input size of 224×224")):
        assumed = [s.name for s in summaries if s.spec.sources[part].startswith(ASSUMED)]
        if assumed:
            everyone = "all models" if len(assumed) == len(summaries) else ", ".join(assumed)
            lines.append(f"{meaning} is assumed for {everyone}; --{part} says otherwise")
    if (count := len(space.probes.images)) < FEW_PROBES:
        noun = "1 probe is" if count == 1 else f"{count} probes are"
        lines.append(f"{noun} too few for intervals and ties to be trusted")
    for summary in summaries:
        if summary.unusable:
            total = len(space.probes.images)
            lines.append(
                f"{summary.name}: {summary.unusable} of {total} maps are zero or not finite, "
                "and left out"
            )
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


def _pairs(compared: Similarity, chosen: np.ndarray[Any, Any]) -> list[tuple[str, str]]:
    """Returns the names of the pairs of models that are `chosen`, [model, model], each once."""
    rows, columns = np.nonzero(np.triu(chosen, k=1))
    return [(compared.names[i], compared.names[j]) for i, j in zip(rows, columns, strict=True)]


def versions() -> dict[str, str]:
    """Returns the versions of what decides the numbers."""
    packages = ("numpy", "onnx", "onnx2torch", "onnxruntime", "onnxruntime-gpu", "torch")
    found = {p: _version(p) for p in packages}
    return {"onnxattr": __version__, **{p: v for p, v in found.items() if v}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # One of ONNX Runtime's two packages is always absent.
        return ""
