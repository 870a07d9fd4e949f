"""Joins the layers: from files to rankings. The only module that may import most of them."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from onnxattr._version import __version__
from onnxattr.errors import (
    ModelInputError,
    OnnxattrError,
    RankingError,
    SupportError,
    UsageError,
)
from onnxattr.graph.find import find_models
from onnxattr.graph.inputs import InputOptions, describe, graph_inputs, image_input
from onnxattr.graph.load import load
from onnxattr.graph.outputs import representation
from onnxattr.probes import load_probes
from onnxattr.registry import closest
from onnxattr.space import ranking
from onnxattr.space.similarity import paper_distance, similarity
from onnxattr.types import (
    ASSUMED,
    Comparison,
    Failure,
    InputSpec,
    Inspection,
    Maps,
    Model,
    ProbeCosine,
    Probes,
    Ranking,
    Representation,
    Similarity,
    Summary,
    Survey,
    Target,
    Unsupported,
)

ModelSource = str | Path | bytes | onnx.ModelProto


class Progress(Protocol):
    """What a long computation tells while it runs; the default tells nothing."""

    def begin(self, models: int, probes: int, device: str) -> None:
        """Called once: how much there is to do, and on what."""

    def model(self, name: str) -> None:
        """Called when a model is taken up."""

    def advance(self, probes: int) -> None:
        """Called when so many more probes of it are done."""

    def failed(self, failure: Failure) -> None:
        """Called when a model, or a probe, is left out."""


class Silent:
    """A `Progress` that tells nothing."""

    def begin(self, models: int, probes: int, device: str) -> None:
        """Tells nothing."""

    def model(self, name: str) -> None:
        """Tells nothing."""

    def advance(self, probes: int) -> None:
        """Tells nothing."""

    def failed(self, failure: Failure) -> None:
        """Tells nothing."""


@dataclass(frozen=True)
class Options:
    """What decides the maps and the numbers made of them.

    Attributes:
        method: `saliency`, `grad-input` or `elrp`.
        at: The tensor that is attributed; see `graph.outputs.representation`.
        input: What the user says of the models' inputs; it holds for all of them.
        device: `auto`, `cpu`, `cuda[:n]` or `mps`.
        batch_size: Probes at a time; None for the default.
        limit: Number of probes; None for 64 of the built-in set, or all of the user's.
        paper: The paper's own arithmetic: maps are not centred.
        seed: Of the bootstrap.
    """

    method: str = "saliency"
    at: str = "feature"
    input: InputOptions = field(default_factory=InputOptions)
    device: str = "auto"
    batch_size: int | None = None
    limit: int | None = None
    paper: bool = False
    seed: int = 0


def attribute(
    model: ModelSource | Model,
    *,
    probes: Sequence[str | Path] | Probes | None = None,
    options: Options | None = None,
) -> Maps:
    """Returns the attribution maps of one model, raw, at its own input size.

    Args:
        model: A path, the bytes of an ONNX file, a parsed model, or what `load` returned.
        probes: Image files and directories, what `load_probes` returned, or None for the built-in
            set.
        options: What decides the maps.

    Raises:
        OnnxattrError: The model, the probes or the options cannot be used; see `errors`.

    Example:
        >>> import onnxattr
        >>> maps = onnxattr.attribute("samples/models/edge2d-torch.onnx")
        >>> maps.values.shape
        (64, 64, 64)
    """
    from onnxattr.attribution import engine

    options = options or Options()
    device = engine.choose_device(options.device)
    loaded = model if isinstance(model, Model) else load(model)
    images = _probes(probes, options.limit, Silent())
    return _examine(loaded, images, options, device, Silent())[1]


def rank(
    models: Sequence[str | Path],
    *,
    target: str | None = None,
    probes: Sequence[str | Path] | Probes | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Returns, for each model or for one target, the other models as sources, closest first.

    A model that cannot be used is left out, with the reason in `Ranking.failures`.

    Args:
        models: Files, directories or glob patterns.
        target: Name or path of one of the models; None ranks the sources of every model.
        probes: Image files and directories, what `load_probes` returned, or None for the built-in
            set.
        options: What decides the numbers.
        progress: Told of what is going on.

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
    found, failures = find_models(models)
    name = _resolve(target, found) if target is not None else None
    space = _build_space(found, failures, probes, options, progress)
    names = [s.name for s in space.summaries]
    if name is not None and name not in names:
        reason = next((f.message for f in space.failures if f.name == name), "it is left out")
        raise RankingError(f"the target `{name}` cannot be used: {reason}", failures=space.failures)
    if len(names) < 2:
        raise RankingError(
            f"{len(names)} of {len(names) + len(space.failures)} models can be used, and a "
            "ranking needs two",
            hint="give more models" if len(names) else "`onnxattr inspect` says more of each model",
            failures=space.failures,
        )
    compared = similarity([m.values for m in space.maps], names, centred=not options.paper)
    hashes = [s.sha256 for s in space.summaries]
    wanted = [names.index(name)] if name is not None else list(range(len(names)))
    targets = [ranking.rank_sources(compared, i, seed=options.seed, hashes=hashes) for i in wanted]
    return Ranking(
        targets=tuple(targets),
        models=_with_unusable(space.summaries, compared),
        failures=tuple(space.failures),
        similarity=compared,
        warnings=_warnings(space.summaries, compared, targets, options),
        settings={**space.settings, "target": name},
        versions=versions(),
        seconds={"total": time.perf_counter() - started, **space.seconds},
    )


def compare(
    first: str | Path,
    second: str | Path,
    *,
    probes: Sequence[str | Path] | Probes | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Returns how alike two models are, and on which probes they agree and differ most.

    Args:
        first: A model file.
        second: Another.
        probes: As for `rank`.
        options: What decides the numbers.
        progress: Told of what is going on.

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
    found, failures = find_models([first, second])
    images = _probes(probes, options.limit, progress)
    space = _build_space(found, failures, images, options, progress)
    if len(space.summaries) != 2:
        raise RankingError(
            f"{len(space.summaries)} of 2 models can be used, and a comparison needs both",
            failures=space.failures,
        )
    compared = similarity(
        [m.values for m in space.maps],
        [s.name for s in space.summaries],
        centred=not options.paper,
    )
    (row,) = ranking.rank_sources(
        compared, 0, seed=options.seed, hashes=[s.sha256 for s in space.summaries]
    ).sources or (None,)
    if row is None:
        raise RankingError("there is no probe on which both models have a usable map")
    cosines = compared.per_probe[0, 1]
    order = sorted(
        (i for i in range(len(cosines)) if not np.isnan(cosines[i])),
        key=lambda i: (-cosines[i], images.names[i]),
    )
    one, two = _with_unusable(space.summaries, compared)
    return Comparison(
        models=(one, two),
        similarity=row.similarity,
        low=row.low,
        high=row.high,
        distance=row.distance,
        duplicate=row.duplicate,
        probes=tuple(ProbeCosine(images.names[i], float(cosines[i])) for i in order),
        warnings=_warnings(space.summaries, compared, [], options),
        settings=space.settings,
        versions=versions(),
        seconds={"total": time.perf_counter() - started, **space.seconds},
    )


def inspect(
    models: Sequence[str | Path],
    *,
    at: str = "feature",
    input: InputOptions | None = None,
) -> Survey:
    """Returns what each model is and what would be attributed, and the files that are no models.

    Nothing is run. Every operator without a converter is named, with its nodes.

    Args:
        models: Files, directories or glob patterns.
        at: As for `rank`.
        input: What the user says of the models' inputs.

    Example:
        >>> import onnxattr
        >>> (found,) = onnxattr.inspect(["samples/models/denoise-keras.onnx"]).models
        >>> found.origin.framework, found.spec.layout
        ('TensorFlow', 'NHWC')
    """
    found, failures = find_models(models)
    inspections = []
    for name, path in found.items():
        try:
            inspections.append(_inspect(load(path, name=name), at, input or InputOptions()))
        except OnnxattrError as error:
            failures.append(Failure(name, error.message, error.hint))
    return Survey(tuple(inspections), tuple(failures))


def versions() -> dict[str, str]:
    """Returns the versions of what decides the numbers."""
    packages = ("numpy", "onnx", "onnx2torch", "torch")
    return {"onnxattr": __version__, **{p: version(p) for p in packages}}


@dataclass
class _Space:
    """The models of a ranking with their maps."""

    summaries: list[Summary]
    maps: list[Maps]
    failures: list[Failure]
    settings: Mapping[str, Any]
    seconds: dict[str, float]


def _build_space(
    found: Mapping[str, Path],
    failures: list[Failure],
    probes: Sequence[str | Path] | Probes | None,
    options: Options,
    progress: Progress,
) -> _Space:
    for failure in failures:
        progress.failed(failure)
    if not found:
        raise RankingError("there are no models", failures=failures)
    from onnxattr.attribution import engine

    engine.METHODS[options.method]  # A wrong name is told before any work is done.
    device = engine.choose_device(options.device)
    images = _probes(probes, options.limit, progress)
    if len(images.images) < 2 and not options.paper:
        raise UsageError(
            "centred maps need at least two probes, and there is one",
            hint="give more probes, or --paper for maps that are not centred",
        )
    chosen = f"{device} (auto)" if options.device == "auto" else device
    progress.begin(len(found), len(images.images), chosen)
    space = _Space([], [], list(failures), _settings(options, images, device), {})
    for name, path in found.items():
        progress.model(name)
        try:
            summary, maps = _examine(
                load(path, name=name), images, options, device, progress, space.seconds
            )
        except OnnxattrError as error:
            failure = Failure(name, error.message, error.hint)
        except Exception as error:
            # A bug, or a model that breaks a library: it must not cost the others their result.
            failure = Failure(
                name, f"{type(error).__name__}: {' '.join(str(error).split())}", "this is a bug"
            )
        else:
            space.summaries.append(summary)
            space.maps.append(maps)
            continue
        space.failures.append(failure)
        progress.failed(failure)
    return space


def _examine(
    model: Model,
    probes: Probes,
    options: Options,
    device: str,
    progress: Progress,
    seconds: dict[str, float] | None = None,
) -> tuple[Summary, Maps]:
    from onnxattr.attribution import engine
    from onnxattr.convert.parity import check_parity
    from onnxattr.convert.torch import to_network

    seconds = seconds if seconds is not None else {}
    with _timed(seconds, "convert"):
        network = to_network(model, at=options.at, options=options.input, device=device)
    with _timed(seconds, "parity"):
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


def _probes(
    given: Sequence[str | Path] | Probes | None, limit: int | None, progress: Progress
) -> Probes:
    if isinstance(given, Probes):
        return given
    probes, errors = load_probes(given, limit=limit)
    for error in errors:
        progress.failed(Failure("", error.message, error.hint))
    return probes


def _resolve(target: str, found: Mapping[str, Path]) -> str:
    """Returns the name of the model that `target` names or is the path of."""
    if target in found:
        return target
    for name, path in found.items():
        if path.absolute() == Path(target).absolute():
            return name
    raise UsageError(f"the target `{target}` is not among the models", hint=closest(target, found))


def _inspect(model: Model, at: str, options: InputOptions) -> Inspection:
    from onnxattr.convert.ops import OPERATORS
    from onnxattr.convert.support import unsupported
    from onnxattr.graph.normalise import normalise

    problems: list[str] = []
    spec: InputSpec | None = None
    chosen: Representation | None = None
    missing: tuple[Unsupported, ...] = ()
    try:
        spec = image_input(model, options)
    except ModelInputError as error:
        problems.append(error.message)
    try:
        chosen = representation(model, at)
        dialect = normalise(model, outputs=[chosen.value], spec=spec, own=OPERATORS)
        missing = unsupported(dialect)
    except OnnxattrError as error:
        problems.append(error.message)
    if missing:
        problems.append("no converter for " + ", ".join(f"`{u.operator}`" for u in missing))
    graph = model.proto.graph
    return Inspection(
        name=model.name,
        path=str(model.path or ""),
        sha256=model.sha256,
        origin=model.origin,
        opset=model.opset,
        parameters=model.parameters,
        inputs=tuple(f"{v.name} {describe(v)}" for v in graph_inputs(graph)),
        outputs=tuple(f"{v.name} {describe(v)}" for v in graph.output),
        spec=spec,
        representation=chosen,
        unsupported=missing,
        problems=tuple(problems),
    )


def _with_unusable(summaries: Sequence[Summary], compared: Similarity) -> tuple[Summary, ...]:
    pairs = zip(summaries, compared.unusable, strict=True)
    return tuple(dataclasses.replace(s, unusable=count) for s, count in pairs)


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


def _warnings(
    summaries: Sequence[Summary],
    compared: Similarity,
    targets: Sequence[Target],
    options: Options,
) -> tuple[str, ...]:
    """Returns what a reader of the result must know, a line each."""
    lines: list[str] = []
    for part, meaning in (("range", "input range [0, 1]"), ("size", "input size of 224×224")):
        assumed = [s.name for s in summaries if s.spec.sources[part].startswith(ASSUMED)]
        if assumed:
            everyone = " all models" if len(assumed) == len(summaries) else f" {', '.join(assumed)}"
            lines.append(f"{meaning} is assumed for{everyone}; --{part} says otherwise")
    for name, count in zip(compared.names, compared.unusable, strict=True):
        if count:
            total = compared.per_probe.shape[2]
            lines.append(f"{name}: {count} of {total} maps are zero or not finite and left out")
    for target in targets:
        missing = len(compared.names) - 1 - len(target.sources)
        if missing:
            lines.append(f"{target.name}: {missing} models share no probe with a usable map")
    if options.paper:
        lines += _paper_warnings(compared)
    return tuple(lines)


def _paper_warnings(compared: Similarity) -> list[str]:
    """Names the pairs for which the paper's distance N / Σ cos is none."""
    names = compared.names
    return [
        f"the paper's distance N / Σ cos is not defined for {names[i]} and {names[j]}: "
        "their mean cosine is not positive"
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if paper_distance(compared.per_probe[i, j]) is None
    ]
