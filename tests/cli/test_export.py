"""Exports and what becomes of sources in rankings, with an outside adapter for all frameworks.

The adapter copies an ONNX file out of its source, or does what such a program must not do.
"""

import importlib.metadata
import os
import sys
import time
from pathlib import Path

import psutil
import pytest
import small_models

import onnxattr
from onnxattr.pipeline import adapters

ODD = Path(__file__).resolve().parents[1] / "adapters"
TRUST = "--trust-source"


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    """Installs three adapters, of which one is broken; `entries(...)` chooses others."""
    monkeypatch.syspath_prepend(str(ODD))
    monkeypatch.syspath_prepend(str(ODD.parents[1] / "adapters"))

    def install(**values):
        made = [importlib.metadata.EntryPoint(n, v, adapters.GROUP) for n, v in values.items()]
        monkeypatch.setattr(adapters, "entry_points", lambda group: made)

    install(odd="odd_adapters:ODD", broken="odd_adapters:BROKEN", missing="no_such_module:X")
    return install


@pytest.fixture
def source(tmp_path):
    """Writes a source that holds an encoder and does something."""

    def write(what, name="net.odd", seed=1):
        proto = small_models.encoder(seed)
        path = tmp_path / name
        path.write_bytes(what.encode() + b"\n" + proto.SerializeToString(deterministic=True))
        return path

    return write


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "net.onnx"


def test_a_file_is_written_and_said(run, source, target):
    outcome = run("export", source("print"), "-o", target, TRUST)

    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith(f"{target}: {target.stat().st_size} bytes, compared with ")
    assert target.read_bytes() == small_models.encoder(1).SerializeToString(deterministic=True)
    assert os.listdir(target.parent) == ["net.onnx"]


def test_quiet(run, source, target):
    outcome = run("export", source(""), "-o", target, TRUST, "-q")
    assert (outcome.code, outcome.err) == (0, "")


def test_code_is_not_run_unasked(run, source, target):
    outcome = run("export", source(""), "-o", target)

    assert outcome.code == 2
    (error,) = outcome.errors
    assert error.endswith("may hold code, which its export would run with your rights")
    assert outcome.hints[0].startswith("--trust-source allows it")
    assert not target.exists()


def test_what_holds_no_code_needs_no_trust(run, source, target):
    assert run("export", source("", "net.safe"), "-o", target).code == 0


@pytest.mark.parametrize(
    ("what", "error", "hint"),
    [
        ("refuse", "net.odd: not this one, says \\x1b[31mthe adapter", ""),
        ("bug", "net.odd: ValueError: a bug", ""),
        ("silent bug", "net.odd: ValueError:", ""),
        ("exit", "net.odd: SystemExit: 0", ""),
        ("require", "net.odd: `no_such_framework` is not installed", "pip install 'odd-package'"),
        ("import", "net.odd: `no_such_framework` is not installed", "pip install 'odd-package'"),
        ("crash", "the process that exported it was killed by SIGSEGV", ""),
        ("leave", "the process that exported it ended with code 0", ""),
        ("nothing", "the adapter `odd` left no file", ""),
        ("link", "the adapter `odd` left no file", ""),
    ],
)
def test_what_goes_wrong_is_one_line(run, source, target, what, error, hint):
    target.write_text("as before")
    outcome = run("export", source(what), "-o", target, TRUST)

    assert outcome.code == 3
    (told,) = outcome.errors
    assert error in told
    assert outcome.hints == ([hint] if hint else [])
    assert len(outcome.err.splitlines()) == 1 + bool(hint)
    assert target.read_text() == "as before"
    assert os.listdir(target.parent) == ["net.onnx"]


def test_a_long_reason_is_cut(run, source, target):
    (error,) = run("export", source("long"), "-o", target, TRUST).errors
    assert error.endswith("xxx…")
    assert len(error) < 1000


