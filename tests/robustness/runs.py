"""The command as a process of its own, and every process that belongs to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from small_models import encoder, save

#: An environment variable that workers inherit, however they are started.
_MARK = "ONNXATTR_TEST_RUN"

#: Makes terminals and colours of pipes.
_VARIABLES = {"CI", "CLICOLOR_FORCE", "FORCE_COLOR", "GITHUB_ACTIONS", "TTY_COMPATIBLE"}

#: Seconds that anything may take on a busy machine before it counts as hanging.
PATIENCE = 120.0


@dataclass
class Run:
    """A command that was started.

    Attributes:
        arguments: What stands behind `onnxattr`.
        options: More of what `subprocess.Popen` takes.
    """

    arguments: Sequence[object]
    options: dict = field(default_factory=dict)

    def __post_init__(self):
        self.mark = uuid.uuid4().hex
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {k: v for k, v in os.environ.items() if k not in _VARIABLES}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "onnxattr", *map(str, self.arguments)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**environment, _MARK: self.mark, "COLUMNS": "80"},
            **{**streams, "preexec_fn": _listen, **self.options},
        )
        self.out = self.err = b""

    def wait(self, seconds=PATIENCE):
        """Returns the exit code; raises `subprocess.TimeoutExpired`."""
        out, err = self.process.communicate(timeout=seconds)
        self.out, self.err = out or b"", err or b""
        return self.process.returncode

    def kill(self):
        """Kills it and nothing that it started, as the system does when memory runs out."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def left(self, seconds=5.0):
        """Returns what still runs of it after so many seconds, killed by now."""
        end = time.monotonic() + seconds
        while (found := self._found()) and time.monotonic() < end:
            time.sleep(0.05)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return found

    def _found(self):
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != self.process.pid and process.environ().get(_MARK) == self.mark:
                    found.append(process)
        return [each for each in found if each.status() != psutil.STATUS_ZOMBIE]

    @property
    def lines(self):
        return self.err.decode().splitlines()

    def told(self, kind):
        return [line for line in self.lines if line.startswith(f"{kind}: ")]

    @property
    def json(self):
        return json.loads(self.out)


def _listen():
    """What runs tests in the background has them ignore Ctrl-C, and their children too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def good_models(folder: Path, count: int) -> Path:
    """Writes small encoders, every other one as Keras exports it."""
    for number in range(count):
        odd = number % 2 == 1
        proto = encoder(number, nhwc=odd, framework="TensorFlow" if odd else "PyTorch")
        save(proto, folder / f"model-{number:02}.onnx")
    return folder


def result(out: bytes) -> bytes:
    """Returns a ranking in JSON up to what differs between two runs: what was stored, and times."""
    before, key, _ = out.rpartition(b'\n  "stored":')
    assert key, out[-500:]
    return before


def kept(root: Path) -> dict[str, bytes]:
    """Returns what a store holds, by name."""
    found = {}
    for path in (root / "v1").glob("*/*/*.maps"):
        with contextlib.suppress(FileNotFoundError):
            found[str(path.relative_to(root))] = path.read_bytes()
    return found
