"""Runs the command in this process, and writes down what it took.

    python run_corpus.py FOLDER rank MODEL …

In FOLDER, besides what the command prints: `result.FORMAT` for every format, and `measured.json`
with the seconds that each model took and the memory that this process, which started the workers,
came to hold.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import psutil

from onnxattr.__main__ import main
from onnxattr.cli import rank
from onnxattr.cli.console import Bars, Format, as_text

FOLDER = Path(sys.argv.pop(1))

#: Seconds between two looks at the memory.
WATCH = 0.02


class Measured(Bars):
    """Notes when a model is taken up, and when it is done with."""

    seconds: ClassVar[dict[str, float]] = {}
    before = most = 0
    _current: tuple[str, float] | None = None

    def begin(self, models, probes, device):
        Measured.before = Measured.most = psutil.Process().memory_info().rss
        threading.Thread(target=self._watch, daemon=True).start()
        super().begin(models, probes, device)

    def model(self, name):
        self._end()
        self._current = (name, time.monotonic())
        super().model(name)

    def failed(self, failure):
        self._end()
        super().failed(failure)

    def __exit__(self, *exception):
        self._end()
        super().__exit__(*exception)

    def _end(self):
        if self._current is not None:
            name, started = self._current
            Measured.seconds[name] = time.monotonic() - started
            self._current = None

    def _watch(self):
        process = psutil.Process()
        while True:
            Measured.most = max(Measured.most, process.memory_info().rss)
            time.sleep(WATCH)


def deliver(result, form, output, **options):
    for each in Format:
        text = as_text(result, each).encode("utf-8", "backslashreplace")
        (FOLDER / f"result.{each.value}").write_bytes(text)
    _deliver(result, form, output, **options)


_deliver, rank.deliver, rank.Bars = rank.deliver, deliver, Measured

try:
    main()
finally:
    found = {"seconds": Measured.seconds, "before": Measured.before, "most": Measured.most}
    (FOLDER / "measured.json").write_text(json.dumps(found))
