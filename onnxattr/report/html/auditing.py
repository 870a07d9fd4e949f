"""The page of an audit: the verdict and the references first, then what they rest on."""

from __future__ import annotations

import math

from onnxattr.report import text
from onnxattr.report.audited import headline, weights_in_words
from onnxattr.report.html import audited_evidence as evidence
from onnxattr.report.html import sections
from onnxattr.report.html.audited_file import file_section
from onnxattr.report.html.blocks import (
    NOTHING,
    Badge,
    Banner,
    Cell,
    Column,
    Figure,
    Page,
    Row,
    Section,
    Table,
)
from onnxattr.report.json import to_json
from onnxattr.types import Audit, Relation
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL, INDEPENDENT, UNDECIDABLE

#: How a verdict is coloured; its words say the same. Nothing clears a model: see its caveats.
_TONES = {
    IDENTICAL: "bad",
    DERIVED: "bad",
    CLOSER: "doubt",
    INDEPENDENT: "plain",
    UNDECIDABLE: "doubt",
}

#: Fewer rows than these need no field to filter them by.
_FEW = 8


def page(result: Audit, command: str) -> Page:
    """Returns the page of an audit."""
    links = evidence.links_of(result)
    settings = result.settings
    parts = [
        _references(result, links),
        _policy(result),
        sections.coverage(result),
        file_section(result.suspect),
        _assumptions(result, links),
        evidence.evidence_section(result),
        evidence.weights_section(result, links),
        evidence.behaviour_section(result, links),
        evidence.maps_section(result, links),
        _nearest(result, links),
        _independent(result, links),
        sections.method(
            settings, result.versions, result.seconds, command=command, says=_says(result)
        ),
    ]
    return Page(
        kind="audit",
        title=f"Audit of {sections.short(result.suspect.name)}",
        about=f"against {sections.count(len(result.relations), 'reference')} and "
        f"{sections.count(len(result.twins), 'model')} given as independent, on "
        f"{sections.count(settings['probes']['count'], 'probe')}; on {settings['device']}",
        banner=_banner(result),
        sections=tuple(part for part in parts if part is not None),
        result=to_json(result),
        data=evidence.pair_data(result),
    )


def _banner(result: Audit) -> Banner:
    verdict = result.verdict
    crossed = [gate for gate in result.gates if gate.crossed]
    lines = [f"It fails by the condition `{gate.text}`: {gate.reason}" for gate in crossed]
    lines += [*verdict.reasons, *verdict.caveats]
    if result.unfinished:
        left = sections.count(len(result.unfinished), "model")
        lines.append(f"The audit is partial: {left} not reached before the interruption.")
    figures = []
    for each in result.relations:
        if each.reference != verdict.reference:
            continue
        if each.match is not None and each.match.late is not None:
            says = f"late layers agree, {each.match.chance:.2f} by chance"
            figures.append(Figure(evidence.number(each.match.late), says, "#weights"))
        if not math.isnan(each.score):
            score = evidence.number(each.score)
            figures.append(Figure(score, "score of the behaviour", "#behaviour"))
            figures.append(Figure(f"{each.p:.2g}", f"p, {each.floor:.2g} at least", "#behaviour"))
        break
    lost = sum(1 for failure in result.failures if failure.name)
    figures += [
        sections.number_of(len(result.relations), "reference", "#references"),
        Figure(str(lost), "left out", "#coverage"),
        sections.number_of(len(result.warnings), "warning", "#coverage"),
    ]
    tone = "bad" if crossed else _TONES.get(verdict.kind, "plain")
    return Banner(tone, f"Verdict: {headline(result)}.", tuple(lines), tuple(figures))


def _references(result: Audit, links: dict[str, str]) -> Section:
    pairs = evidence.pairs_of(result)
    judged = any(not math.isnan(each.score) for each in result.relations)
    fed = any(each.fed for each in result.relations)
    columns = (
        Column("reference"),
        Column("weights"),
        Column("late", number=True, about="how alike the last layers are; 1 is a copy"),
        Column("copied", number=True, about="share of the suspect’s weights"),
        *(_JUDGED if judged else ()),
        *([Column("suspect fed", about="how it was fed in this comparison")] if fed else []),
        *([Column("maps")] if pairs else []),
    )
    rows = tuple(
        Row(
            (
                _named(each, result, links),
                Cell("", order=weights_in_words(each), badges=(evidence.badge(each),)),
                evidence.numeric(each.match.late if each.match else None),
                _share(each.match.copied if each.match else None),
                *(_judged(each) if judged else ()),
                *([Cell(each.fed or "by itself")] if fed else []),
                *([_side_by_side(each, pairs)] if pairs else []),
            )
        )
        for each in result.relations
    )
    floors = [each.floor for each in result.relations if not math.isnan(each.p)]
    note = (
        "Score: of what the best independent model of the task leaves, 1 is all. p: how often "
        "independent models, those of all references, have as high a score; with so few of them "
        f"it is {min(floors, default=1.0):.2g} at least."
    )
    table = Table(
        "references-table",
        "The references, the closest first",
        columns,
        rows,
        filtered=len(rows) > _FEW,
        note=note if judged else "",
    )
    lead = "What the weights and the behaviour say of each, the closest first."
    return Section("references", "References", lead, (table,))


_JUDGED = (
    Column("score", number=True, about="the mean of the two largest headrooms"),
    Column("p", number=True, about="conformal p-value of the score", lowest=True),
    Column("independents", number=True, about="models that the score is held against"),
)


