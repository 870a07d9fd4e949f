"""The worker's side: a channel, streams that lead nowhere, and bounds that the system enforces."""

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import threading
import time

from onnxattr.execution.channel import Channel, ChannelClosedError

#: Bytes of address space that torch and the libraries of its threads map without using them
#: (measured: 3.6 GB for torch alone).
_MAPPED = 8 * 2**30


def main() -> None:
    """Runs a worker that was spawned: its standard streams are the channel."""
    reader, writer = os.dup(0), os.dup(1)
    parent = os.getppid()
    threading.Thread(target=_follow, args=[parent], daemon=True).start()
    serve(sys.argv[-1], reader, writer)


def serve(task: str, reader: int, writer: int) -> None:
    """Hands a channel over two descriptors to `serve` of the module `task`, until it is closed."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        # Libraries print names of a vendor's file, and what is read here must be the parent's.
        os.dup2(nowhere, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(reader, "rb") as incoming, os.fdopen(writer, "wb") as outgoing:
        with contextlib.suppress(ChannelClosedError):
            importlib.import_module(task).serve(Channel(incoming, outgoing))
        os._exit(0)  # Threads of a library may not hold up the end.


def confine(memory: int, *, accelerator: bool) -> None:
    """Sets bounds that the system enforces from now on, where it has them.

    No core dumps, which would hold a model; and on the CPU no file may be written, and no more
    than `memory` beyond the libraries be mapped. Drivers of accelerators map far more than they
    use, and keep caches on disk.

    Args:
        memory: Bytes.
        accelerator: Whether the worker computes on one.
    """
    try:
        import resource
    except ImportError:  # Windows.
        return
    _lower(resource.RLIMIT_CORE, 0)
    if not accelerator:
        # Found by writing a file, which libraries have done when they are imported.
        tempfile.gettempdir()
        _lower(resource.RLIMIT_FSIZE, 0)
        if sys.platform == "linux":
            _lower(resource.RLIMIT_AS, memory + _MAPPED)


def _lower(kind: int, bound: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (bound, bound))


def _follow(parent: int) -> None:
    """Ends this process once its parent is gone, where the system does not do it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
