"""What the result looks like in each format, and where it goes."""

import csv
import io
import json
import os
import re
import stat
import threading

import pytest
from small_models import encoder, save

FORMATS = ["table", "json", "jsonl", "csv", "tsv", "markdown"]
PRECISE = re.compile(r"-?\d\.\d{10,}(e-\d+)?")


def test_json_is_an_interface(rank, good):
    """Keys are added within a version of the schema, never removed or moved."""
    document = rank(good).json

    assert list(document) == [
        "schema_version", "kind", "targets", "models", "failures", "similarity", "warnings",
        "settings", "versions", "unfinished", "assumptions", "measures", "stability", "stopping",
        "stored", "seconds",
    ]  # fmt: skip
    assert (document["schema_version"], document["kind"]) == (1, "ranking")
    assert list(document["targets"][0]["sources"][0]) == [
        "name", "rank", "tied", "similarity", "low", "high", "distance", "duplicate", "measures",
        "disputed",
    ]  # fmt: skip
    assert list(document["models"][0])[:4] == ["name", "path", "sha256", "origin"]
    assert list(document["similarity"]) == ["names", "centred", "canvas", "matrix"]
    assert {"onnxattr", "numpy", "onnx", "onnx2torch", "torch"} <= set(document["versions"])


def test_json_holds_all_that_decides_the_numbers(rank, good):
    settings = rank(good, "--method", "elrp", "--at", "r0", "--seed", "5", "--mean", "0.5").json[
        "settings"
    ]

    assert settings["method"] == "elrp"
    assert settings["method_options"] == {}
    assert settings["at"] == "r0"
    assert settings["seed"] == 5
    assert settings["centred"] is True
    assert settings["device"] == "cpu"
    assert settings["input"] == {"mean": [0.5]}
    assert settings["probes"]["count"] == 3
    assert re.fullmatch(r"[0-9a-f]{64}", settings["probes"]["sha256"])


def test_black_box_maps_have_no_parity_in_any_format(rank, good):
    document = rank(good, "--method", "occlusion").json
    assert document["settings"]["method_options"] == {"grid": 8, "span": 1, "fill": "auto"}
    assert [model["parity"] for model in document["models"]] == [None, None]
    for form, empty in (("csv", ",,"), ("tsv", "\t\t"), ("jsonl", '"parity_error": null')):
        assert empty in rank(good, "--method", "occlusion", "-f", form).out
    assert "black box" in rank(good, "--method", "occlusion", "-f", "table").out
    assert "black box" in rank(good, "--method", "occlusion", "-v").err


def test_json_names_the_bytes_of_each_model(rank, good):
    import hashlib

    for entry in rank(good).json["models"]:
        data = (good / f"{entry['name']}.onnx").read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_json_of_the_other_commands(run, good):
    models = sorted(good.iterdir())

    comparison = run("compare", "--limit", 3, "-f", "json", *models).json
    survey = run("inspect", "-f", "json", good).json

    assert (comparison["kind"], len(comparison["probes"])) == ("comparison", 3)
    assert list(comparison)[-1] == "seconds"
    assert (survey["kind"], len(survey["models"])) == ("survey", 2)
    assert survey["models"][0]["spec"]["layout"] == "NHWC"


@pytest.mark.parametrize("form", FORMATS)
def test_two_runs_are_the_same_bytes(run, good, form):
    """All but the wall time, and what was stored, at the end of JSON and nowhere else."""
    one, two = (run("rank", "--limit", 3, "-f", form, good).out for _ in range(2))
    anew = run("rank", "--limit", 3, "-f", form, good, "--no-store").out

    assert one.split('"stored"')[0] == two.split('"stored"')[0] == anew.split('"stored"')[0]
    assert one.split('"seconds"')[0] == anew.split('"seconds"')[0]
    assert ('"seconds"' in one) == (form == "json")


def test_undefined_figures_are_null_in_json_and_blank_in_tables(run, good):
    """Centred maps have no distance in the paper's sense."""
    centred = run("rank", "--limit", 3, "-f", "json", good)
    (row, _) = csv.DictReader(io.StringIO(run("rank", "--limit", 3, "-f", "csv", good).out))

    assert centred.json["targets"][0]["sources"][0]["distance"] is None
    assert row["distance"] == ""