def _judged(each: Relation) -> tuple[Cell, ...]:
    p = NOTHING if math.isnan(each.p) else Cell(f"{each.p:.2g}", order=each.p)
    return evidence.numeric(each.score), p, Cell(str(len(each.twins)), order=len(each.twins))


def _named(each: Relation, result: Audit, links: dict[str, str]) -> Cell:
    about = each.reference == result.verdict.reference
    badges = (Badge("verdict"),) if about else ()
    return Cell(each.reference, link=links.get(each.reference, ""), badges=badges)


def _side_by_side(each: Relation, pairs: dict[str, tuple[int, int]]) -> Cell:
    if each.reference not in pairs:
        return NOTHING
    return Cell("side by side", link="#gallery", pair=pairs[each.reference])


def _policy(result: Audit) -> Section | None:
    if not result.gates:
        return None
    rows = tuple(
        Row(
            (
                Cell(gate.text, code=True),
                Cell(
                    "",
                    order="fails" if gate.crossed else "passes",
                    badges=(Badge("fails", "bad") if gate.crossed else Badge("passes", "good"),),
                ),
                Cell(gate.reason),
            )
        )
        for gate in result.gates
    )
    columns = (Column("condition"), Column("outcome"), Column("because", wide=True))
    table = Table("policy-table", "Conditions that the audit fails by", columns, rows)
    lead = "Conditions that it was to fail by (--fail-if)."
    return Section("policy", "Policy", lead, (table,))


def _assumptions(result: Audit, links: dict[str, str]) -> Section | None:
    """Returns what was assumed of inputs, and what becomes of the suspect fed in other ways."""
    tried = "orders of colours and ranges were tried on suspect and independent models alike"
    others = tried if result.settings["search"] else "--search tries others"
    made = sections.assumptions(result.models, helps=others)
    ways = result.sensitivity if len(result.sensitivity) > 1 else ()
    if not ways:
        return made if result.models else None
    table = Table(
        "fed-otherwise",
        "What becomes of the suspect if it is fed in another way",
        (
            Column("suspect fed"),
            Column("like itself", number=True, about="RSA with the suspect in its own way"),
            Column("nearest reference", about="by RSA, in this way"),
            Column("rsa", number=True, about="with that reference"),
        ),
        tuple(
            Row(
                (
                    Cell(way.fed or "by itself"),
                    evidence.numeric(way.kept),
                    Cell(way.nearest or "–", link=links.get(way.nearest, "")),
                    evidence.numeric(way.likeness),
                )
            )
            for way in ways
        ),
        filtered=len(ways) > _FEW,
        note="Like itself: near 1, the way makes no difference.",
        titled=True,
    )
    lead = made.lead if result.models else "How much hangs on how the suspect is fed."
    return Section(made.name, made.title, lead, (*made.blocks, table))


def _nearest(result: Audit, links: dict[str, str]) -> Section | None:
    if result.nearest is None or not result.nearest.sources:
        return None
    sources = result.nearest.sources
    names = list(dict.fromkeys(name for source in sources for name in source.measures))
    rows = []
    for source in sources:
        cells = [Cell(source.name, link=links.get(source.name, ""))]
        for name in names:
            score = source.measures.get(name)
            if score is None:
                cells.append(NOTHING)
                continue
            rank = f" #{text.rank(score.rank, score.tied)}"
            first = score.rank == 1
            cells.append(Cell(f"{score.value:z.2f}{rank}", round(score.value, 6), strong=first))
        rows.append(Row(tuple(cells)))
    columns = (Column("model"), *(Column(name, number=True) for name in names))
    table = Table(
        "nearest-table",
        "Nearest known models, by every measure",
        columns,
        tuple(rows),
        filtered=len(rows) > _FEW,
        note="#1 is the nearest; = shares its rank with others that the probes cannot tell apart. "
        "Each model is fed as it feeds itself.",
    )
    lead = "The references by every measure of a ranking; higher is nearer."
    return Section("nearest", "Nearest models", lead, (table,))


def _independent(result: Audit, links: dict[str, str]) -> Section | None:
    if not result.twins:
        return None
    rows = tuple(
        Row(
            (
                Cell(twin.name),
                Cell(twin.reference, link=links.get(twin.reference, ""))
                if twin.reference
                else Cell(f"not used: {twin.reason}"),
                evidence.numeric(twin.likeness),
            )
        )
        for twin in result.twins
    )
    columns = (
        Column("model"),
        Column("counts for", wide=True),
        Column("alike", number=True, about="RSA of the representations; 1 is the same"),
    )
    table = Table(
        "twins-table",
        "Models given as independent",
        columns,
        rows,
        filtered=len(rows) > _FEW,
    )
    lead = "Only models that do what a reference does can tell how alike independent ones are."
    return Section("twins", "Independent models", lead, (table,))


def _says(result: Audit) -> tuple[str, ...]:
    fed = (
        "Orders of colours and ranges are tried on the suspect and on independent models alike."
        if result.settings["search"]
        else "Every model is fed as it feeds itself."
    )
    return (
        "Graphs are normalised and filters of corresponding layers matched one to one, whatever "
        "their order and scale; late is the mean over the last third of the layers, or the last "
        "three.",
        "Behaviour is compared on the same unlabelled probes.",
        fed,
        "Headroom is (value − b) / (1 − b), b the best that independent models of the task reach; "
        "the score is the mean of the two largest headrooms of the measures that decide.",
        "p is conformal: (1 + independent models with as high a score) / (1 + independent models), "
        "each judged as the suspect is and counted once, by its highest score.",
        "Low similarity never proves independence.",
    )


def _share(value: float | None) -> Cell:
    return NOTHING if value is None else Cell(f"{value:.0%}", order=round(value, 6))
