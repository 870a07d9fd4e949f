"""The command line in this process, without a terminal."""

import json
import warnings
from dataclasses import dataclass

import pytest

from onnxattr.cli import app


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"JSON holds {name}"))


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs `onnxattr store` and returns what it left: exit code, stdout, stderr."""
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "CLICOLOR_FORCE", "PY_COLORS", "ONNXATTR_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as caught:
            app.main(["store", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Outcome(caught.value.code, out, err)

    return run
