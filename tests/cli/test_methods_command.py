"""`onnxattr methods`: the table of methods as people and programs read it."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from onnxattr.attribution.methods import METHODS, parse
from onnxattr.attribution.reductions import REDUCTIONS
from onnxattr.report import methods as report


def test_all_methods_and_reductions_are_listed(run):
    outcome = run("methods")

    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    for name, entry in METHODS.items():
        (line,) = [line for line in lines if line.split(" ")[0] == name]
        assert entry.about in line
        assert entry.cost in line
        assert (" signed " in line) == entry.signed
    for name in REDUCTIONS:
        assert any(line.startswith(name) for line in lines)


def test_nothing_is_left_out_where_lines_are_short(run):
    buffer = io.StringIO()
    rows = json.loads(run("methods", "-f", "json").out)["methods"]

    report.print_all(rows, REDUCTIONS, Console(file=buffer, width=80))

    shown = " ".join(buffer.getvalue().split())
    for name, entry in METHODS.items():
        sign = "signed" if entry.signed else "unsigned"
        for part in (name, entry.about, f"{entry.kind}; {sign}; {entry.cost}"):
            assert " ".join(part.split()) in shown


@pytest.mark.parametrize("name", METHODS)
def test_one_method(run, name):
    outcome = run("methods", name)

    assert outcome.code == 0
    entry = METHODS[name]
    assert entry.source in outcome.out
    for key, option in entry.options.items():
        (line,) = [line for line in outcome.out.splitlines() if line.startswith(f"{key} ")]
        assert option.about in line
    if entry.options:
        example = outcome.out.splitlines()[-1].removeprefix("--method ")
        assert example.startswith(f"{name}:")
        if "…" not in example:
            assert parse(example).name == name


def test_json_holds_all_of_it(run):
    document = json.loads(run("methods", "-f", "json").out)

    assert (document["schema_version"], document["kind"]) == (1, "methods")
    assert [m["name"] for m in document["methods"]] == list(METHODS)
    assert document["reductions"] == dict(REDUCTIONS)
    for method in document["methods"]:
        entry = METHODS[method["name"]]
        assert method["signed"] == entry.signed
        assert [o["name"] for o in method["options"]] == list(entry.options)
        for option in method["options"]:
            known = entry.options[option["name"]]
            assert (option["least"], option["most"]) == (known.least, known.most)
            assert option["default"] == known.default
    assert json.loads(run("methods", "occlusion", "-f", "json").out)["reductions"] == {}


def test_markdown_is_made_of_tables(run):
    tables = run("methods", "-f", "markdown").out.strip().split("\n\n")

    assert len(tables) == 3
    for table in tables:
        rows = table.splitlines()
        columns = {row.replace("\\|", "").count("|") for row in rows}
        assert len(columns) == 1
    assert tables[0].splitlines()[2].startswith(f"| {next(iter(METHODS))} |")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["oclusion"], "there is no method `oclusion`", "did you mean `occlusion`?"),
        (["-f", "csv"], "there is no format `csv`", "valid are `json`, `markdown`, `table`"),
        (["a\x1b[31m"], r"there is no method `a\x1b[31m`", "valid are"),
    ],
)
def test_wrong_usage(run, arguments, error, hint):
    outcome = run("methods", *arguments)

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.errors == [error]
    assert hint in outcome.hints[0]


def test_neither_torch_nor_onnx_is_loaded():
    script = (
        "import sys\nfrom onnxattr.cli.app import main\n"
        "try:\n    main(['methods', 'occlusion'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"torch", "onnx", "onnxruntime", "onnx2torch", "scipy"}
    assert "onnxattr" in loaded
