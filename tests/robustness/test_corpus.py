"""Every hostile file costs itself alone, in one clear line; and harmless ones are ranked.

By default a spread of the corpus; all of it with `ROBUSTNESS=full` in the environment.
"""

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from corpus import CATEGORIES, EITHER, EXECUTED, RANKED, REFUSED, SECRET, cases, spread
from corpus.base import changed, put
from corpus.files import planted_pickle
from corpus.strings import PAYLOADS, plant
from small_models import encoder, save

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, links, limits")

CHOSEN = cases() if os.environ.get("ROBUSTNESS") == "full" else spread()

#: Seconds beyond a case's own for starting a worker on a busy machine.
SLACK = 2.0

#: Bytes that the process which starts the workers may come to hold.
GROWTH = 100 * 2**20

OPTIONS = (
    "--limit", "3", "--device", "cpu", "--no-store", "--max-time", "20s", "--max-memory", "3GiB",
    "-f", "json", "-v",
)  # fmt: skip

#: Makes terminals and colours of pipes.
VARIABLES = {"CI", "CLICOLOR_FORCE", "FORCE_COLOR", "GITHUB_ACTIONS", "TTY_COMPATIBLE"}


@dataclass(frozen=True)
class Run:
    """What the command left: on its streams, and in every format."""

    out: bytes
    err: bytes
    folder: Path

    @cached_property
    def formats(self):
        return {file.suffix[1:]: file.read_bytes() for file in self.folder.glob("result.*")}

    @cached_property
    def json(self):
        return json.loads(self.out)

    @cached_property
    def measured(self):
        return json.loads((self.folder / "measured.json").read_text())

    @cached_property
    def errors(self):
        """The lines about models, by the models' names."""
        found = {}
        for line in self.err.decode().splitlines():
            if match := re.match(r"error: (\S+): (.+)", line):
                found.setdefault(match[1], []).append(match[2])
        return found

    @cached_property
    def texts(self):
        return {"stdout": self.out, "stderr": self.err, **self.formats}


@dataclass(frozen=True)
class Runs:
    root: Path
    paths: dict[str, Path]
    alone: Run
    beside: Run
    among: Run

    @property
    def all(self):
        return {"alone": self.alone, "beside": self.beside, "among": self.among}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two good models alone, beside what must be refused, and among what must be ranked."""
    root = tmp_path_factory.mktemp("corpus")
    good = [
        save(encoder(), root / "plain.onnx"),
        save(encoder(2, nhwc=True, framework="TensorFlow"), root / "other.onnx"),
    ]
    paths = {case.name: case.write(root / "cases") for case in CHOSEN}
    chosen = {
        "alone": [],
        "beside": [paths[case.name] for case in CHOSEN if case.expected == REFUSED],
        "among": [paths[case.name] for case in CHOSEN if case.expected != REFUSED],
    }
    yield Runs(
        root,
        paths,
        **{name: _run(root / "runs" / name, [*good, *more]) for name, more in chosen.items()},
    )
    shutil.rmtree(root)


def _run(folder, models):
    """Runs the command in a directory that is full of a stranger's modules."""
    (folder / "here").mkdir(parents=True)
    plant(folder / "here")
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    ended = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("run_corpus.py"),
            folder,
            "rank",
            *models,
            *OPTIONS,
        ],
        cwd=folder / "here",
        env=environment | {"XDG_CACHE_HOME": str(folder), "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=3600,
    )
    assert ended.returncode in (0, 1), ended.stderr.decode()[-2000:]
    return Run(ended.stdout, ended.stderr, folder)


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_outcome(case, runs):
    """What a case must come to, within its time, and told in one line that says why."""
    run = runs.beside if case.expected == REFUSED else runs.among
    names = {case.name, str(runs.paths[case.name])}
    failures = [failure for failure in run.json["failures"] if failure["name"] in names]
    ranked = any(model["name"] == case.name for model in run.json["models"])

    assert len(failures) + ranked == 1
    assert case.expected in (EITHER, RANKED if ranked else REFUSED), failures
    assert run.measured["seconds"].get(case.name, 0) <= case.seconds + SLACK
    if ranked:
        alike = {row["name"]: row["similarity"] for row in _sources(run, "plain")}
        assert not case.alike or alike[case.name] > 0.9999
        return
    (failure,) = failures
    ((line,),) = [run.errors[name] for name in names if name in run.errors]
    assert re.search(case.told, failure["message"])
    assert re.search(case.told, line)
    assert "bug in onnxattr" not in failure["hint"], failure["message"]


def test_good_models_are_ranked_as_if_alone(runs):
    """Byte for byte; JSON tells besides what was left out, and how long it took."""
    assert len(runs.beside.formats) == 6
    for form, content in runs.beside.formats.items():
        if form != "json":
            assert content == runs.alone.formats[form]
    beside, alone = (
        {**run.json, "failures": [], "seconds": {}} for run in (runs.beside, runs.alone)
    )
    assert json.dumps(beside) == json.dumps(alone)
    similarities = [
        next(row for row in _sources(run, "plain") if row["name"] == "other")["similarity"]
        for run in runs.all.values()
    ]
    assert len(set(similarities)) == 1


def _sources(run, name):
    return next(target for target in run.json["targets"] if target["name"] == name)["sources"]


def test_no_output_shows_more_than_it_should(runs):
    for name, run in runs.all.items():
        for stream, content in run.texts.items():
            where = f"{stream} of the models {name}"
            assert b"Traceback" not in content, where
            assert SECRET not in content, where
            assert b"root:x:0" not in content, where
            hidden = _hidden(content.decode())
            assert not hidden, f"{where}: {hidden}"


def _hidden(text):
    """Returns the characters that move a cursor, hide, or reorder."""
    text = text.replace("\n", "").replace("\t", "")
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")}


def test_nothing_was_executed(runs):
    assert list(runs.root.rglob(f"*{EXECUTED}*")) == []


def test_the_memory_of_the_parent(runs):
    measured = runs.beside.measured
    assert measured["before"] > 0
    assert measured["most"] - measured["before"] < GROWTH


def test_payloads_run_where_nobody_is_careful(tmp_path):
    """Without this, the tests above could not fail."""
    import onnx2torch
    import torch

    path = tmp_path / "model.onnx"
    pickle.loads(planted_pickle(path))["state_dict"].close()
    made = tmp_path / EXECUTED
    assert made.exists()
    made.unlink()
    proto = changed(put("graph.node.2.name", PAYLOADS["call"](path)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx2torch.convert(proto)(torch.zeros(1, 3, 12, 12))
    assert made.exists()


def test_the_corpus():
    found = cases()
    names = [case.name for case in found]
    assert len(names) == len(set(names)) >= 220
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert {case.category for case in found} == set(CATEGORIES)
    assert {case.category for case in spread()} == set(CATEGORIES)
    assert all(bool(case.told) == (case.expected != RANKED) for case in found)


def test_the_corpus_is_the_same_every_time(tmp_path):
    def digests():
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
        paths = [case.write(tmp_path / "again") for case in spread()]
        regular = [p for p in paths if p.is_file() and p.stat().st_size < 10**8]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in regular]

    assert digests() == digests()
