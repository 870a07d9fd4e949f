"""Starts worker processes: forked from a warm template on Linux, spawned elsewhere.

What decides against a pool of a library: those that are well kept (pebble, loky, the standard
library's) unpickle in the parent whatever a worker writes, and share one pipe and its locks among
all workers; and those that spawn import the caller's main module again, which runs an unguarded
script twice. Here each worker has a channel of its own, and the parent reads messages of known
types.

The template is a process that only imports and forks. Importing torch takes seconds; a fork of a
template that has done so takes milliseconds, so that a worker can be thrown away after each refused
model. It never touches a model, and never a GPU.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from onnxattr.errors import WorkerError
from onnxattr.execution.channel import Channel

#: Whether workers are forked. macOS' frameworks do not survive a fork, and Windows has none.
FORKS = sys.platform == "linux"

_BOOT = "import json,sys; sys.path[:] = json.loads(sys.argv[1]); from {0} import main; main()"


class Process(Protocol):
    """A worker, seen from its parent."""

    pid: int
    channel: Channel

    def kill(self) -> None:
        """Stops it at once; does nothing where it is gone."""

    def wait(self) -> int:
        """Waits for its end and returns its exit code, negative for a signal."""


def start(task: str, preload: tuple[str, ...] = ()) -> Process:
    """Starts a worker that runs `serve(channel)` of a module.

    Args:
        task: Name of the module.
        preload: Modules that the worker will need, which the template imports beforehand.

    Raises:
        WorkerError: No process can be started.
    """
    try:
        return _template().fork(task, preload) if FORKS else _Spawned(task)
    except OSError as error:
        raise WorkerError(f"no worker process can be started: {error}") from None


def _command(module: str) -> list[str]:
    # Neither the working directory nor an empty entry: they may be full of a stranger's files.
    here = os.getcwd()
    paths = [p for p in sys.path if p and os.path.abspath(p) != here]
    package = str(Path(__file__).parents[2])
    boot = _BOOT.format(module)
    return [sys.executable, "-P", "-c", boot, json.dumps([*paths, package])]


def environment() -> dict[str, str]:
    """Returns the workers' environment: this process's, with better defaults for two things.

    OpenMP's threads wait in a loop. On a machine whose cores are all busy they keep each other from
    working: ten small models took 35 s beside one other busy process on two cores, and 2 s without.

    glibc gives large arrays back to the system at once, and asks for them anew page by page. To
    keep up to 1 GiB, in pieces of up to 32 MiB, took a quarter off the time for small models.
    """
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
        **os.environ,
    }


class _Spawned:
    """A worker with an interpreter of its own; its channel is its standard input and output."""

    def __init__(self, task: str) -> None:
        self._process = subprocess.Popen(
            [*_command("onnxattr.execution.worker"), task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.channel = Channel(
            cast(BinaryIO, self._process.stdout), cast(BinaryIO, self._process.stdin)
        )

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        return self._process.wait()


class _Forked:
    """A child of the template, which keeps its process number until it is waited for."""

    def __init__(self, template: "_Template", pid: int, channel: Channel) -> None:
        self._template, self.pid, self.channel = template, pid, channel
        self._code: int | None = None

    def kill(self) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self._code is None:
            self._code = self._template.reap(self.pid)
        return self._code


class _Template:
    """The process that forks workers, seen from its parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*_command("onnxattr.execution.template"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment(),
                # Ctrl-C goes to the whole group; what to do about it is for the parent to say.
                start_new_session=True,
            )
        self._owner = os.getpid()

    def usable(self) -> bool:
        """Whether it lives, and belongs to this process rather than to the one this forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    def busy(self, patience: float) -> bool:
        """Whether it still answers another request after so many seconds: it may be importing."""
        if self._lock.acquire(timeout=patience):
            self._lock.release()
            return False
        return True

    def fork(self, task: str, preload: tuple[str, ...]) -> Process:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            answer = self._ask({"task": task, "preload": preload}, theirs)
            channel = Channel(ours.makefile("rb"), ours.makefile("wb"))
        return _Forked(self, int(answer["pid"]), channel)

    def reap(self, pid: int) -> int:
        try:
            return int(self._ask({"reap": pid})["code"])
        except WorkerError:  # The template is gone, and its children with it.
            return -signal.SIGKILL

    def close(self) -> None:
        self._control.close()
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()

    def _ask(self, request: dict[str, Any], passed: socket.socket | None = None) -> dict[str, Any]:
        descriptors = [passed.fileno()] if passed else []
        with self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
                answer = self._control.recv(65536)
            except OSError:
                answer = b""
        if not answer:
            raise WorkerError(
                "the process that starts workers died",
                hint="is there enough memory? `python -c 'import torch'` shows whether torch works",
            )
        decoded: dict[str, Any] = json.loads(answer)
        if "error" in decoded:
            raise WorkerError(f"no worker process can be started: {decoded['error']}")
        return decoded


_lock = threading.Lock()
_current: list[_Template] = []


def _template() -> _Template:
    """Returns the template of this process, started at the first call."""
    with _lock:
        if _current and not _current[0].usable():
            _current.pop().close()
        if not _current:
            _current.append(_Template())
        return _current[0]


def abandon(*, patience: float = 0.0) -> None:
    """Ends the template, and with it all workers that it forked; the next start makes a new one.

    Args:
        patience: Leave it alone if it is free within so many seconds; 0 ends it in any case.
    """
    with _lock:
        if patience and _current and not _current[0].busy(patience):
            return
        if _current:
            _current.pop().close()


atexit.register(abandon)
