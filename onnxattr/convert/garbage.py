"""Conversion without the collector of cyclic garbage."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_was_enabled = False


@contextmanager
def kept() -> Iterator[None]:
    """Switches the collector off, and on again after the last of those that overlap.

    A conversion makes hundreds of thousands of objects, of which all stay until its end: the
    collector looks through them again and again, for half of the time that all takes.
    """
    global _inside, _was_enabled
    with _lock:
        if not _inside:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _was_enabled:
                gc.enable()


def sweep() -> None:
    """Frees what was made since the collector was switched off and is needed no more.

    Of a graph that was rewritten, that is all of its nodes, which know one another.
    """
    gc.collect(0)
