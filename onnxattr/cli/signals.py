"""Ctrl-C and termination: the first asks for an orderly end, the second ends at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: What a shell adds to a signal's number for the exit code of what the signal ended.
_ENDED_BY = 128


class Interruption:
    """Whether the user, or the system, wants this to end.

    Attributes:
        event: Set by the first signal.
        code: The exit code that tells of the signal; 0 where there was none.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.code = 0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.event.is_set():
            # Workers end with the process that they belong to.
            os._exit(_ENDED_BY + number)
        self.code = _ENDED_BY + number
        self.event.set()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns SIGINT and SIGTERM into an `Interruption` while the body runs."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # Only the main thread may handle signals.
        return
    before = {
        number: signal.signal(number, interruption.receive)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
