"""Pages as Chromium shows them: nothing is fetched, nothing fails, and what can be used works."""

import functools
import os
import shutil
from pathlib import Path

import pytest
import reports

from onnxattr.report.html import to_html

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")

#: Where pictures of the pages go, to be looked at; none are made where it is not set.
PICTURES = os.environ.get("ONNXATTR_PICTURES")

WIDTHS = {"phone": 390, "desktop": 1280}


@functools.cache
def made(kind, *, hostile=False):
    """A page of twenty models, or of names that would do harm."""
    if not hostile:
        return to_html(reports.ALL[kind](), "onnxattr rank models/")
    names = reports.HOSTILE[-2:] if kind == "compare" else reports.HOSTILE
    return to_html(reports.ALL[kind](names=names, probes=6, side=8), reports.HOSTILE[0])


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as session:
        # Chromium has no sandbox of its own where root runs it, as in a container.
        one = session.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=300_000
        )
        yield one
        one.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a page, or that of a result; what goes wrong on it must be nothing."""
    wrong, contexts = [], []

    def show(result, *, width=1280, **options):
        path = tmp_path / "page.html"
        text = result if isinstance(result, str) else to_html(result, "onnxattr rank models/")
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(300_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        address = path.as_uri()
        page.on(
            "request",
            lambda asked: (
                wrong.append(asked.url) if not asked.url.startswith((address, "data:")) else None
            ),
        )
        page.goto(address)
        return page

    yield show
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def ranking():
    return reports.rank(reports.names_of(8), probes=12, several=True)


def texts(page, selector):
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def column(page, number):
    rows = page.locator(f"#closest tbody tr:visible td:nth-child({number})")
    return [text.strip() for text in rows.all_inner_texts()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", WIDTHS)
@pytest.mark.parametrize("kind", reports.ALL)
def test_every_page_opens_without_an_error_and_fits_the_screen(show, kind, screen, scheme):
    page = show(made(kind), width=WIDTHS[screen], color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[screen]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in ground[4:-1].split(",")) > 3 * 128
    assert light is (scheme == "light")
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    if PICTURES:
        path = Path(PICTURES) / f"{kind}-{screen}-{scheme}.png"
        page.screenshot(path=path, full_page=True, timeout=300_000)


def test_a_column_is_sorted_by_its_button_both_ways(show, ranking):
    page = show(ranking)
    cosine = page.locator("#closest thead th", has_text="attribution")

    cosine.get_by_role("button").click()
    down = [float(text) for text in column(page, 5)]
    assert down == sorted(down, reverse=True)
    assert cosine.get_attribute("aria-sort") == "descending"

    page.keyboard.press("Enter")  # The button still has the focus.
    up = [float(text) for text in column(page, 5)]
    assert up == sorted(up)
    assert cosine.get_attribute("aria-sort") == "ascending"

    page.locator("#closest thead th").first.get_by_role("button").click()
    assert cosine.get_attribute("aria-sort") is None
    assert column(page, 1) == sorted(column(page, 1))


def test_rows_are_filtered_by_words_and_counted(show):
    page = show(reports.rank(reports.names_of(12), probes=8, side=16))
    tools = page.locator('.tools[data-for="closest"]')

    tools.get_by_role("searchbox").fill("TASK1 jax")

    shown = page.locator("#closest tbody tr:visible")
    assert 0 < shown.count() < 12
    assert all("task1" in text and "jax" in text.lower() for text in shown.all_inner_texts())
    assert tools.get_by_role("status").inner_text() == f"{shown.count()} of 12 rows"
    tools.get_by_role("searchbox").fill("")
    assert shown.count() == 12


def test_the_list_above_the_table_chooses_the_target(show, ranking):
    page = show(ranking)
    tools = page.locator('.tools[data-for="sources-table"]')
    name = ranking.targets[3].name

    tools.get_by_role("combobox").select_option(label=name)

    rows = page.locator("#sources-table tbody tr:visible")
    assert set(texts(page, "#sources-table tbody tr:visible td:first-child")) == {name}
    assert rows.count() == 7
    assert texts(page, "#sources-table tbody tr:visible td:nth-child(3)") == [
        source.name for source in ranking.targets[3].sources
    ]


def test_a_cell_shows_the_pair_side_by_side(show, ranking):
    page = show(ranking)
    order = ranking.layout.leaves
    one, other = (ranking.models[order[i]].name for i in (2, 5))
    cell = page.locator("#heat-0 tbody tr").nth(2).locator("td").nth(5)

    cell.click()

    shown = page.locator("#pair [data-shown]")
    assert shown.locator("h4").inner_text() == f"{one} and {other}"
    value = ranking.similarity.matrix[order[2], order[5]]
    assert f"attribution\n{value:.3f} (" in shown.locator("dl").inner_text()
    assert cell.get_attribute("aria-selected") == "true"
    # The maps are those of the gallery, in the same columns.
    for side, name in enumerate((one, other)):
        row = page.locator(
            "#gallery-maps tbody tr", has=page.get_by_role("link", name=name, exact=True)
        )
        expected = [i.get_attribute("src") for i in row.locator("img").all()]
        cells = shown.locator(f"tbody td:nth-child({side + 2}) img").all()
        assert [i.get_attribute("src") for i in cells] == expected
    cosines = texts(page, "#pair tbody td:last-child")
    places = list(ranking.gallery.places)
    assert cosines == [f"{v:.3f}" for v in ranking.similarity.per_probe[order[2], order[5]][places]]


def test_the_lists_choose_the_pair_too(show, ranking):
    page = show(ranking)
    first, second = page.locator("#pair select").all()

    first.select_option(label=ranking.models[1].name)
    second.select_option(label=ranking.models[4].name)

    shown = page.locator("#pair h4").inner_text()
    assert shown == f"{ranking.models[1].name} and {ranking.models[4].name}"
    directed = page.locator("#pair dt").all_inner_texts()
    assert sum(text.startswith("predictability, ") for text in directed) == 2


def test_the_heat_map_is_one_stop_of_the_keyboard(show, ranking):
    page = show(ranking)
    heat = page.locator("#heat-0")
    assert heat.locator('td[tabindex="0"]').count() == 1
    heat.locator('td[tabindex="0"]').focus()

    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft", "Enter"):
        page.keyboard.press(key)

    order = ranking.layout.leaves
    names = [ranking.models[order[i]].name for i in (0, 1)]
    assert page.locator("#pair h4").inner_text() == " and ".join(names)
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.cellIndex") == len(order)


def test_the_tab_key_reaches_what_can_be_used_and_it_is_seen(show, ranking):
    page = show(ranking)
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        one = page.evaluate(
            "[document.activeElement.tagName, document.activeElement.matches(':focus-visible'),"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.append(one[0])
        assert one[1:] == [True, "solid"], one
    assert {"A", "DIV", "BUTTON"} <= set(reached)


def test_without_a_script_everything_can_be_read(show, ranking):
    page = show(ranking, java_script_enabled=False)

    assert page.locator(".tools:visible").count() == 0
    assert page.locator("#sources-table tbody tr:visible").count() == 8 * 7
    assert page.locator("#heat-0 td:visible").count() == 64
    assert page.locator("#gallery-maps img:visible").count() == 8 * 6 + 6
    assert page.locator("article.card:visible").count() == 8
    assert page.locator("button:visible").count() == 0


def test_on_paper_there_is_all_but_what_is_used_with_a_hand(show, ranking):
    page = show(ranking)
    page.emulate_media(media="print")

    assert page.locator("nav:visible, .tools:visible").count() == 0
    assert page.locator("article.card:visible").count() == 8
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("screen", WIDTHS)
@pytest.mark.parametrize("kind", reports.ALL)
def test_names_that_would_do_harm_stay_words_and_break_nothing(show, kind, screen):
    page = show(made(kind, hostile=True), width=WIDTHS[screen])

    assert page.title().endswith("· onnxattr")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[screen]
    assert page.locator("script").count() == 3
    assert page.locator("[onerror], [onmouseover]").count() == 0
    if kind in ("rank", "map"):
        page.locator("#heat-0 tbody tr").nth(0).locator("td").nth(4).click()
        shown = page.locator("#pair h4").inner_text()
        assert len(shown) > 10
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[screen]
    if PICTURES:
        path = Path(PICTURES) / f"hostile-{kind}-{screen}.png"
        page.screenshot(path=path, timeout=300_000)


@pytest.fixture(scope="module")
def audit():
    return reports.audit(reports.names_of(12), probes=8, side=16)


def test_the_references_of_an_audit_are_sorted_and_filtered(show, audit):
    page = show(audit)
    late = page.locator("#references-table thead th", has_text="late")
    column = "#references-table tbody tr:visible td:nth-child(3)"
    by_name = {each.reference: each for each in audit.relations}

    late.get_by_role("button").click()

    known = sorted((each.match.late for each in audit.relations if each.match), reverse=True)
    lost = ["–"] * (len(by_name) - len(known))
    assert lost
    assert late.get_attribute("aria-sort") == "descending"
    assert texts(page, column) == [*(f"{value:.2f}" for value in known), *lost]
    late.get_by_role("button").click()
    # What has no number is last both ways.
    assert texts(page, column) == [*(f"{value:.2f}" for value in reversed(known)), *lost]
    tools = page.locator('.tools[data-for="references-table"]')
    tools.get_by_role("searchbox").fill("shared init")
    shown = texts(page, "#references-table tbody tr:visible td:first-child a")
    assert shown == [n for n, e in by_name.items() if e.finding and "shared" in e.finding.kind]
    assert len(shown) == 1
    assert tools.get_by_role("status").inner_text() == f"1 of {len(by_name)} rows"


@pytest.mark.parametrize("table", ["profile-table", "behaviour-table"])
def test_the_list_above_evidence_chooses_the_reference(show, audit, table):
    page = show(audit)
    each = audit.relations[2]
    tools = page.locator(f'.tools[data-for="{table}"]')
    rows = page.locator(f"#{table} tbody tr:visible")
    before = rows.all_inner_texts()

    tools.get_by_role("combobox").select_option(label=each.reference)

    assert rows.all_inner_texts() != before
    values = {
        "profile-table": [f"{layer.similarity:.2f}" for layer in each.match.profile],
        "behaviour-table": [f"{one.value:.2f}" for one in each.behaviour],
    }[table]
    place = {"profile-table": 6, "behaviour-table": 3}[table]
    assert texts(page, f"#{table} tbody tr:visible td:nth-child({place})") == values
    assert set(texts(page, f"#{table} tbody tr:visible td:first-child")) == {each.reference}


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_a_reference_is_shown_beside_the_suspect(show, audit, hand):
    page = show(audit, reduced_motion="reduce")  # A smooth scroll would take its time.
    each = audit.relations[3]
    link = (
        page.locator("#references-table tbody tr").nth(3).get_by_role("link", name="side by side")
    )

    if hand == "mouse":
        link.click()
    else:
        link.focus()
        page.keyboard.press("Enter")

    shown = page.locator("#pair [data-shown]")
    names = audit.suspect.name, each.reference
    assert shown.locator("h4").inner_text() == " and ".join(names)
    assert 0 <= page.locator("#gallery").evaluate("e => e.getBoundingClientRect().top") < 300
    said = shown.locator("dl").inner_text()
    assert f"late layers\n{each.match.late:.2f}, by chance 0.10" in said
    for one in each.behaviour:
        assert f"{one.measure}\n{one.value:.2f}" in said
    (source,) = (s for s in audit.nearest.sources if s.name == each.reference)
    assert f"nearest by attribution\n{source.similarity:.2f} (" in said
    for side, name in enumerate(names):
        row = page.locator(
            "#gallery-maps tbody tr", has=page.get_by_role("link", name=name, exact=True)
        )
        expected = [i.get_attribute("src") for i in row.locator("img").all()]
        cells = shown.locator(f"tbody td:nth-child({side + 2}) img").all()
        assert [i.get_attribute("src") for i in cells] == expected
        assert len(expected) == 6


def test_two_references_are_shown_with_their_maps_alone(show, audit):
    page = show(audit)
    first, second = page.locator("#pair select").all()

    first.select_option(index=1)
    second.select_option(index=4)

    names = [model.name for model in audit.models]
    assert page.locator("#pair h4").inner_text() == f"{names[1]} and {names[4]}"
    assert page.locator("#pair dt").count() == 0
    assert page.locator("#pair tbody td img").count() == 2 * 6


def test_without_a_script_an_audit_can_be_read(show, audit):
    page = show(audit, java_script_enabled=False)

    count = len(audit.relations)
    assert page.locator(".tools:visible, button:visible, #pair:visible").count() == 0
    assert page.locator("#references-table tbody tr:visible").count() == count
    assert page.locator("#evidence article.card:visible").count() == count
    assert page.locator("#behaviour-table tbody tr:visible").count() == count * 7
    assert page.locator("#weights svg.fig circle:visible").count()
    assert page.locator("#gallery-maps img:visible").count() == (count + 1) * 6 + 6


def test_on_paper_an_audit_is_whole(show, audit):
    page = show(audit, width=720)  # A4 but for its margins.
    page.emulate_media(media="print")

    assert page.locator("nav:visible, .tools:visible").count() == 0
    assert page.locator("article.card:visible").count() == len(audit.relations)
    assert page.locator("#weights svg.fig:visible").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    hidden = page.evaluate(
        "[...document.querySelectorAll('.facts dd')]"
        ".filter(e => e.scrollHeight > e.clientHeight + 1).length"
    )
    assert hidden == 0
