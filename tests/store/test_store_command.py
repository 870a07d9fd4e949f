"""`onnxattr store`: what it prints, what it returns, and what it leaves alone."""

import os
import subprocess
import sys
import time
import unicodedata

import pytest
from entries import ABOUT, KEY, OTHER, block, files, forged, record

from onnxattr.store import Store, make_key

HOSTILE = {
    "escape": "a\x1b[31mred\x1b]0;title\x07",
    "newline": "one\ntwo\r\x0b\x85three",
    "bidi": "safe\u202egnp.exe\u2066\u200b\ufeff",
    "line-separator": "a\u2028b\u2029c",
    "surrogate": "caf\udce9",
    "markup": "[bold]x[/bold][/x] [link=http://x]y[/link] :smile:",
    "long": "x" * 100_000,
}


@pytest.fixture
def store(tmp_path):
    """Two entries of different age."""
    store = Store(tmp_path / "store")
    store.put(KEY, block(0, 1), ABOUT)
    store.put(KEY, block(2), ABOUT)
    about = ABOUT | {"name": "depth", "method": "elrp", "model": "d" * 64}
    store.put(OTHER, block(0, key=OTHER, size=(300, 400)), about)
    for path in (store.root / "v1" / OTHER[:2] / OTHER).iterdir():
        then = time.time() - 3 * 86400 - 100
        os.utime(path, (then, then))
    return store


def test_list(run, store):
    outcome = run("list", "--store", store.root)
    assert (outcome.code, outcome.err) == (0, "")
    head, first, second = outcome.out.splitlines()
    assert " ".join(head.split()) == "model sha256 method attributed at probes MiB last used"
    assert first.split() == ["edges", "c" * 12, "saliency", "features", "3", "0.0", "just", "now"]
    assert second.split() == ["depth", "d" * 12, "elrp", "features", "1", "0.5", "3", "days", "ago"]


def test_list_as_json(run, store):
    outcome = run("list", "--store", store.root, "-f", "json")
    assert (outcome.code, outcome.err) == (0, "")
    assert list(outcome.json) == ["schema_version", "kind", "store", "entries"]
    assert (outcome.json["schema_version"], outcome.json["kind"]) == (1, "store")
    assert outcome.json["store"] == str(store.root)
    first, second = outcome.json["entries"]
    assert list(first) == ["key", "about", "probes", "bytes", "used", "blocks"]
    assert (first["key"], first["about"]) == (KEY, ABOUT)
    assert (first["probes"], first["blocks"]) == (3, 2)
    assert second["bytes"] == sum(
        path.stat().st_size for path in (store.root / "v1" / OTHER[:2] / OTHER).iterdir()
    )
    assert second["used"] == pytest.approx(time.time() - 3 * 86400, abs=1000)


def test_the_store_may_be_named_by_a_variable(run, store, monkeypatch):
    monkeypatch.setenv("ONNXATTR_STORE", str(store.root))
    assert len(run("list").out.splitlines()) == 3
    assert run("check").out == "3 intact, 0 damaged\n"


def test_an_unknown_format(run, store):
    outcome = run("list", "--store", store.root, "--format", "jsn")
    assert (outcome.code, outcome.out) == (2, "")
    error, hint = outcome.err.splitlines()
    assert error == "error: there is no format `jsn`"
    assert hint == "hint: did you mean `json`? valid are `json`, `table`"


@pytest.mark.parametrize("there", [True, False], ids=["empty", "missing"])
def test_an_empty_store(run, tmp_path, there):
    root = tmp_path / "store"
    if there:
        root.mkdir()

    listed = run("list", "--store", root)
    assert (listed.code, listed.out) == (0, "")
    assert listed.err == f"the store `{root}` is empty\n"
    as_json = run("list", "--store", root, "-f", "json")
    assert (as_json.code, as_json.err, as_json.json["entries"]) == (0, "", [])
    checked = run("check", "--store", root)
    assert (checked.code, checked.out, checked.err) == (0, "0 intact, 0 damaged\n", "")
    pruned = run("prune", "--store", root, "--max-size", "1")
    assert (pruned.code, pruned.out) == (0, "0 files removed, 0.0 MiB freed\n")

    assert root.exists() == there
    assert not there or list(root.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["list"], ["check"], ["prune", "--max-size", "1"]], ids=lambda c: c[0]
)
def test_a_store_that_is_no_directory(run, tmp_path, command):
    (tmp_path / "store").write_text("mine")
    outcome = run(*command, "--store", tmp_path / "store")
    assert (outcome.code, outcome.out) == (3, "")
    error, hint = outcome.err.splitlines()
    assert error == f"error: the store `{tmp_path / 'store'}` is no directory"
    assert hint.startswith("hint: ")
    assert (tmp_path / "store").read_text() == "mine"


def test_check(run, store):
    outcome = run("check", "--store", store.root)
    assert (outcome.code, outcome.out, outcome.err) == (0, "3 intact, 0 damaged\n", "")


def test_check_of_a_damaged_store(run, store):
    damaged = files(store.root)[0]
    damaged.write_bytes(b"")

    outcome = run("check", "--store", store.root)

    assert (outcome.code, outcome.out) == (1, "2 intact, 1 damaged\n")
    (line,) = outcome.err.splitlines()
    short = f"{damaged.parent.name[:16]}-{damaged.name}"
    assert line.startswith(f"error: the stored maps `{short}` are damaged (")
    assert files(store.root, below="damaged") == [store.root / "damaged" / short]
    assert run("check", "--store", store.root).code == 0