def test_time_is_bounded_and_children_end_too(run, source, target):
    started = time.monotonic()
    outcome = run("export", source("child"), "-o", target, TRUST, "--max-time", "4s")

    assert outcome.code == 3
    assert outcome.errors == ["its export takes more than 4 s and was stopped"]
    assert outcome.hints == ["--max-time allows more"]
    assert time.monotonic() - started < 60
    child = int((target.parents[1] / "child").read_text())
    for _ in range(100):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie":
            break
        time.sleep(0.1)
    else:
        pytest.fail("a child of the export lives on")


def test_memory_is_bounded(run, source, target):
    outcome = run("export", source("fill"), "-o", target, TRUST, "--max-memory", "300MB")
    assert outcome.code == 3
    assert outcome.errors == ["its export takes more than 0.293 GiB of memory and was stopped"]


def test_size_is_bounded(run, source, target):
    outcome = run("export", source(""), "-o", target, TRUST, "--max-file-size", "100")
    assert outcome.code == 3
    assert outcome.errors == ["the file has more than 100 bytes"]
    assert not target.exists()


def test_nothing_is_left_behind(run, source, target, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("export", source("litter"), "-o", target, TRUST).code == 0
    assert os.listdir(target.parent) == ["net.onnx"]
    assert os.listdir() == []


def test_relative_paths_are_the_users(run, source, target, monkeypatch):
    source("options")
    monkeypatch.chdir(target.parents[1])
    outcome = run("export", "net.odd", "-o", "out/net.onnx", TRUST, "--example", "a.npy")
    assert outcome.errors == [f"net.odd: options [('example', ['{target.parents[1]}/a.npy'])]"]


@pytest.mark.parametrize(
    ("options", "code", "error", "hint"),
    [
        (["--adapter", "odb"], 2, "there is no adapter `odb`", "did you mean `odd`?"),
        (["--adapter", "broken"], 3, "`odd_adapters:BROKEN` is no adapter: it has no `rec", ""),
        (["--adapter", "missing"], 3, "`missing` cannot be loaded: ModuleNotFoundError", ""),
        (["--state-dict", "w"], 2, "the adapter `odd` takes no --state-dict", ""),
        (["--python", "/no/python"], 3, "`/no/python` cannot be started: No such file", ""),
        (["--python", "/bin/true"], 3, "the process that exported it ended with code 0", ""),
        (["--python", "/bin/echo"], 3, "its adapter said what makes no sense", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")
def test_wrong_options(run, source, target, options, code, error, hint):
    outcome = run("export", source(""), "-o", target, TRUST, *options)

    assert outcome.code == code
    (told,) = outcome.errors
    assert error in told
    assert hint in " ".join(outcome.hints)


def test_a_source_of_nobody(run, tmp_path, target):
    outcome = run("export", tmp_path / "net.xyz", "-o", target)
    assert outcome.code == 2
    assert outcome.errors == [f"no adapter recognises `{tmp_path / 'net.xyz'}`"]
    assert outcome.hints == ["--adapter takes `broken`, `missing`, `odd`"]


def test_a_source_of_two_is_told_by_what_goes_with_it(run, source, target, entries):
    entries(one="odd_adapters:TWIN", two="odd_adapters:OTHER_TWIN")
    twin = source("", "net.twin")

    outcome = run("export", twin, "-o", target, TRUST)
    assert outcome.code == 2
    assert outcome.errors == [f"`{twin}` may be for `one`, `two`"]
    assert outcome.hints == ["--adapter says which"]
    assert run("export", twin, "-o", target, TRUST, "--state-dict", "w").code == 0
    assert run("export", twin, "-o", target, TRUST, "--adapter", "one").code == 0


def test_a_missing_directory(run, source, tmp_path):
    outcome = run("export", source(""), "-o", tmp_path / "no" / "net.onnx", TRUST)
    assert outcome.code == 2
    assert "there is no directory" in outcome.errors[0]


def test_sources_are_ranked_beside_files(rank, source, good):
    outcome = rank(good, source(""), source("", "other.safe", seed=5), TRUST)

    assert outcome.code == 0, outcome.err
    assert outcome.ranked == ["depth-keras", "edges-torch", "net.odd", "other.safe"]
    paths = {model["name"]: model["path"] for model in outcome.json["models"]}
    assert paths["net.odd"] == str(source(""))
    twin = next(t for t in outcome.json["targets"] if t["name"] == "net.odd")
    assert twin["sources"][0]["name"] == "edges-torch"
    assert twin["sources"][0]["duplicate"] is True


def test_a_second_run_takes_maps_from_the_store(rank, source, good):
    assert rank(good, source(""), TRUST).code == 0
    assert len(rank(good, source(""), TRUST).json["stored"]) == 3


def test_a_source_is_a_target_by_name_and_by_path(rank, source, good):
    path = source("", seed=5)
    for target in ("net.odd", path):
        outcome = rank(good, path, TRUST, "--target", target)
        assert [t["name"] for t in outcome.json["targets"]] == ["net.odd"]


def test_a_failing_source_costs_itself(rank, source, good):
    bad = source("refuse", "bad.safe")
    crash = source("crash", "crash.safe")
    outcome = rank(good, bad, crash, source(""))

    assert outcome.code == 1
    assert outcome.ranked == ["depth-keras", "edges-torch"]
    assert outcome.errors == [
        "bad.safe: not this one, says \\x1b[31mthe adapter",
        "crash.safe: the process that exported it was killed by SIGSEGV",
        f"net.odd: `{source('')}` may hold code, which its export would run with your rights",
    ]


def test_two_sources_are_compared(run, source):
    outcome = run(
        "compare", source(""), source("", "b.safe", seed=3), TRUST, "--limit", "3", "-f", "json"
    )
    assert outcome.code == 0, outcome.err
    assert [model["name"] for model in outcome.json["models"]] == ["net.odd", "b.safe"]


def test_a_source_is_inspected(run, source, good):
    path = source("", "net.safe", seed=5)
    bad = source("refuse", "bad.safe")
    outcome = run("inspect", good, path, bad, "-f", "json")

    assert outcome.code == 1
    assert [model["name"] for model in outcome.json["models"]] == [
        "depth-keras",
        "edges-torch",
        "net.safe",
    ]
    assert outcome.json["models"][2]["path"] == str(path)
    assert [error.split(":")[0] for error in outcome.errors] == ["bad.safe"]


def test_a_directory_that_is_a_source_is_one_model(run, entries, tmp_path, monkeypatch):
    entries(folder="folder_adapters:ADAPTER")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "folder_adapters.py").write_text(
        "import shutil\n"
        "class Adapter:\n"
        "    install, takes = 'x', ()\n"
        "    def recognises(self, source): return source.endswith('folder')\n"
        "    def holds_code(self, source): return False\n"
        "    def export(self, source, path): shutil.copy(source + '/model.onnx', path)\n"
        "ADAPTER = Adapter()\n"
    )
    small_models.save(small_models.encoder(1), tmp_path / "folder" / "model.onnx")
    outcome = run("inspect", tmp_path / "folder", "-f", "json")
    assert [model["name"] for model in outcome.json["models"]] == ["folder"]


def test_onnx_files_never_wake_an_adapter(rank, good, monkeypatch):
    monkeypatch.setattr(adapters, "_adapters", lambda: pytest.fail("adapters were looked for"))
    assert rank(*sorted(good.glob("*.onnx"))).code == 0


def test_the_library_exports_too(source, target):
    options = onnxattr.ExportOptions(trust_source=True)
    assert onnxattr.export(source(""), target, options=options) == target
    with pytest.raises(onnxattr.ExportError, match="not this one"):
        onnxattr.export(source("refuse"), target, options=options)
    with pytest.raises(onnxattr.UsageError, match="may hold code"):
        onnxattr.export(source(""), target)
