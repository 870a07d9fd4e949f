"""`onnxattr evaluate`, from files to tables, data and figures."""

import csv
import io
import json
import pickle
import re
from xml.dom import minidom

import evaluations
import numpy as np
import pytest
import small_models

import onnxattr
from onnxattr.report.curves import to_svg

NAMES = [f"m{i}" for i in range(9)]


def write(path, values, names=NAMES):
    """A matrix as CSV, with a row a source."""
    rows = [",".join(["source", *names])]
    rows += [
        ",".join([name, *map(repr, row)])
        for name, row in zip(names, np.asarray(values).tolist(), strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def truth(tmp_path):
    return write(tmp_path / "truth.csv", np.random.default_rng(0).random((9, 9)))


@pytest.fixture
def near(tmp_path):
    rng = np.random.default_rng(0)
    return write(tmp_path / "near.csv", rng.random((9, 9)) + rng.normal(size=(9, 9)) * 0.1)


@pytest.fixture
def far(tmp_path):
    return write(tmp_path / "far.csv", np.random.default_rng(9).random((9, 9)))


def test_a_table_of_measures_and_references(run, truth, near, far):
    outcome = run("evaluate", "--truth", truth, "--similarity", near, "--similarity", f"b={far}")

    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines if re.match("near|b |oracle|random|symm", line)] == [
        "near", "b", "oracle", "random", "symmetric", "b",
    ]  # fmt: skip
    assert "Differences to near, paired by target" in lines
    assert "9 sources, 9 targets; the 5 best are relevant" in lines[-1]
    # Nine targets are few, and a narrow interval is said to be one.
    assert outcome.warnings == ["9 targets leave intervals too narrow or none"]


def test_json_is_an_interface(run, truth, near, far):
    command = ("evaluate", "--truth", truth, "--similarity", near, "--similarity", far)
    document = run(*command, "-f", "json").json

    assert list(document) == [
        "schema_version", "kind", "measures", "references", "sources", "targets", "relevant",
        "missing", "failures", "warnings", "settings", "versions", "stored", "seconds",
    ]  # fmt: skip
    assert (document["schema_version"], document["kind"]) == (1, "evaluation")
    first, second = document["measures"]
    assert list(first) == ["name", "figures", "differences", "curve", "outcomes"]
    assert list(first["figures"]) == [
        "p_at_1", "p_at_relevant", "spearman", "spearman_with_self", "tau", "tau_with_self",
        "regret", "relative_regret",
    ]  # fmt: skip
    assert list(first["figures"]["tau"]) == ["value", "low", "high"]
    assert list(first["curve"][0]) == ["k", "hits", "precision", "recall", "low", "high"]
    assert [p["k"] for p in first["curve"]] == list(range(1, 9))
    assert [o["target"] for o in first["outcomes"]] == NAMES
    assert first["differences"] == {}
    assert second["differences"]["spearman"]["high"] < 0
    assert [r["name"] for r in document["references"]] == ["oracle", "random", "symmetric ceiling"]
    assert document["settings"]["measures"][0]["file"] == str(near)
    assert len(document["settings"]["truth"]["sha256"]) == 64
    assert document["settings"]["resamples"] == 2000


def test_the_command_says_what_the_function_says(run, truth, near):
    result = onnxattr.evaluate(truth, near)
    document = run("evaluate", "--truth", truth, "--similarity", near, "-f", "json").json

    said = json.loads(onnxattr.to_json(result))
    assert {**document, "seconds": 0} == {**said, "seconds": 0}


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_rows_hold_every_figure_and_the_curves(run, truth, near, far, form):
    command = ("evaluate", "--truth", truth, "--similarity", near, "--similarity", far)
    text = run(*command, "-f", form).out
    document = run(*command, "-f", "json").json

    if form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(text), delimiter="," if form == "csv" else "\t"))
    assert len(rows) == 5 * (8 + 2 * 8)
    (row,) = [r for r in rows if r["measure"] == "far" and r["figure"] == "spearman"]
    assert float(row["value"]) == document["measures"][1]["figures"]["spearman"]["value"]
    assert float(row["difference_low"]) == document["measures"][1]["differences"]["spearman"]["low"]
    (point,) = [
        r for r in rows if (r["measure"], r["figure"], str(r["k"])) == ("near", "recall", "3")
    ]
    assert float(point["value"]) == document["measures"][0]["curve"][2]["recall"]


def test_markdown_has_a_line_a_measure(run, truth, near):
    lines = run("evaluate", "--truth", truth, "--similarity", near, "-f", "markdown").out.split(
        "\n"
    )

    assert lines[0].startswith("| measure | P@1 | P@5 | Spearman | Spearman with self |")
    assert re.match(r"\| near \| \d\.\d{3} \(\d\.\d\d to \d\.\d\d\) \|", lines[2])
    assert [line.split()[1] for line in lines[3:6]] == ["oracle", "random", "symmetric"]


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_that_nobody_wants(run, truth, near, monkeypatch, variable):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(*variable)

    outcome = run("evaluate", "--truth", truth, "--similarity", near)

    assert not re.search(r"\x1b\[[\d;]*3\dm", outcome.out + outcome.err)