@pytest.mark.parametrize(
    ("options", "removed"),
    [
        (["--older-than", "2d"], 1),
        (["--older-than", "100h"], 0),
        (["--max-size", "100kB"], 1),
        (["--max-size", "1"], 3),
        (["--older-than", "30d", "--max-size", "5GiB"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_prune(run, store, options, removed):
    outcome = run("prune", "--store", store.root, *options)
    assert (outcome.code, outcome.err) == (0, "")
    count = "1 file" if removed == 1 else f"{removed} files"
    freed = "0.5" if removed else "0.0"
    assert outcome.out == f"{count} removed, {freed} MiB freed\n"
    assert len(files(store.root)) == 3 - removed


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "nothing says what to remove"),
        (["--older-than", "soon"], "--older-than takes a time, not `soon`"),
        (["--older-than", "0"], "--older-than takes a time, not `0`"),
        (["--older-than", "-1d"], "--older-than takes a time, not `-1d`"),
        (["--older-than", "1d\x1b[2J"], "--older-than takes a time, not `1d\\x1b[2J`"),
        (["--max-size", "0"], "--max-size takes a size, not `0`"),
        (["--max-size", "big"], "--max-size takes a size, not `big`"),
        (["--max-size", "1PB"], "--max-size takes a size, not `1PB`"),
        (["--max-size", "nan"], "--max-size takes a size, not `nan`"),
        (["--max-sise", "1"], "no such option: --max-sise"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_of_prune(run, store, arguments, error):
    outcome = run("prune", "--store", store.root, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    first, hint = outcome.err.splitlines()
    assert first.startswith(f"error: {error}")
    assert hint.startswith("hint: ")
    assert len(files(store.root)) == 3


def test_an_unknown_command(run):
    outcome = run("lsit")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: no such command 'lsit'")


def test_no_command_shows_the_help(run):
    outcome = run()
    assert outcome.code == 2
    assert all(command in outcome.out for command in ("list", "check", "prune"))


@pytest.mark.parametrize("command", ["list", "check", "prune"])
def test_help(run, command):
    outcome = run(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert "--store" in outcome.out


def visible(text):
    """Whether `text` holds nothing but letters and line ends of the format's own."""
    return all(
        c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text
    )


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_records(run, store, text, form):
    """What a record says comes from files of a vendor, or from whoever can write to the store."""
    about = dict.fromkeys((*ABOUT, text), text)
    store.put(make_key({"hostile": 1}), block(0, key=make_key({"hostile": 1})), about)

    outcome = run("list", "--store", store.root, "-f", form)

    assert (outcome.code, outcome.err) == (0, "")
    assert visible(outcome.out)
    assert len(outcome.out) < 40_000
    if form == "table":
        assert len(outcome.out.splitlines()) == 4
    if text == HOSTILE["markup"]:
        assert text in outcome.out


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize(
    "value",
    [None, True, 10**4000, -1.5e308, [], {}, ["\x1b[2J", {"\u202e": ["[/x]"]}]],
    ids=["null", "true", "integer", "float", "list", "object", "nested"],
)
def test_records_of_other_types(run, store, value, form):
    path = files(store.root)[0]
    key = path.parent.name
    about = {"name": value, "model": value, "method": value, "tensor": value}
    path.write_bytes(forged(block(0).values, record(key=key, about=about)))

    outcome = run("list", "--store", store.root, "-f", form)

    assert (outcome.code, outcome.err) == (0, "")
    assert visible(outcome.out)


def test_records_without_what_the_table_shows(run, store):
    path = files(store.root)[0]
    path.write_bytes(forged(block(0).values, record(key=path.parent.name, about={})))
    assert run("list", "--store", store.root).code == 0


def test_names_are_not_cut_where_there_is_no_terminal(run, store):
    name = "a model with a long name " * 12
    key = make_key({"long": 1})
    store.put(key, block(0, key=key), ABOUT | {"name": name})
    outcome = run("list", "--store", store.root)
    assert name in outcome.out
    assert len(outcome.out.splitlines()) == 4
    assert all(line == line.rstrip() for line in outcome.out.splitlines())


def test_names_are_folded_on_a_terminal(store, tmp_path):
    pty = pytest.importorskip("pty", reason="this system has no terminals of this kind")
    if sys.platform != "linux":
        pytest.skip("terminals behave differently")
    key = make_key({"long": 1})
    store.put(key, block(0, key=key), ABOUT | {"name": "\x1b[2J[/x]" + "long " * 30})
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "80", "PYTHONIOENCODING": "ascii"}
    done = subprocess.Popen(
        [sys.executable, "-m", "onnxattr", "store", "list", "--store", str(store.root)],
        stdout=slave,
        stderr=slave,
        stdin=slave,
        env=environment,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            more = os.read(master, 4096)
        except OSError:  # The other end is closed.
            break
        if not more:
            break
        shown += more
    os.close(master)
    assert done.wait(timeout=60) == 0
    lines = shown.decode("ascii").splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in shown.decode("ascii")
    assert "\\x1b[2J[/x]long" in shown.decode("ascii")
    assert sum(line.count("long") for line in lines) == 30


def test_errors_show_tracebacks_only_if_asked_for(run, tmp_path, capsys):
    (tmp_path / "store").write_text("")
    assert "Traceback" not in run("list", "--store", tmp_path / "store").err
    done = subprocess.run(
        [sys.executable, "-m", "onnxattr", "store", "list", "--debug"],
        env={**os.environ, "ONNXATTR_STORE": str(tmp_path / "store")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "Traceback" in done.stderr
