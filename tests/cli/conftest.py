"""The command line in this process, since importing torch anew takes seconds."""

import json
import warnings
from dataclasses import dataclass

import pytest
import small_models

from onnxattr.cli import app

#: Probes that most tests use: the fewest from which maps can be centred and resampled.
FEW = ("--limit", "3")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def errors(self):
        return self._told("error: ")

    @property
    def hints(self):
        return self._told("hint: ")

    @property
    def warnings(self):
        return self._told("warning: ")

    @property
    def json(self):
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"JSON holds {name}"))

    @property
    def ranked(self):
        return [model["name"] for model in self.json["models"]]

    def _told(self, kind):
        return [line.removeprefix(kind) for line in self.err.splitlines() if line.startswith(kind)]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """On images this small, threads that wait for each other take most of the time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No terminal, whatever runs the tests: these variables make one of a pipe."""
    for name in (
        "CI", "CLICOLOR_FORCE", "COLORTERM", "FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR",
        "PY_COLORS", "TERMINAL_WIDTH", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def run(capsys):
    """Runs the command line and returns what it left: exit code, stdout, stderr."""

    def run(*arguments):
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as caught:
            app.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Outcome(caught.value.code, out, err)

    return run


@pytest.fixture
def rank(run):
    """Runs `rank` as JSON on few probes, or as other options say."""

    def rank(*arguments):
        return run("rank", *FEW, "--device", "cpu", "-f", "json", *arguments)

    return rank


@pytest.fixture
def good(tmp_path):
    """A directory with two encoders, one as each framework exports it."""
    folder = tmp_path / "good"
    small_models.save(small_models.encoder(1), folder / "edges-torch.onnx")
    encoder = small_models.encoder(2, nhwc=True, framework="TensorFlow")
    small_models.save(encoder, folder / "depth-keras.onnx")
    return folder
