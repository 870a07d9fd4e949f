"""`onnxattr audit`: gates and exit codes, bad input, hostile files, all formats."""

import csv
import io
import json
import unicodedata
from dataclasses import replace

import audits
import pytest
from small_models import encoder, save

from onnxattr import pipeline
from onnxattr.cli.console import Format
from onnxattr.errors import RankingError
from onnxattr.lineage.policy import judge, parse_condition

FEW = ("--limit", "4", "--device", "cpu", "--no-store", "--no-progress")

#: Nothing was left out, so that gates alone decide the exit code.
DERIVED, CLOSER, BARE = (
    replace(result, failures=()) for result in (audits.DERIVED, audits.CLOSER, audits.BARE)
)


@pytest.fixture
def audited(monkeypatch, run):
    """Runs the command on an audit that is made already, judged by what the command says."""

    def audited(result, *arguments):
        def made(suspect, *, fail_if, **others):
            conditions = [parse_condition(text) for text in fail_if]
            gates = judge(conditions, result.verdict, result.relations, result.nearest)
            return replace(result, gates=gates)

        monkeypatch.setattr(pipeline, "audit", made)
        return run("audit", "vendor.onnx", "-a", "known.onnx", *arguments)

    return audited


@pytest.mark.parametrize(
    ("result", "conditions", "code"),
    [
        (DERIVED, [], 0),
        (DERIVED, ["derived"], 1),
        (DERIVED, ["identical"], 0),
        (DERIVED, ["closer"], 1),
        (DERIVED, ["undecidable"], 0),
        (DERIVED, ["weights>0.9"], 1),
        (DERIVED, ["weights>0.95", "copied>=0.5"], 0),
        (DERIVED, ["undecidable", "score>=0.9"], 1),
        (CLOSER, ["closer"], 1),
        (CLOSER, ["derived"], 0),
        (CLOSER, ["similarity>0.9"], 0),
        (CLOSER, ["similarity > 0.89"], 1),
        (CLOSER, ["p<0.05"], 1),
        (CLOSER, ["p<0.01"], 0),
        (BARE, ["derived"], 0),
        (BARE, ["undecidable"], 1),
        # What could not be had keeps a gate shut.
        (BARE, ["similarity>0.9"], 1),
        (BARE, ["p<0.05"], 1),
        (BARE, ["copied>0.1"], 1),
    ],
)
def test_conditions_decide_the_exit_code(audited, result, conditions, code):
    options = [part for text in conditions for part in ("--fail-if", text)]
    outcome = audited(result, "-f", "json", *options)
    assert outcome.code == code
    assert [gate["text"] for gate in outcome.json["gates"]] == conditions
    assert any(gate["crossed"] for gate in outcome.json["gates"]) == bool(code)
    assert audited(result, "--exit-zero", *options).code == 0


def test_a_gate_that_cannot_be_checked_says_so(audited):
    outcome = audited(BARE, "--fail-if", "similarity>0.9")
    assert "FAILS  similarity>0.9: the largest cosine of maps to a reference could not be had" in (
        outcome.out
    )


@pytest.mark.parametrize("condition", ["dervied", "similarity", "similarity>much", "derived>1", ""])
def test_a_bad_condition_is_wrong_usage(run, tmp_path, condition):
    file = save(encoder(), tmp_path / "a.onnx")
    outcome = run("audit", file, "-a", file, "--fail-if", condition)
    assert (outcome.code, len(outcome.errors), outcome.out) == (2, 1, "")


@pytest.mark.parametrize(
    ("suspect", "against", "error"),
    [
        ("a.onnx", (), "there are no references to hold it against"),
        ("a.onnx", ("empty",), "there are no references to hold it against"),
        ("gone.onnx", ("a.onnx",), "`gone.onnx` does not exist"),
        ("empty", ("a.onnx",), "`empty` is a directory"),
        ("*.onnx", ("a.onnx",), "`*.onnx` is not one file"),
        ("none*.onnx", ("a.onnx",), "`none*.onnx` is not one file"),
    ],
)
def test_what_is_no_audit_is_told_in_a_line(run, tmp_path, monkeypatch, suspect, against, error):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        save(encoder(), tmp_path / f"{name}.onnx")
    (tmp_path / "empty").mkdir()
    outcome = run("audit", suspect, *(part for each in against for part in ("-a", each)))
    assert (outcome.code, outcome.errors, outcome.out) == (2, [error], "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "is empty"), (b"\x08\x07 no model", "is"), (b"\x0a\xff\xff\xff\xff\x0f", "is")],
)
def test_a_suspect_that_cannot_be_loaded_is_told_before_all_else(run, tmp_path, data, reason):
    suspect = tmp_path / "vendor.onnx"
    suspect.write_bytes(data)
    known = save(encoder(), tmp_path / "known.onnx")
    outcome = run("audit", suspect, "-a", known, "-a", tmp_path / "gone.onnx", *FEW)
    assert outcome.code == 3
    (error,) = outcome.errors
    assert error.startswith(f"the suspect `{suspect}` cannot be audited: ")
    assert reason in error.partition("audited: ")[2]


