"""Runs one program within bounds of time and memory, and reads one short answer from it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from onnxattr.errors import LimitError, WorkerError

#: Seconds between two looks at memory, clock and whether to stop.
_WATCH = 0.1

_GIB = 2**30


def run_once(
    command: Sequence[str],
    request: bytes,
    *,
    memory: int,
    seconds: float,
    limit: int,
    folder: str | Path,
    environment: Mapping[str, str],
    stop: threading.Event | None = None,
) -> bytes:
    """Returns what a program writes to its standard output until it closes it.

    The program has a process group of its own, which is killed at the end, whatever it was.

    Args:
        command: The program and its arguments.
        request: Its standard input.
        memory: Bytes that it and its children may hold.
        seconds: Wall time.
        limit: Bytes of an answer.
        folder: Its working directory.
        environment: All of its environment.
        stop: Ends it when it is set.

    Raises:
        WorkerError: It cannot be started, ends without an answer, answers too much, or is stopped.
        LimitError: It takes more than it may.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        reason = f"`{command[0]}` cannot be started: {error.strerror or error}"
        raise WorkerError(reason) from None
    answer: list[bytes] = []
    thread = threading.Thread(target=_talk, args=[process, request, limit, answer], daemon=True)
    thread.start()
    try:
        _watch(process.pid, thread, memory, seconds, stop)
    finally:
        _kill(process)
        thread.join()
    if not answer[0].endswith(b"\n"):
        raise WorkerError(f"the process that exported it {_ending(process.returncode)}")
    return answer[0]


def _talk(
    process: subprocess.Popen[bytes], request: bytes, limit: int, answer: list[bytes]
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    # That it is gone is told by the end of its output, too.
    with contextlib.suppress(OSError):
        process.stdin.write(request)
    with contextlib.suppress(OSError):
        process.stdin.close()
    with process.stdout:
        answer.append(process.stdout.read(limit + 1)[:limit])


def _watch(
    pid: int,
    thread: threading.Thread,
    memory: int,
    seconds: float,
    stop: threading.Event | None,
) -> None:
    """Waits for the end of a conversation, or raises what ends it early."""
    deadline = time.monotonic() + seconds
    while True:
        thread.join(_WATCH)
        if not thread.is_alive():
            return
        if stop is not None and stop.is_set():
            raise WorkerError("it was not finished before the interruption")
        if time.monotonic() > deadline:
            raise LimitError(
                f"its export takes more than {seconds:g} s and was stopped",
                hint="--max-time allows more",
            )
        if _resident(pid) > memory:
            raise LimitError(
                f"its export takes more than {memory / _GIB:.3g} GiB of memory and was stopped",
                hint="--max-memory allows more",
            )


def _resident(pid: int) -> int:
    """Returns the bytes of memory that a process and its children hold; 0 once it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            total += int(member.memory_info().rss)
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and its group, unless it ended well, and waits for it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_WATCH)  # Its own exit code says more than that of a kill.
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(code: int) -> str:
    if -code in set(signal.Signals):
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"