def test_a_pipe_gets_a_plain_table_and_a_file_the_same(run, truth, near, tmp_path):
    command = ("evaluate", "--truth", truth, "--similarity", f"{'long-' * 20}={near}")
    piped = run(*command).out
    assert "\x1b" not in piped
    assert "long-" * 20 in piped
    assert run(*command, "-q", "-o", tmp_path / "x.txt").out == ""
    assert (tmp_path / "x.txt").read_text() == piped


def test_verbose_says_what_was_chosen(run, truth, near):
    outcome = run("evaluate", "--truth", truth, "--similarity", near, "-v")
    lines = [line for line in outcome.err.splitlines() if line.startswith("near for ")]
    assert len(lines) == 9
    assert re.fullmatch(
        r"near for m0: chose m\d, its best m\d(, regret [\d.e-]+ \(\d+%\))?", lines[0]
    )


def test_a_loss_is_the_other_way_round(run, truth, near, tmp_path):
    values = np.loadtxt(truth, delimiter=",", skiprows=1, usecols=range(1, 10))
    loss = write(tmp_path / "loss.csv", 1 - values)
    plain = run("evaluate", "--truth", truth, "--similarity", near, "-f", "json").json
    turned = run(
        "evaluate", "--truth", loss, "--lower-is-better", "--similarity", near, "-f", "json"
    ).json
    for figure, estimate in plain["measures"][0]["figures"].items():
        assert turned["measures"][0]["figures"][figure] == pytest.approx(estimate, abs=1e-9)


def test_models_that_one_side_lacks_are_named(run, truth, tmp_path):
    names = [*NAMES[:7], "m77"]
    other = write(tmp_path / "x.csv", np.random.default_rng(1).random((8, 8)), names)
    command = ("evaluate", "--truth", truth, "--similarity", other)

    outcome = run(*command)

    assert outcome.code == 1
    assert outcome.errors == ["m77: the truth has no such model"]
    assert outcome.hints == ["did you mean `m7`?"]
    assert "in the truth and not among the models: `m7`, `m8`" in outcome.warnings
    assert run(*command, "--exit-zero").code == 0
    assert run(*command, "--only", ",".join(NAMES[:7])).code == 0


def test_few_sources_have_fewer_relevant_ones(run, truth, near):
    command = ("evaluate", "--truth", truth, "--similarity", near)
    outcome = run(*command, "--only", "m0, m1,m2,m3")
    assert "P@5" not in outcome.out
    assert (
        "a target has only 3 sources, so its 1 best source is relevant, not 5" in outcome.warnings
    )
    assert run(*command, "--relevant", "3", "-f", "json").json["relevant"] == 3
    outcome = run(*command, "--relevant", "8")
    assert (outcome.code, outcome.hints) == (2, ["1 to 7 tell good sources from others"])
    assert outcome.errors == ["8 relevant sources are asked for, and a target has 8"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "missing option '--truth'"),
        (("--truth", "{truth}"), 2, "there is nothing to evaluate"),
        (("--truth", "absent.csv", "--similarity", "{near}"), 3, "`absent.csv` does not exist"),
        (("--truth", "{truth}", "--similarity", "absent.csv"), 3, "`absent.csv` does not exist"),
        (("--truth", "{truth}", "--similarity", "{near}", "--similarity", "near={far}"), 2,
         "two measures are called `near`"),
        (("--truth", "{truth}", "--similarity", "{near}", "--only", "m0,m1"), 3,
         "an evaluation needs 3 models, and 2 models are both in the truth `truth` and in every "
         "similarity"),
        (("--truth", "{truth}", "--similarity", "{near}", "--only", "m0,m1,x"), 2,
         "there is no model `x` in the truth `truth`"),
        (("--truth", "{truth}", "--similarity", "{near}", "--figure", "x.png"), 2,
         "the figure `x.png` is no .svg file"),
        (("--truth", "{truth}", "--similarity", "{near}", "--figure", "no/x.svg"), 2,
         "`no/x.svg` cannot be written: there is no directory"),
        (("--truth", "{truth}", "--similarity", "{near}", "--figure", "x.svg", "-o", "x.svg"), 2,
         "the figure and the result are both to be `x.svg`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(run, truth, near, far, arguments, code, message):
    filled = [str(a).format(truth=truth, near=near, far=far) for a in arguments]

    outcome = run("evaluate", *filled)

    assert outcome.code == code
    assert outcome.out == ""
    (error,) = outcome.errors
    assert error.lower().startswith(message.lower())


def test_a_hostile_pickle_is_refused(run, near, tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "mark"), "w"))

    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"a__b": Runs()}))

    outcome = run("evaluate", "--truth", file, "--similarity", near)

    assert outcome.code == 3
    assert "could run code" in outcome.errors[0]
    assert not (tmp_path / "mark").exists()