def test_rows_of_all_formats_say_the_same(run, good):
    def text(form):
        return run("rank", "--limit", 3, "-f", form, good).out

    lines = [json.loads(line) for line in text("jsonl").splitlines()]
    commas = list(csv.DictReader(io.StringIO(text("csv"))))
    tabs = list(csv.DictReader(io.StringIO(text("tsv")), delimiter="\t"))
    document = json.loads(text("json"))

    assert commas == tabs
    assert len(lines) == len(commas) == 2
    for line, cells, target in zip(lines, commas, document["targets"], strict=True):
        assert list(line) == list(cells)
        assert line["target"] == cells["target"] == target["name"]
        (source,) = target["sources"]
        assert line["source"] == cells["source"] == source["name"]
        assert line["similarity"] == float(cells["similarity"]) == source["similarity"]
        assert PRECISE.fullmatch(cells["similarity"])
        assert cells["tied"] == "false"


def test_markdown(run, good):
    header, rule, *rows = run("rank", "--limit", 3, "-f", "markdown", good).out.splitlines()

    assert header.startswith("| target | rank | tied | source | similarity |")
    assert rule.startswith("| --- | ---: | --- | --- | ---: |")
    assert len(rows) == 2
    assert len({line.count("|") for line in (header, rule, *rows)}) == 1


@pytest.mark.parametrize(
    ("suffix", "form"),
    [
        ("json", "json"),
        ("JSONL", "jsonl"),
        ("csv", "csv"),
        ("tsv", "tsv"),
        ("md", "markdown"),
        ("txt", "table"),
    ],
)
def test_the_suffix_of_the_output_decides(run, good, tmp_path, suffix, form):
    file = tmp_path / f"result.{suffix}"

    outcome = run("inspect", good, "-o", file)

    assert (outcome.code, outcome.out) == (0, "")
    assert file.read_bytes().decode() == run("inspect", good, "-f", form).out
    assert not list(tmp_path.glob(".onnxattr-*"))


def test_the_format_overrules_the_suffix(run, good, tmp_path):
    run("inspect", good, "-o", tmp_path / "result.csv", "-f", "json")

    assert json.loads((tmp_path / "result.csv").read_text())["kind"] == "survey"


def test_a_dash_is_stdout(run, good):
    assert run("inspect", good, "-o", "-").out == run("inspect", good).out


def test_an_output_keeps_its_mode_and_its_link(run, good, tmp_path):
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("before")
    real.chmod(0o640)
    link.symlink_to(real)

    assert run("inspect", good, "-o", link).code == 0

    assert link.is_symlink()
    assert real.read_text().startswith("model,path,origin")
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_pipe_is_written_to_and_not_replaced(run, good, tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()

    assert run("inspect", good, "-f", "csv", "-o", pipe).code == 0
    reader.join(timeout=10)

    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert received[0].startswith("model,path,origin")


def test_a_failed_write_leaves_what_was_there(run, good, tmp_path, monkeypatch):
    file = tmp_path / "result.json"
    file.write_text("before")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    outcome = run("inspect", good, "-o", file)

    assert outcome.code == 2
    assert outcome.errors == [f"`{file}` cannot be written: No space left on device"]
    assert file.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["result.json"]


def test_a_piped_table_is_plain_and_whole(run, good):
    """Ninety characters of a name are no reason to cut it, where nobody has a width."""
    long = "a-model-with-a-very-long-name-" * 3
    save(encoder(3), good / f"{long}.onnx")

    outcome = run("rank", "--limit", 3, good)

    assert outcome.out.count(long) == 4
    assert "\x1b" not in outcome.out
    assert "…" not in outcome.out
    assert not any(line != line.rstrip() for line in outcome.out.splitlines())


def test_colours_can_be_forced_into_a_pipe(run, good, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")

    outcome = run("inspect", good)

    assert "\x1b[32mcan be ranked" in outcome.out
    assert re.sub(r"\x1b\[[\d;]*m", "", outcome.out).count("can be ranked") == 2


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_that_nobody_wants(run, good, monkeypatch, variable):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(*variable)
    (good / "empty.onnx").touch()

    outcome = run("inspect", good)

    assert not re.search(r"\x1b\[[\d;]*3\dm", outcome.out + outcome.err)


def test_forced_colours_never_reach_data_or_files(run, good, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")

    run("inspect", good, "-o", tmp_path / "table.txt")

    assert "\x1b" not in (tmp_path / "table.txt").read_text()
    for form in FORMATS[1:]:
        assert "\x1b" not in run("inspect", good, "-f", form).out


def test_probabilities_of_places_where_one_target_is_named(rank, good):
    everyone = rank(good).json["targets"]
    assert [target["probabilities"] for target in everyone] == [[], []]
    (one,) = rank(good, "--target", "edges-torch").json["targets"]
    assert list(one) == ["name", "sources", "probabilities"]
    assert one["probabilities"] == [[1.0]]
