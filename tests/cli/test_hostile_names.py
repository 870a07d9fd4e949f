"""Strings from files reach no reader raw: they move no cursor, hide nothing, run nothing."""

import csv
import io
import itertools
import os
import re
import sys
import unicodedata

import pytest
from PIL import Image
from small_models import chain, encoder, save

from onnxattr.cli.console import Format
from onnxattr.sanitise import MAX_NAME, clean

HOSTILE = {
    "escape": "a\x1b[31mred\x1b]0;title\x07",
    "newline": "one\ntwo\r\x0b\x85three",
    "bidi": "safe\u202egnp.exe\u2066\u200b\ufeff",
    "line-separator": "a\u2028b\u2029c",
    "markup": "[bold]x[/bold][/x] [link=http://x]y[/link] :smile:",
    "formula": "=1+1",
    "table": "a|b,c\td\"e'f<script>&",
}


def visible(text):
    """Whether `text` holds nothing but letters and line ends of the format's own."""
    return not [
        c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")
    ]


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def text(request):
    return request.param


@pytest.fixture
def folder(tmp_path, text):
    """Two models of a hostile vendor: file, tensors, nodes and producer."""
    folder = tmp_path / "models"
    name = text.replace("/", "\u2215").replace("\0", "")
    for number in range(2):
        proto = encoder(number)
        proto.producer_name = proto.producer_version = text
        proto.graph.output[0].name = text
        proto.graph.node[-1].output[0] = text
        for node in proto.graph.node:
            node.name += text
        save(proto, folder / f"{name}{number}.onnx")
    return folder


@pytest.mark.parametrize("form", list(Format))
def test_results(run, folder, form):
    form_option = ("-f", form.value)
    ranking = run("rank", "--limit", 3, "-v", *form_option, folder)
    survey = run("inspect", *form_option, folder)

    assert (ranking.code, survey.code) == (0, 0)
    for outcome in (ranking, survey):
        out = outcome.out.replace("\t", " ") if form is Format.tsv else outcome.out
        assert visible(out)
        assert visible(outcome.err)


def test_names_are_shown_as_they_are_where_they_are_harmless(run, tmp_path):
    name = "[bold]größe-模型-:smile:[x] é"
    for number in range(2):
        save(encoder(number), tmp_path / f"{name}{number}.onnx")

    outcome = run("rank", "--limit", 3, tmp_path)

    assert outcome.out.count(f"{name}0") == 3
    assert run("inspect", tmp_path).out.count(f"{name}1") == 2


def test_messages(run, tmp_path, text):
    """Of each kind: a path, an operator, an option of the user, a probe."""
    bad = tmp_path / "bad.onnx"
    save(chain([text, text], "com.vendor"), bad)
    probe = tmp_path / "p.png"
    Image.new("L", (8, 8)).save(probe)

    outcomes = [
        run("rank", bad, "--limit", 2),
        run("inspect", bad),
        run("rank", bad, "--method", text),
        run("rank", bad, "--target", text),
        run("rank", bad, "-p", f"/nowhere/{text}", "-p", probe),
        run("rank", f"/nowhere/{text}.onnx"),
        run("rank", bad, "-o", f"/nowhere/{text}/x"),
        run("rank", f"--{text}"),
    ]

    for outcome in outcomes:
        assert outcome.code in (1, 2, 3)
        assert outcome.errors or "cannot be ranked" in outcome.out
        assert visible(outcome.out + outcome.err)
        for line in outcome.err.splitlines():
            assert re.match(r"(error|hint): .|1 model, \d+ probes, on ", line)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
@pytest.mark.parametrize("form", list(Format))
def test_file_names_that_are_no_text(run, tmp_path, form):
    folder = os.fsencode(tmp_path)
    data = encoder().SerializeToString()
    for name in (b"\xff\xfe.onnx", b"caf\xe9.onnx"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)

    outcome = run("rank", "--limit", 3, "-f", form.value, tmp_path)

    assert outcome.code == 0
    assert r"\udcff" in outcome.out.replace("\\\\", "\\")


def test_spreadsheets_run_no_formula(run, tmp_path):
    for number, start in enumerate("=+-@"):
        save(encoder(number), tmp_path / f"{start}cmd.onnx")

    outcome = run("rank", "--limit", 3, "-f", "csv", "--", *sorted(tmp_path.iterdir()))

    rows = list(csv.reader(io.StringIO(outcome.out)))
    cells = [cell for row in rows[1:] for cell in row]
    assert "'=cmd" in cells
    assert not [c for c in cells if re.match(r"[=+@]|-[^\d]", c)]


def test_markdown_shows_characters_and_no_html(run, tmp_path):
    for number in range(2):
        save(encoder(number), tmp_path / f"<b>a|b`*_[x](y){number}.onnx")

    outcome = run("rank", "--limit", 3, "-f", "markdown", tmp_path)

    assert r"\<b\>a\|b\`\*\_\[x\](y)0" in outcome.out
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in outcome.out.splitlines()}) == 1


def test_no_name_floods_the_screen(run, tmp_path):
    proto = encoder()
    proto.producer_name = "p" * 100_000
    proto.graph.output[0].name = proto.graph.node[-1].output[0] = "t" * 100_000
    save(proto, tmp_path / "flood.onnx")
    save(chain(["Q" * 100_000], "com.vendor"), tmp_path / "wide.onnx")

    refused = run("inspect", tmp_path)
    outcome = run("inspect", tmp_path, "--max-name", 200_000)

    assert len(refused.errors) == 2
    assert len(refused.err) < 1000

    assert "p" * (MAX_NAME // 2) in outcome.out
    assert len(outcome.out) < 50_000
    assert len(outcome.err) < 50_000


def test_every_character_is_either_shown_or_escaped():
    blocks = (range(0x3100), range(0xD7F0, 0xE010), range(0xFE00, 0x10100), range(0xE0000, 0xE0200))
    for code in itertools.chain(*blocks):
        character = chr(code)
        shown = clean(character)
        hidden = unicodedata.category(character)[0] == "C"
        hidden = hidden or unicodedata.category(character) in ("Zl", "Zp")
        assert (shown == character) != hidden, hex(code)
        assert shown.isascii() or not hidden
