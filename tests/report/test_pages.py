"""Pages as text: whole in themselves, harmless, small enough, and as they were."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import reports

import onnxattr
from onnxattr.report.html import to_html
from onnxattr.report.html.page import embedded
from onnxattr.report.json import to_json
from onnxattr.sanitise import MAX_TEXT, clean

GOLDEN = Path(__file__).parent / "golden"

#: Elements that have no end.
VOID = {"meta", "img", "input", "link", "br"}

SMALL = {
    "rank": lambda: reports.rank(reports.names_of(4), probes=8, side=8, several=True),
    "rank-target": lambda: reports.rank(
        reports.names_of(4), probes=8, side=8, target=reports.names_of(4)[1]
    ),
    "compare": lambda: reports.compare(probes=8, side=8),
    "map": lambda: reports.map_models(reports.names_of(4), probes=8, side=8, groups=2),
    "attribute": lambda: reports.attribute(probes=8, side=8, signed=True),
    "audit": lambda: reports.audit(reports.names_of(4), probes=8, side=8),
}


class Outline(HTMLParser):
    """A page as lines: elements with their attributes, and words, without data and hashes."""

    def __init__(self):
        super().__init__()
        self.lines, self.open, self.ids, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        known = {}
        for key, value in attributes:
            if (value or "").startswith("data:"):
                value = value.partition(",")[0]
            if key == "content":
                value = re.sub(r"sha256-[^']+", "sha256-…", value)
            known[key] = value
        self.ids += [value for key, value in attributes if key == "id"]
        self.tags.append((tag, dict(attributes)))
        shown = "".join(f' {key}="{value}"' for key, value in known.items())
        self.lines.append(f"{'  ' * len(self.open)}<{tag}{shown}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> ends {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        words = " ".join(data.split())
        if words and not {"script", "style"} & set(self.open):
            self.lines.append(f"{'  ' * len(self.open)}{words}")


def outline(page):
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == [], "an element is not closed"
    return parser


def inside(page, name):
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    return json.loads(text)


@pytest.mark.parametrize("name", SMALL)
def test_pages_are_as_they_were(name, overwrite):
    text = "\n".join(outline(to_html(SMALL[name](), "onnxattr …")).lines) + "\n"
    path = GOLDEN / f"{name}.txt"
    if overwrite:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SMALL)
def test_the_same_result_is_the_same_page(name):
    assert to_html(SMALL[name]()) == to_html(SMALL[name]())


@pytest.mark.parametrize("name", SMALL)
def test_nothing_leads_out_of_a_page(name):
    page = to_html(SMALL[name](), "onnxattr")
    parser = outline(page)

    for tag, attributes in parser.tags:
        assert "style" not in attributes, "the policy would drop it"
        assert not [key for key in attributes if key.startswith("on")]
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        if tag == "img":
            assert attributes["src"].startswith("data:image/webp;base64,")
        if "href" in attributes:
            assert attributes["href"].startswith("#")
            assert attributes["href"][1:] in parser.ids, attributes["href"]
        if tag == "script":
            assert "src" not in attributes
    assert len(set(parser.ids)) == len(parser.ids), "an id stands there twice"


@pytest.mark.parametrize("name", SMALL)
def test_the_policy_names_the_style_and_the_script_by_their_hashes(name):
    page = to_html(SMALL[name]())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    policy = policy.replace("&#39;", "'")
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)

    def named(text):
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'{named(style)}'",
        "script-src": f"'{named(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_twenty_models_and_six_probes_are_less_than_a_megabyte():
    size = len(to_html(reports.rank(several=True, probes=64)).encode())

    assert size < 1_000_000, f"{size:,} bytes"


def test_an_audit_against_twenty_models_of_fifty_layers_is_less_than_a_megabyte():
    size = len(to_html(reports.audit(layers=50, probes=64)).encode())

    assert size < 1_000_000, f"{size:,} bytes"


@pytest.mark.parametrize("make", [reports.rank, reports.compare, reports.map_models, reports.audit])
def test_the_result_is_in_the_page_as_json(make):
    result = make()

    assert inside(to_html(result), "result") == json.loads(to_json(result))


@pytest.mark.parametrize("kind", reports.ALL)
def test_names_that_would_do_harm_are_words(kind):
    names = reports.HOSTILE[:2] if kind == "compare" else reports.HOSTILE
    result = reports.ALL[kind](names=names, probes=6, side=8)

    page = to_html(result, f"onnxattr {reports.HOSTILE[0]}")

    parser = outline(page)  # Nothing in it opens or closes an element of its own.
    assert {tag for tag, _ in parser.tags} <= {
        "html", "head", "meta", "title", "style", "body", "a", "header", "p", "span", "h1", "bdi",
        "nav", "ul", "li", "main", "div", "dl", "dt", "dd", "section", "h2", "h3", "label", "input",
        "select", "option", "table", "caption", "thead", "tr", "th", "tbody", "td", "svg", "path",
        "circle", "rect", "text", "desc", "strong", "code", "figure", "figcaption", "img",
        "article", "details", "summary", "pre", "footer", "script",
    }  # fmt: skip
    text = "\n".join(parser.lines)
    assert "<script>document.title='broken'</script>" in text  # As words, after unescaping.
    assert not [c for c in page if not (c.isprintable() or c == "\n")]
    assert "\u202e" not in page
    assert max(map(len, parser.lines)) < 2 * MAX_TEXT + 100
    if kind != "compare":
        assert "49" not in re.findall(r"<h3[^>]*><bdi>(.*?)</bdi>", page)
        assert "{{ 7 * 7 }}" in page


def test_what_would_end_the_json_cannot():
    value = {"</script><script>": ["<!--", "&amp;", "\u2028"]}

    text = str(embedded(value))

    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == value


def test_models_without_a_tree_have_a_page():
    result = reports.rank(("a", "b"), probes=6, side=8, groups=1)
    assert result.layout is None

    page = to_html(result)

    assert 'id="space"' not in page
    assert 'id="similarity"' in page


def test_so_many_models_that_numbers_have_no_room_stay_a_page():
    names = reports.names_of(70)

    page = to_html(reports.rank(names, probes=6, side=8))

    assert '<table class="heat"' not in page
    assert "70 models are too many for a table of numbers" in page
    assert "70 models shown" in page
    assert len(page.encode()) < 3_000_000
    assert len(inside(page, "result")["similarity"]["matrix"]) == 70


def test_a_similarity_that_is_not_there_is_not_a_number():
    result = reports.rank(reports.names_of(4), probes=6, side=8)
    values = result.similarity.matrix.copy()
    values[0, 1] = values[1, 0] = np.nan
    result.measures[0].matrix[:] = values

    page = to_html(result)

    assert '<td class="no">–</td>' in page
    assert "nan" not in "".join(outline(page).lines).lower()
    assert inside(page, "page-data")["measures"][0]["matrix"][0][1] is None


@pytest.mark.parametrize("name", SMALL)
def test_notebooks_show_the_same_figures(name):
    result = SMALL[name]()

    piece = result._repr_html_()

    parser = Outline()
    parser.feed(piece)
    assert parser.open == []
    assert not {"script", "style", "link"} & {tag for tag, _ in parser.tags}
    assert not parser.ids
    pictures = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert all(one["src"].startswith("data:image/") for one in pictures)
    assert all(one["alt"] for one in pictures)
    kinds = [one["src"].partition(";")[0] for one in pictures]
    figures = {"audit": 1, "rank": 2, "rank-target": 2, "map": 2}
    assert kinds.count("data:image/svg+xml") == figures.get(name, 0)
    # Whatever the page shows of the maps, the piece shows.
    page = Outline()
    page.feed(to_html(result))
    maps = {one["src"] for tag, one in page.tags if tag == "img"}
    assert maps == {one["src"] for one in pictures if "webp" in one["src"]}


def test_names_in_notebooks_are_words():
    piece = reports.rank(reports.HOSTILE, probes=6, side=8)._repr_html_()

    assert "<script" not in piece
    assert 'onerror="' not in piece
    assert clean(reports.HOSTILE[5])[:6] in piece


def test_results_are_pages_by_the_facade():
    result = reports.compare(probes=6, side=8)

    assert onnxattr.to_html(result) == to_html(result)
