"""From a framework's model to an ONNX file, in a process of its own."""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onnxattr.errors import ExportError, OnnxattrError, UsageError
from onnxattr.execution.local import memory_limit
from onnxattr.execution.once import run_once
from onnxattr.execution.process import environment
from onnxattr.graph.sidecar import read_sidecar, sidecar_path
from onnxattr.limits import Limits
from onnxattr.pipeline.adapters import Chosen, ExportOptions, choose, is_source
from onnxattr.pipeline.job import failure_of
from onnxattr.pipeline.messages import Source, source_of
from onnxattr.pipeline.options import Options, Progress
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Failure

#: Bytes of a worker's answer.
_ANSWER = 2**16

#: The package of our own adapters is imported from where it is, and nothing else of this
#: environment: another one, which has the framework, may have other versions.
_BOOT = """
import importlib.util as u, json, sys
folder, paths = json.loads(sys.argv[1])
sys.path[:] = paths or sys.path
s = u.spec_from_file_location('onnxattr_adapters', folder + '/__init__.py',
                              submodule_search_locations=[folder])
m = u.module_from_spec(s)
sys.modules['onnxattr_adapters'] = m
s.loader.exec_module(m)
from onnxattr_adapters.worker import main
main()
"""


def export(
    source: str | Path,
    path: str | Path,
    *,
    options: ExportOptions | None = None,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Writes a model of some framework as an ONNX file, and returns the file's path.

    An adapter exports it in a process of its own and compares the file, run by ONNX Runtime, with
    the model; only then does the file appear. What the model says of its input is in it as
    metadata. `docs/adapters.md` lists sources and adapters::

        onnxattr.export("net.keras", "net.onnx", options=ExportOptions(trust_source=True))

    Args:
        source: A file, a directory, or `module:callable`.
        path: Where to write. A file that is there is replaced.
        options: Which adapter, and what it is told.
        limits: `memory`, `seconds` and `file_size` bound the process and the file.
        stop: Ends the export when it is set.

    Raises:
        UsageError: No adapter takes it as it is, or it may hold code and is not trusted.
        ExportError: The framework is missing, or the source cannot be exported, or the file would
            not compute what it computes.
        LimitError: It takes more than `limits` allow.
        WorkerError: The process ended before it was done.
    """
    source, target = str(source), Path(path)
    options, limits = options or ExportOptions(), limits or Limits()
    chosen = choose(source, options)
    if not target.parent.is_dir():
        raise UsageError(f"there is no directory `{target.parent}`")
    with tempfile.TemporaryDirectory(prefix=".onnxattr-", dir=target.parent) as scratch:
        made = Path(scratch) / "model.onnx"
        _run(chosen, source, made, options, limits, stop)
        if made.is_symlink() or not made.is_file():
            raise ExportError(f"the adapter `{chosen.name}` left no file")
        if made.stat().st_size > limits.file_size:
            raise ExportError(
                f"the file has more than {limits.file_size} bytes",
                hint="--max-file-size allows more",
            )
        made.replace(target)
    return target


@contextmanager
def sources_of(
    found: Mapping[str, Path],
    failures: list[Failure],
    options: Options,
    progress: Progress,
    stop: threading.Event | None,
) -> Iterator[dict[str, Source]]:
    """Gives what workers are told of models; what is no ONNX file is exported for as long.

    Args:
        found: Files by the models' names.
        failures: What cannot be exported is added.
        options: Of the whole.
        progress: Told of failures.
        stop: Ends the work when it is set.
    """
    with exported(found, options.export, options.limits, stop) as (files, refused):
        for failure in refused:
            failures.append(failure)
            progress.failed(failure)
        yield {name: source_of(name, path) for name, path in files.items()}


@contextmanager
def exported(
    found: Mapping[str, Path],
    options: ExportOptions,
    limits: Limits,
    stop: threading.Event | None = None,
) -> Iterator[tuple[dict[str, Path], list[Failure]]]:
    """Gives the ONNX files of models by name, and why some have none; made files go in the end.

    Args:
        found: What the user named; what is an ONNX file already stays what it is.
        options: As for `export`.
        limits: As for `export`, for each.
        stop: As for `export`.
    """
    with tempfile.TemporaryDirectory(prefix="onnxattr-") as folder:
        files, failures = dict[str, Path](), list[Failure]()
        for number, (name, path) in enumerate(found.items()):
            if not is_source(str(path)):
                files[name] = path
                continue
            made = Path(folder) / str(number) / f"{path.name.replace(':', '.')}.onnx"
            made.parent.mkdir()
            try:
                # What is written beside a source holds for the file that is made of it.
                if sidecar := read_sidecar(path, name):
                    sidecar_path(made).write_bytes(sidecar.text.encode())
                files[name] = export(path, made, options=options, limits=limits, stop=stop)
            except OnnxattrError as error:
                failures.append(failure_of(name, error))
        yield files, failures


def _run(
    chosen: Chosen,
    source: str,
    made: Path,
    options: ExportOptions,
    limits: Limits,
    stop: threading.Event | None,
) -> None:
    is_file = os.path.exists(source)
    request = {
        "adapter": chosen.value,
        "source": os.path.abspath(source) if is_file else source,
        "path": str(made.resolve()),
        "options": options.given(),
        # An object is looked for where the user is, as by other tools that take module:callable;
        # in a directory of files there is nothing to import.
        "modules": "" if is_file else os.getcwd(),
    }
    answer = run_once(
        _command(options.python),
        json.dumps(request).encode(),
        memory=memory_limit(limits.memory),
        seconds=limits.seconds,
        limit=_ANSWER,
        # Exporters leave notes in their working directory.
        folder=made.parent if is_file else os.getcwd(),
        environment={
            **environment(),
            # What it leaves in the place of temporary files goes with the directory.
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(made.parent.resolve())),
            # Some exporters name values in the order of a set: by this, the same way each time.
            "PYTHONHASHSEED": "0",
        },
        stop=stop,
    )
    _require_done(answer, source)


def _command(python: str | Path | None) -> list[str]:
    spec = find_spec("onnxattr_adapters")
    if spec is None or spec.origin is None:
        raise ExportError("the package `onnxattr_adapters` is not installed")
    folder = str(Path(spec.origin).parent)
    here = os.getcwd()
    paths = [] if python else [p for p in sys.path if p and os.path.abspath(p) != here]
    program = str(python or sys.executable)
    if os.path.dirname(program):  # It is started from another directory; a mere name is searched.
        program = os.path.abspath(program)
    return [program, "-P", "-c", _BOOT, json.dumps([folder, paths])]


def _require_done(answer: bytes, source: str) -> None:
    """Makes sure that a worker said that it is done; nothing else that it says is used."""
    try:
        said: Any = json.loads(answer)
        done, reason, hint = said["answer"] == "done", said.get("reason", ""), said.get("hint", "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ExportError("its adapter said what makes no sense", model=source) from None
    if not done:
        told = clean(str(reason), MAX_TEXT) or "its adapter gave no reason"
        raise ExportError(told, hint=clean(str(hint), MAX_TEXT), model=source)