def test_names_from_files_reach_no_terminal_raw(run, tmp_path):
    names = ["a\x1b[31m", "=cmd()", "[red]c[/x]", "d"]
    values = np.random.default_rng(0).random((4, 4))
    file = write(tmp_path / "x.csv", values, names)
    command = ("evaluate", "--truth", file, "--similarity", f"[b]\x1b[2J={file}")

    for form in ("table", "markdown", "csv", "json"):
        outcome = run(*command, "-f", form, "-v")
        assert outcome.code == 0
        assert "\x1b" not in outcome.out + outcome.err


# --- Models. ------------------------------------------------------------------------------------


@pytest.fixture
def folder(good):
    small_models.save(small_models.encoder(3), good / "normals-torch.onnx")
    small_models.save(small_models.encoder(4), good / "colours-torch.onnx")
    return good


MODELS = ["colours-torch", "depth-keras", "edges-torch", "normals-torch"]


def test_models_are_ranked_and_evaluated(run, folder, tmp_path):
    truth = write(tmp_path / "truth.csv", np.random.default_rng(0).random((5, 5)), [*MODELS, "x"])
    command = ("evaluate", "--limit", "3", "--device", "cpu", "-f", "json", "--truth", truth)
    ranking = tmp_path / "ranking.json"
    assert run("rank", "--limit", 3, "--device", "cpu", folder, "-o", ranking).code == 0

    outcome = run(*command, "--models", folder, "--similarity", ranking)

    document = outcome.json
    assert outcome.code == 0
    assert document["sources"] == MODELS
    assert document["missing"] == ["x"]
    first, second = document["measures"]
    assert (first["name"], second["name"]) == ("attribution", "ranking")
    assert first["outcomes"] == second["outcomes"]
    assert second["differences"]["spearman"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert document["settings"]["ranking"]["method"] == "saliency"
    assert sorted(document["stored"]) == MODELS
    # Without an option, and as a shell spells a glob out behind one.
    files = sorted(folder.glob("*.onnx"))
    assert run(*command, *files).json["measures"] == document["measures"][:1]
    assert run(*command, "--models", *files).json["measures"] == document["measures"][:1]


def test_a_model_that_cannot_be_used_is_left_out(run, folder, tmp_path):
    (folder / "broken.onnx").write_bytes(b"no model")
    truth = write(tmp_path / "truth.csv", np.random.default_rng(0).random((4, 4)), MODELS)

    outcome = run("evaluate", "--limit", 3, "--device", "cpu", "--truth", truth, folder)

    assert outcome.code == 1
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith("broken")
    assert "attribution" in outcome.out


def test_a_truth_that_cannot_be_read_ends_it_before_the_models_are_ranked(run, folder):
    outcome = run("evaluate", "--truth", "absent.csv", folder)
    assert outcome.code == 3
    assert "probes" not in outcome.err


# --- The figure. --------------------------------------------------------------------------------


def test_the_figure_shows_every_line_twice_and_names_it_once(run, truth, near, far, tmp_path):
    figure = tmp_path / "x.svg"
    command = ("evaluate", "--truth", truth, "--similarity", near, "--similarity", far)

    outcome = run(*command, "--figure", figure)
    drawn = figure.read_text()
    assert run(*command, "-f", "json", "--figure", figure).code == outcome.code == 0

    assert figure.read_text() == drawn
    document = minidom.parseString(drawn).documentElement
    texts = [t.firstChild.data for t in document.getElementsByTagName("text")]
    for name in ("near", "far", "oracle", "random", "symmetric ceiling"):
        assert sum(text.startswith(f"{name}  P@5 ") for text in texts) == 1
    assert {"P@K", "R@K", "K"} <= {*texts}
    paths = document.getElementsByTagName("path")
    # In each of two panels, and in the legend.
    assert sum(p.getAttribute("class") == "line mark" for p in paths) == 2 * 3
    assert sum(p.getAttribute("class") == "reference" for p in paths) == 3 * 3
    about = document.getElementsByTagName("desc")[0].firstChild.data
    assert re.search(r"near \d\.\d{3}, far \d\.\d{3}, oracle 1\.000", about)
    assert not re.search(r"(href|url\(|<script|https?://(?!www\.w3\.org/2000/svg))", drawn)


def test_points_stand_where_their_values_are():
    result = evaluations.several()
    document = minidom.parseString(to_svg(result)).documentElement
    circles = document.getElementsByTagName("circle")
    places = [(float(c.getAttribute("cx")), float(c.getAttribute("cy"))) for c in circles]

    curve = result.measures[0].curve
    for panel, values in enumerate(([p.precision for p in curve], [p.recall for p in curve])):
        left, width, top, height = 52 + panel * (380 + 72), 380, 56, 280
        for k, value in enumerate(values):
            x, y = places[panel * len(curve) + k]
            assert x == pytest.approx(left + k / (len(curve) - 1) * width, abs=0.06)
            assert y == pytest.approx(top + (1 - value) * height, abs=0.06)


def test_names_in_a_figure_are_text():
    hostile = evaluations.measured("</text><script>\x1b&" + "x" * 600, 0.5)
    drawn = to_svg(evaluations.evaluation(hostile))
    minidom.parseString(drawn)
    assert "<script" not in drawn
    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) < 2000
