"""The process in which an export runs. Uses Python's standard library and this package alone.

It may be run by the Python of another environment, which has the framework and not `onnxattr`: one
request comes in on the standard input as JSON, and one answer of one line goes out: `done`, or
`refused` with a reason and a hint.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

#: Characters of a reason.
_LONGEST = 500


def main() -> None:
    """Serve the request on the standard input, and end the process."""
    request = json.loads(sys.stdin.buffer.read())
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        # Frameworks and models print what they like; the parent reads one line, and that is ours.
        os.dup2(nowhere, stream)
    threading.Thread(target=_follow, args=[os.getppid()], daemon=True).start()
    answer = json.dumps(serve(request)) + "\n"
    os.write(answers, answer.encode())
    os._exit(0)  # Threads of a framework may not hold up the end.


def serve(request: dict[str, Any]) -> dict[str, str]:
    """Return the answer to a request: what `adapter` made of `source` is at `path`, or why not.

    Args:
        request: `adapter` (module:object), `source`, `path`, `options` (what the adapter is given),
            `modules` (a directory to import from, or an empty text).
    """
    from onnxattr_adapters import ExportError, MissingPackageError

    warnings.simplefilter("ignore")
    install = ""
    try:
        _confine()
        if request["modules"]:
            sys.path.insert(0, request["modules"])
        module, _, name = request["adapter"].partition(":")
        adapter = getattr(importlib.import_module(module), name)
        install = str(adapter.install)
        adapter.export(request["source"], Path(request["path"]), **request["options"])
    except MissingPackageError as error:
        return _refused(str(error), f"pip install '{install}'")
    except ModuleNotFoundError as error:
        return _refused(f"`{error.name}` is not installed", install and f"pip install '{install}'")
    except ExportError as error:
        return _refused(str(error))
    except MemoryError:
        return _refused("it takes more memory than it may have", "--max-memory allows more")
    except BaseException as error:  # what a source raises is its own affair, even SystemExit
        return _refused(f"{type(error).__name__}: {error}")
    return {"answer": "done"}


def _refused(reason: str, hint: str = "") -> dict[str, str]:
    line = " ".join(reason.split()) or "it gives no reason"
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    return {"answer": "refused", "reason": line, "hint": hint}


def _confine() -> None:
    """Leave no core dump, which would hold a model."""
    try:
        import resource
    except ImportError:  # Windows
        return
    tempfile.gettempdir()  # found by writing a file
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _follow(parent: int) -> None:
    """End this process once its parent is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
