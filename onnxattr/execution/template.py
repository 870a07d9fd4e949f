"""The process that imports once and forks workers (Linux). Nothing of a stranger's reaches it."""

import ctypes
import importlib
import json
import os
import signal
import socket
import sys

from onnxattr.execution.worker import serve

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answers the parent's requests until it goes away; the last argument is the socket."""
    control = socket.socket(fileno=int(sys.argv[-1]))
    # A thread pool of a numeric library would not be there after the fork.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
        if not message:
            os._exit(0)
        request = json.loads(message)
        try:
            answer: dict[str, int | str] = (
                _reap(request["reap"])
                if "reap" in request
                else _fork(control, descriptors[0], request["task"], request["preload"])
            )
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:1000]}
        control.send(json.dumps(answer).encode())


def _reap(pid: int) -> dict[str, int | str]:
    _, status = os.waitpid(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status)}


def _fork(
    control: socket.socket, descriptor: int, task: str, preload: list[str]
) -> dict[str, int | str]:
    try:
        for module in [task, *preload]:
            importlib.import_module(module)
        template = os.getpid()
        pid = os.fork()
        if pid:
            return {"pid": pid}
        try:
            # Whatever it is busy with, a worker dies with its template, and so with the parent.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == template:
                control.close()
                serve(task, os.dup(descriptor), os.dup(descriptor))
        finally:
            os._exit(0)
    finally:
        os.close(descriptor)