#: What a vendor may call things.
NASTY = "\x1b[31m\u202egnp\u2066<script>alert(1)</script>|`*_\"'"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A suspect and a reference that are called by anything but a name, and say much."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = []
    for number in range(2):
        proto = encoder(number)
        proto.producer_name, proto.doc_string = NASTY, NASTY + "x" * 10_000
        proto.graph.name = NASTY
        entry = proto.metadata_props.add()
        entry.key, entry.value = NASTY, "y" * 10_000
        for node in proto.graph.node:
            node.name += NASTY
        proto.graph.output[0].name = proto.graph.node[-1].output[0] = NASTY
        name = f"{number}{NASTY}".replace("/", "\u2215")
        paths.append(save(proto, folder / f"{name}.onnx"))
    return pipeline.audit(
        paths[0],
        against=[paths[1], paths[0], folder / f"gone{NASTY.replace('/', '')}.onnx"],
        options=pipeline.Options(limit=4, device="cpu", store=None),
        fail_if=["undecidable"],
    )


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("columns", ["80", "160"])
def test_what_a_vendor_says_stays_inert_in_every_form(
    run, hostile, monkeypatch, tmp_path, form, columns
):
    monkeypatch.setattr(pipeline, "audit", lambda *arguments, **others: hostile)
    monkeypatch.setenv("COLUMNS", columns)
    outcome = run("audit", "s.onnx", "-a", "r.onnx", "-f", form.value)
    file = tmp_path / "made"
    assert run("audit", "s.onnx", "-a", "r.onnx", "-f", form.value, "-o", file).code == 1
    assert file.read_text("utf-8") == outcome.out
    assert outcome.code == 1
    hidden = [
        c for c in outcome.out + outcome.err if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")
    ]
    assert not {*hidden} - {"\n", *(["\t"] if form is Format.tsv else [])}
    assert "\\x1b[31m" in outcome.out.replace("\\\\", "\\").replace("\\[", "[")
    assert "y" * 600 not in outcome.out
    if form is Format.markdown:
        assert "<script>" not in outcome.out
    if form in (Format.json, Format.jsonl):
        for line in [outcome.out] if form is Format.json else outcome.out.splitlines():
            json.loads(line)
    if form in (Format.csv, Format.tsv):
        rows = csv.DictReader(
            io.StringIO(outcome.out), delimiter="," if form is Format.csv else "\t"
        )
        assert len(list(rows)) == 2


def test_an_audit_from_files_to_a_gate(run, tmp_path):
    """A copy under another name, beside a reference that is no model: gates and coverage."""
    known = save(encoder(1), tmp_path / "known.onnx")
    other = save(encoder(2), tmp_path / "other.onnx")
    vendor = tmp_path / "vendor.onnx"
    vendor.write_bytes(known.read_bytes())
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"")
    arguments = ["audit", vendor, "-a", known, "-a", other, *FEW]
    outcome = run(*arguments, "--fail-if", "derived", "--fail-if", "undecidable")
    assert outcome.code == 1
    assert outcome.errors == []
    assert "Verdict: identical to known" in outcome.out
    assert "FAILS   derived: the verdict is: identical (known)" in outcome.out
    assert "passes  undecidable: the verdict is: identical (known)" in outcome.out
    assert run(*arguments).code == 0
    outcome = run(*arguments, "-a", broken, "-f", "json")
    assert outcome.code == 1
    assert [failure["name"] for failure in outcome.json["failures"]] == ["broken"]
    assert outcome.errors == ["broken: the file is empty"]
    assert not [line for line in outcome.warnings if "broken" in line]
    assert outcome.json["verdict"]["kind"] == "identical"


def test_an_error_of_the_suspect_comes_with_its_hint(run, monkeypatch):
    def refuse(*arguments, **others):
        raise RankingError("the suspect `x` cannot be audited: it is empty", hint="get another")

    monkeypatch.setattr(pipeline, "audit", refuse)
    outcome = run("audit", "x.onnx", "-a", "r.onnx")
    assert (outcome.code, outcome.hints) == (3, ["get another"])
