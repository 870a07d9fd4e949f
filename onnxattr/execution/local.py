"""Runs jobs in worker processes on this machine, each within its bounds of time and memory."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import psutil

from onnxattr.errors import LimitError, OnnxattrError, WorkerError
from onnxattr.execution.channel import Channel, ChannelClosedError
from onnxattr.execution.process import Process, abandon, start

T = TypeVar("T")

#: A conversation with a worker; gets the channel and the worker's place.
Job = Callable[[Channel, str], T]

#: Seconds between two looks at the workers' memory and clocks.
_WATCH = 0.05

#: Seconds between two looks at whether to stop.
_POLL = 0.1

#: Seconds that starting or burying a worker may take once all is to stop.
_PATIENCE = 0.5

_GIB = 2**30


def memory_limit(asked: int | None, workers: int = 1) -> int:
    """Returns the bytes that a worker may hold.

    That is what was asked for, or else its share of ¾ of what the machine has. A container's own
    bound counts as the machine's.
    """
    if asked is not None:
        return asked
    total = int(psutil.virtual_memory().total)
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            bound = Path(file).read_text().strip()
        except OSError:
            continue
        total = min(total, int(bound)) if bound.isdigit() else total
    return total * 3 // 4 // workers


class _Worker:
    """A worker process, its clock, and why it was stopped."""

    def __init__(self, task: str, preload: tuple[str, ...]) -> None:
        self.process: Process = start(task, preload)
        self.deadline = float("inf")
        self.stopped: OnnxattrError | None = None
        try:
            self._system: psutil.Process | None = psutil.Process(self.process.pid)
        except psutil.Error:  # Dead already, which the channel will tell.
            self._system = None

    def resident(self) -> int:
        """Returns the bytes of memory that it holds; 0 once it is gone."""
        try:
            return int(self._system.memory_info().rss) if self._system else 0
        except psutil.Error:
            return 0

    def stop(self, reason: OnnxattrError | None = None) -> None:
        self.stopped = self.stopped or reason
        self.process.kill()

    def end(self) -> int:
        """Kills and buries it; returns its exit code."""
        self.process.kill()
        code = self.process.wait()
        self.process.channel.close()
        return code


class Workers(Generic[T]):
    """Runs jobs, one at a time in each of some worker processes.

    A worker serves one job after another. It is replaced when it dies, when it is stopped for its
    time or memory, and after a job that failed: what it read may have taken it over.

    Args:
        task: Module whose `serve` the workers run.
        places: One worker is kept for each; handed to its jobs (a device, as a rule).
        memory: Bytes that a worker may hold.
        seconds: Wall time of a job.
        preload: What workers after the first are forked with, once `warm` was called.
        stop: Ends everything when it is set.
    """

    #: Whether a worker of this process has needed `preload` already.
    _warm = False

    def __init__(
        self,
        task: str,
        places: Sequence[str],
        *,
        memory: int,
        seconds: float,
        preload: tuple[str, ...] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self._task, self._places, self._preload = task, places, preload
        self._memory, self._seconds = memory, seconds
        self._stop = stop or threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._news: queue.Queue[Callable[[], tuple[int, T | Exception] | None]] = queue.Queue()

    def warm(self) -> None:
        """Has the template import what workers need; from the next worker on."""
        Workers._warm = True

    def post(self, call: Callable[[], None]) -> None:
        """Has `call` run where `run` is iterated; jobs run in threads of their own."""
        self._news.put(call)

    def run(self, jobs: Sequence[Job[T]]) -> Iterator[tuple[int, T | Exception]]:
        """Yields the number and the outcome of each job, as they end; stops early if told to."""
        waiting: queue.Queue[tuple[int, Job[T]]] = queue.Queue()
        for numbered in enumerate(jobs):
            waiting.put(numbered)
        count = min(len(self._places), len(jobs))
        threads = [
            threading.Thread(target=self._work, args=[place, waiting], daemon=True)
            for place in self._places[:count]
        ]
        watch = threading.Thread(target=self._watch, daemon=True)
        try:
            for thread in (watch, *threads):
                thread.start()
            left = len(jobs)
            while left and not self._stop.is_set():
                try:
                    news = self._news.get(timeout=_POLL)
                except queue.Empty:
                    continue
                outcome = news()
                if outcome is not None:
                    left -= 1
                    yield outcome
        finally:
            self._closing.set()
            if self._stop.is_set():
                # Whoever waits for a worker would wait until torch is imported.
                abandon(patience=_PATIENCE)
            with self._lock:
                for worker in self._workers:
                    worker.stop()
            for thread in threads:
                thread.join()

    def _work(self, place: str, waiting: "queue.Queue[tuple[int, Job[T]]]") -> None:
        worker: _Worker | None = None
        while not self._closing.is_set():
            try:
                number, job = waiting.get_nowait()
            except queue.Empty:
                break
            outcome: T | Exception
            try:
                worker = worker or self._start()
                worker.deadline = time.monotonic() + self._seconds
                outcome = job(worker.process.channel, place)
                worker.deadline = float("inf")
                # Stopped between its last word and now: the word stands, the worker is gone.
                if worker.stopped is not None:
                    self._retire(worker)
                    worker = None
            except ChannelClosedError:
                outcome = self._reason(worker)
                worker = None
            except Exception as error:
                outcome = error
                self._retire(worker)
                worker = None
            if not self._closing.is_set():
                self._news.put(lambda n=number, o=outcome: (n, o))  # type: ignore[misc]
        self._retire(worker)

    def _start(self) -> _Worker:
        worker = _Worker(self._task, self._preload if Workers._warm else ())
        with self._lock:
            self._workers.add(worker)
        if self._closing.is_set():
            worker.stop()
        return worker

    def _retire(self, worker: _Worker | None) -> None:
        if worker is not None:
            with self._lock:
                self._workers.discard(worker)
            worker.end()

    def _reason(self, worker: _Worker | None) -> OnnxattrError:
        """Returns why a worker is gone, and buries it."""
        assert worker is not None
        with self._lock:
            self._workers.discard(worker)
        code = worker.end()
        if worker.stopped is not None:
            return worker.stopped
        known = -code in set(signal.Signals)
        how = f"was killed by {signal.Signals(-code).name}" if known else f"ended with code {code}"
        return WorkerError(
            f"the process that worked on it {how}",
            hint="the file may be made to crash its readers; the other models are not concerned",
        )

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH):
            now = time.monotonic()
            with self._lock:
                workers = list(self._workers)
            for worker in workers:
                if now > worker.deadline:
                    worker.stop(_too_long(self._seconds))
                elif worker.resident() > self._memory:
                    worker.stop(_too_much(self._memory))


def _too_long(seconds: float) -> LimitError:
    return LimitError(
        f"it takes more than {seconds:g} s and was stopped",
        hint="--max-time allows more; the next run goes on from what is finished",
    )


def _too_much(memory: int) -> LimitError:
    return LimitError(
        f"it takes more than {memory / _GIB:.3g} GiB of memory and was stopped",
        hint="--max-memory allows more; --batch-size or --size with smaller numbers take less",
    )
