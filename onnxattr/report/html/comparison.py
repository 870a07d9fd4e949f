"""The page of a comparison of two models."""

import math
from collections.abc import Sequence

from onnxattr.report import measures, text
from onnxattr.report.html import sections
from onnxattr.report.html.blocks import (
    Banner,
    Block,
    Cell,
    Column,
    Facts,
    Figure,
    Page,
    Row,
    Section,
    Table,
)
from onnxattr.report.html.spans import ends_of, span
from onnxattr.report.json import to_json
from onnxattr.types import Comparison, PairScore


def page(result: Comparison, command: str) -> Page:
    """Returns the page: verdict and measures first, then the two side by side."""
    one, two = (sections.short(model.name) for model in result.models)
    links = sections.link_of(result.models)
    parts = [
        Section(
            "measures",
            "Measures",
            "What each measure says of the two; higher is nearer.",
            (_measures(result),),
        ),
        _side_by_side(result, links),
        _probes(result),
        sections.coverage(result),
        sections.assumptions(result.models),
        sections.cards(result.models),
        sections.method(
            result.settings,
            result.versions,
            result.seconds,
            command=command,
            says=_says(result),
        ),
    ]
    settings = result.settings
    return Page(
        kind="comparison",
        title=f"{one} and {two}",
        about=f"{sections.made_by(settings)}, on "
        f"{sections.count(settings['probes']['count'], 'probe')}; on {settings['device']}",
        banner=_banner(result),
        sections=tuple(parts),
        result=to_json(result),
    )


def _banner(result: Comparison) -> Banner:
    value, low, high = result.similarity, result.low, result.high
    sure = math.isfinite(low) and (low > 0 or high < 0)
    what = "mean cosine" if result.probes else result.measures[0].measure
    if result.duplicate:
        verdict = "The two are the same file, byte for byte."
    elif not result.probes:
        verdict = f"By {what} the two are {text.cosine(value)} alike."
    elif not sure:
        verdict = "The probes do not tell whether the maps of the two agree."
    elif value > 0:
        verdict = "The maps of the two agree: the interval of their mean cosine excludes 0."
    else:
        verdict = "The maps of the two are opposed."
    lines = [
        f"{what.capitalize()} {text.cosine(value)}, interval {text.interval(low, high)}; "
        "0 is unrelated, 1 the same."
    ]
    if result.probes:
        lines.append(
            f"Most alike on {sections.short(result.probes[0].name)} "
            f"({text.cosine(result.probes[0].cosine)}), least on "
            f"{sections.short(result.probes[-1].name)} ({text.cosine(result.probes[-1].cosine)})."
        )
    figures = [Figure(text.cosine(value), what)]
    if result.distance is not None:
        figures.append(Figure(f"{result.distance:.3g}", "the paper’s distance"))
    figures.append(Figure(str(len(result.probes)), "probes with a cosine", "#probes"))
    return Banner("plain" if sure or result.duplicate else "doubt", verdict, tuple(lines),
                  tuple(figures))  # fmt: skip


def _measures(result: Comparison) -> Block:
    rows: Sequence[PairScore] = result.measures
    if not rows:
        says = f"{text.cosine(result.similarity)} ({text.interval(result.low, result.high)})"
        return Facts((("cosine", says),))
    ends = ends_of([n for one in rows for n in (one.value, one.low, one.high)])
    titles = [title for title, _ in measures.pair_lines(result)]
    return Table(
        name="measures-table",
        caption="Measures of the two models",
        columns=(
            Column("measure"),
            Column("value", number=True),
            Column("interval", number=True),
            Column(""),
        ),
        rows=tuple(
            Row(
                (
                    Cell(title),
                    Cell(text.cosine(one.value)),
                    Cell(text.interval(one.low, one.high)),
                    Cell("", figure=span(one.value, one.low, one.high, ends)),
                )
            )
            for title, one in zip(titles, rows, strict=True)
        ),
        note=f"Interval: {result.settings['confidence']:.0%} of "
        f"{result.settings['resamples']:,} resamples of the probes.",
    )


def _side_by_side(result: Comparison, links: dict[str, str]) -> Section:
    blocks: list[Block] = []
    if result.gallery:
        cosines = {one.name: one.cosine for one in result.probes}
        blocks.append(
            sections.gallery_block(
                result.gallery,
                links,
                corner="cosine",
                sideways=True,
                notes=tuple(
                    text.cosine(cosines[name]) if name in cosines else "none"
                    for name in result.gallery.probes
                ),
            )
        )
    lead = "Both models on the probes on which they are most alike, then on those where least."
    if not blocks:
        lead = "Maps of three axes and more are not drawn."
    return Section("gallery", "Side by side", lead, tuple(blocks))


def _probes(result: Comparison) -> Section:
    ends = ends_of([one.cosine for one in result.probes])
    table = Table(
        name="probe-cosines",
        caption="The cosine of both maps on each probe",
        columns=(Column("probe"), Column("cosine", number=True), Column("")),
        rows=tuple(
            Row(
                (
                    Cell(one.name),
                    Cell(text.cosine(one.cosine)),
                    Cell("", figure=span(one.cosine, math.nan, math.nan, ends)),
                )
            )
            for one in result.probes
        ),
        filtered=len(result.probes) > 8,
    )
    return Section("probes", "Probes", "Every probe, most alike first.", (table,))


def _says(result: Comparison) -> list[str]:
    if result.settings["method"] is None:
        return ["Representations of both models are compared on the same unlabelled probes."]
    return [
        f"Both models are attributed on the same unlabelled probes by {result.settings['method']}.",
        "The similarity is the mean over the probes of the cosine of their maps"
        + (", each map without the model’s mean map." if result.settings["centred"] else "."),
        "Before any map is made, a model’s outputs are compared with ONNX Runtime’s.",
    ]
