"""Writes down how models are fed: beside them, in a sidecar, or in the metadata of a copy."""

import os
from collections.abc import Sequence
from pathlib import Path

from onnxattr.errors import ModelInputError, OnnxattrError, UsageError, WorkerError
from onnxattr.execution.channel import MAX_MESSAGE, Channel
from onnxattr.execution.local import Workers
from onnxattr.files import write_whole
from onnxattr.graph.find import find_models
from onnxattr.graph.options import InputOptions
from onnxattr.graph.sidecar import sidecar_path
from onnxattr.graph.sidecar_text import to_toml
from onnxattr.limits import Limits
from onnxattr.pipeline.inspect import inspect
from onnxattr.pipeline.job import SERVE, expect, failure_of, place_of
from onnxattr.pipeline.messages import Stamp, Stamped, source_of
from onnxattr.pipeline.options import Options
from onnxattr.types import Failure, InputSpec, Inspection


def write_spec(
    model: str | Path,
    *,
    at: str | None = None,
    input: InputOptions | None = None,
    force: bool = False,
    limits: Limits | None = None,
) -> Path:
    """Writes the sidecar of a model, with every value that it is fed by and what decided it.

    What is assumed is written as a comment. What a sidecar that is there says is kept, unless
    an argument says otherwise.

    Args:
        model: A model file.
        at: As for `rank`.
        input: What you say of its input.
        force: Write over a sidecar that is there.
        limits: What the model may cost.

    Returns:
        The sidecar: `a.toml` beside `a.onnx`.

    Raises:
        UsageError: There is one already, or it cannot be written.
        OnnxattrError: The model cannot be read, or it is not known how it is fed.
    """
    path = Path(model)
    if not path.is_file():
        raise UsageError(f"`{path}` is no file", hint="give one model file")
    require_no_sidecars([path], force=force)
    survey = inspect(path, at=at, input=input, limits=limits)
    for failure in survey.failures:
        raise ModelInputError(failure.message, hint=failure.hint, model=failure.name)
    (found,) = survey.models
    return write_found(found, force=force)


def write_found(found: Inspection, *, force: bool) -> Path:
    """Writes the sidecar of a model that was inspected.

    Raises:
        UsageError: There is one already, or it cannot be written.
        ModelInputError: It is not known how the model is fed.
    """
    if found.spec is None:
        problem = found.problems[0] if found.problems else "it takes no image"
        raise ModelInputError(f"no sidecar was written: {problem}", model=found.name)
    path = sidecar_path(Path(found.path))
    text = to_toml(found, path.name)
    require_no_sidecars([Path(found.path)], force=force)
    _write(path, text.encode())
    return path


def require_no_sidecars(models: str | Path | Sequence[str | Path], *, force: bool) -> None:
    """Makes sure, before any work is done, that no sidecar is written over.

    Raises:
        UsageError: There is one.
    """
    found, _ = find_models([models] if isinstance(models, str | Path) else models)
    there = [p for p in map(sidecar_path, found.values()) if os.path.lexists(p)]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(
            f"there is a sidecar already: `{there[0]}`{more}", hint="--force writes over it"
        )


def stamp(
    model: str | Path,
    output: str | Path,
    *,
    at: str | None = None,
    input: InputOptions | None = None,
    limits: Limits | None = None,
) -> InputSpec:
    """Writes a copy of a model that says in its own metadata how it is fed.

    Our keys (`onnxattr.layout`, …) are written, and ONNX's (`Image.BitmapPixelFormat`, …,
    denotations) where they can say it. What is assumed is not written. The rest of the file, and
    what the model computes, stays as it is.

    Args:
        model: A model file; it is not changed.
        output: The copy. A file that is there is replaced. If the model has external data, the
            copy must be in the same directory, from where it reads the same files.
        at: What is attributed, as for `rank`; it is written unless it is `feature`.
        input: What you say of its input.
        limits: What the model may cost.

    Returns:
        How the model is fed. Parts whose source starts with `assumed` were not written.

    Raises:
        UsageError: The copy would be the model itself, or cannot be written, or not there.
        OnnxattrError: The model cannot be read, or it is not known how it is fed.
    """
    source, target = Path(model), Path(output).resolve()
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"`{output}` is the model itself", hint="write the copy to another place")
    answer = _ask(source, at, input or InputOptions(), limits or Limits())
    beside = target.parent.is_dir() and target.parent.samefile(source.absolute().parent)
    if answer.external and not beside:
        raise UsageError(
            f"the weights of `{source.name}` are in a second file, which is not copied",
            hint=f"write the copy into the same directory: `{source.absolute().parent}`",
        )
    _write(target, answer.data)
    return answer.spec


def _ask(path: Path, at: str | None, input: InputOptions, limits: Limits) -> Stamped:
    options = Options(at=at, input=input, device="cpu", limits=limits)
    place = place_of(options)
    name = path.stem

    def ask(channel: Channel, _: str) -> Stamped:
        channel.send(Stamp(place, source_of(name, path), at, input))
        return expect(channel, Stamped, name, limits.file_size + MAX_MESSAGE)

    workers: Workers[Stamped] = Workers(
        SERVE, options.devices, memory=place.memory, seconds=limits.seconds
    )
    for _, outcome in workers.run([ask]):
        if isinstance(outcome, Stamped):
            return outcome
        if isinstance(outcome, OnnxattrError):
            raise outcome
        failure: Failure = failure_of(name, outcome)
        raise WorkerError(failure.message, hint=failure.hint, model=name)
    raise WorkerError("interrupted before it was read", model=name)


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"`{path}` cannot be written: {reason}") from None
