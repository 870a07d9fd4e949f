"""`--report`: a page beside the result, or one clear line before any work."""

import json
import re

import pytest
import small_models

COMMANDS = {
    "rank": lambda models, folder: ["rank", models, "-f", "json"],
    "compare": lambda models, folder: ["compare", *sorted(models.iterdir())[:2], "-f", "json"],
    "attribute": lambda models, folder: ["attribute", models, "-o", folder / "maps"],
    "map": lambda models, folder: ["map", models, "-f", "json"],
}


@pytest.fixture
def three(good):
    small_models.save(small_models.encoder(3), good / "third.onnx")
    return good


def inside(page, name="result"):
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    return json.loads(text)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_is_written_beside_the_result(run, three, tmp_path, command):
    report = tmp_path / "page.html"
    arguments = COMMANDS[command](three, tmp_path)

    outcome = run(*arguments, "--limit", "3", "--device", "cpu", "--report", report)

    assert outcome.code == 0, outcome.err
    assert f"wrote `{report}`" in outcome.err
    page = report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert f"onnxattr {command} " in page
    if command == "attribute":
        assert len(inside(page)["models"]) == 3
    else:
        assert inside(page) == outcome.json


def test_a_page_may_go_where_the_maps_go(run, three, tmp_path):
    folder = tmp_path / "maps"

    outcome = run(
        "attribute", three, "-o", folder, "--limit", "3", "--device", "cpu", "--no-pictures", "-q",
        "--report", folder / "page.html",
    )  # fmt: skip

    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert (folder / "page.html").is_file()
    assert (folder / "index.json").is_file()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("page.pdf", "does not end in .html"),
        ("page", "does not end in .html"),
        ("missing/page.html", "there is no directory"),
        ("folder.html", "it is a directory"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_that_is_none_is_one_line_before_any_work(
    run, good, tmp_path, command, name, error
):
    (tmp_path / "folder.html").mkdir()
    arguments = COMMANDS[command](good, tmp_path)

    outcome = run(*arguments, "--report", tmp_path / name)

    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert error in outcome.errors[0]
    assert "on cpu" not in outcome.err  # Nothing was begun.
    assert outcome.out == ""
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("command", ["rank", "compare"])
def test_a_page_is_not_the_result_itself(run, good, tmp_path, command):
    arguments = COMMANDS[command](good, tmp_path)
    path = tmp_path / "page.html"

    outcome = run(*arguments, "-o", path, "--report", tmp_path / "x" / ".." / "page.html")

    assert outcome.code == 2
    assert "cannot be both the result and its report" in outcome.errors[0]
    assert not path.exists()


@pytest.mark.parametrize("command", ["attribute", "map"])
def test_a_page_is_not_the_directory(run, good, tmp_path, command):
    path = tmp_path / "page.html"

    outcome = run(command, good, "-o", path, "--report", path)

    assert outcome.code == 2
    assert "cannot be both a directory and a report" in outcome.errors[0]
