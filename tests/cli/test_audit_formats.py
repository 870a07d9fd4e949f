"""An audit in every form: what a terminal shows is in test_screens."""

import csv
import io
import json

import audits
import pytest
from rich.console import Console

from onnxattr.report import table
from onnxattr.report.delimited import to_csv
from onnxattr.report.html import to_html
from onnxattr.report.json import to_json
from onnxattr.report.markdown import to_markdown

ALL = {name: getattr(audits, name) for name in ("DERIVED", "CLOSER", "BARE", "HOSTILE")}


@pytest.mark.parametrize("name", ALL)
def test_json_has_the_whole(name):
    document = json.loads(to_json(ALL[name]))
    assert document["kind"] == "audit"
    assert document["verdict"]["kind"] == ALL[name].verdict.kind
    assert [r["reference"] for r in document["relations"]]
    assert list(document)[-1] == "seconds"


def test_rows_are_one_a_reference():
    rows = list(csv.DictReader(io.StringIO(to_csv(audits.DERIVED))))
    assert [row["reference"] for row in rows] == ["resnet18-ours", "mobilenet-ours"]
    assert rows[0]["weights"] == "derived"
    assert float(rows[0]["late"]) == 0.93
    assert float(rows[0]["cka_headroom"]) == pytest.approx((0.8 - 0.42) / 0.58)
    assert rows[1]["score"] == ""


def test_markdown_says_the_verdict_first():
    lines = to_markdown(audits.DERIVED).splitlines()
    assert lines[0] == "# Audit of vendor"
    assert lines[2] == "**weight-derived from resnet18-ours**"
    assert any(line.startswith("| vendor | weight-derived | resnet18-ours |") for line in lines)
    assert "- **fails**: derived: " in to_markdown(audits.DERIVED)


@pytest.mark.parametrize("write", [to_json, to_csv, to_markdown, to_html])
def test_names_of_models_stay_inert(write):
    shown = write(audits.HOSTILE)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    if write in (to_html, to_markdown):
        assert "<script>alert" not in shown


def test_a_terminal_shows_names_as_they_are():
    buffer = io.StringIO()
    table.render(audits.HOSTILE, Console(file=buffer, width=200, color_system=None))
    shown = buffer.getvalue()
    assert "\\x1b[31m" in shown
    assert "[/bold]" in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("name", ALL)
def test_the_page_says_the_verdict_and_fetches_nothing(name):
    page = to_html(ALL[name], "onnxattr audit …")
    assert page.startswith("<!doctype html>")
    assert "https://" not in page
    assert ALL[name].verdict.kind.split()[0].split("-")[0] in page
    assert page.count("<h2") >= 4
