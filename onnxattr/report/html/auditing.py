"""The page of an audit: the verdict, what the file is, then the evidence."""

from __future__ import annotations

import math

from onnxattr.report.audited import headline, identity_lines, weights_in_words
from onnxattr.report.html import sections
from onnxattr.report.html.blocks import (
    Badge,
    Banner,
    Block,
    Cell,
    Column,
    Facts,
    Figure,
    Notes,
    Page,
    Row,
    Section,
    Table,
)
from onnxattr.report.json import to_json
from onnxattr.types import Audit, Relation
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL, INDEPENDENT

#: How a verdict is coloured; its words say the same.
_TONES = {IDENTICAL: "bad", DERIVED: "bad", CLOSER: "doubt", INDEPENDENT: "good"}

#: Values of the file that are read letter by letter.
_CODE = {"file", "sha256", "weights", "structure"}


def page(result: Audit, command: str) -> Page:
    """Returns the page of an audit."""
    name = sections.short(result.suspect.name)
    parts = [
        _file(result),
        _references(result),
        *([_behaviour(result)] if any(each.behaviour for each in result.relations) else []),
        *([_profiles(result)] if any(_profile(each) for each in result.relations) else []),
        *([_twins(result)] if result.twins else []),
        *([_nearest(result)] if result.nearest and result.nearest.sources else []),
        *([_policy(result)] if result.gates else []),
        _coverage(result),
        sections.method(
            result.settings,
            result.versions,
            result.seconds,
            command=command,
            says=_says(),
        ),
    ]
    settings = result.settings
    return Page(
        kind="audit",
        title=f"Audit of {name}",
        about=f"against {sections.count(len(result.relations), 'reference')} and "
        f"{sections.count(len(result.twins), 'model')} given as independent, on "
        f"{sections.count(settings['probes']['count'], 'probe')}; on {settings['device']}",
        banner=_banner(result),
        sections=tuple(parts),
        result=to_json(result),
    )


def _banner(result: Audit) -> Banner:
    verdict = result.verdict
    about = [each for each in result.relations if each.reference == verdict.reference]
    figures = []
    for each in about:
        if each.match is not None and each.match.late is not None:
            figures.append(Figure(f"{each.match.late:z.2f}", "late weights", "#references"))
        if not math.isnan(each.score):
            figures.append(Figure(f"{each.score:z.2f}", "behavioural score", "#behaviour"))
            figures.append(Figure(f"{each.p:.2g}", f"p, {each.floor:.2g} at least", "#behaviour"))
    text = headline(result)
    return Banner(
        tone=_TONES.get(verdict.kind, "plain"),
        verdict=f"Verdict: {text}.",
        lines=(*verdict.reasons, *verdict.caveats),
        figures=tuple(figures),
    )


def _file(result: Audit) -> Section:
    pairs = tuple(
        (title, Cell(value, code=title in _CODE)) for title, value in identity_lines(result.suspect)
    )
    lead = "What it is, whether it runs as it says, and what was found while it was loaded."
    return Section("file", "The file", lead, (Facts(pairs),))


def _references(result: Audit) -> Section:
    rows = tuple(
        Row(
            (
                Cell(each.reference, strong=each.reference == result.verdict.reference),
                Cell(weights_in_words(each), badges=_badges(each)),
                _number(each.match.late if each.match else None),
                _share(each.match.copied if each.match else None),
                _number(each.score),
                _number(each.p),
                Cell(str(len(each.twins)), order=len(each.twins)),
                Cell(each.fed or "by itself"),
            )
        )
        for each in result.relations
    )
    columns = (
        Column("reference"),
        Column("weights"),
        Column("late", number=True, about="aligned similarity of the last layers"),
        Column("copied", number=True, about="share of the suspect's weights"),
        Column("score", number=True, about="the mean of the two largest headrooms"),
        Column("p", number=True, about="conformal p-value of the score", lowest=True),
        Column("independent", number=True, about="models that the score is held against"),
        Column("fed", about="how the suspect was fed in this comparison"),
    )
    table = Table("references-table", "The references, the closest first", columns, rows, True)
    evidence = tuple(
        f"{each.reference}: {line}"
        for each in result.relations
        if each.finding
        for line in each.finding.evidence
    )
    blocks: tuple[Block, ...] = (table, Notes(evidence)) if evidence else (table,)
    return Section("references", "References", "What is known of the suspect and each.", blocks)


def _badges(each: Relation) -> tuple[Badge, ...]:
    return (Badge("identical", "bad"),) if each.identical else ()


def _behaviour(result: Audit) -> Section:
    rows = tuple(
        Row(
            (
                Cell(evidence.measure),
                _number(evidence.value),
                _number(evidence.baseline),
                _number(evidence.headroom),
                Cell("" if evidence.decides else "decides nothing"),
            ),
            group=each.reference,
        )
        for each in result.relations
        for evidence in each.behaviour
    )
    columns = (
        Column("measure"),
        Column("value", number=True),
        Column("independent", number=True, about="the best of independent models of the task"),
        Column("headroom", number=True, about="of what that leaves: 1 is the same, 0 no closer"),
        Column(""),
    )
    chosen = result.verdict.reference or next(e.reference for e in result.relations if e.behaviour)
    known = {row.group for row in rows}
    table = Table(
        "behaviour-table",
        "Measures of behaviour beside a reference",
        columns,
        rows,
        groups="reference",
        chosen=chosen if chosen in known else "",
    )
    lead = "Each measure, against independent models of the same task where there are any."
    return Section("behaviour", "Behaviour", lead, (table,))


def _profile(each: Relation) -> bool:
    return each.match is not None and bool(each.match.profile)


def _profiles(result: Audit) -> Section:
    rows = tuple(
        Row(
            (
                Cell(str(layer.depth), order=layer.depth),
                Cell(layer.suspect, code=True),
                Cell(layer.reference, code=True),
                Cell(layer.operator),
                _number(layer.similarity),
                _number(layer.chance),
            ),
            group=each.reference,
        )
        for each in result.relations
        if each.match
        for layer in each.match.profile
    )
    columns = (
        Column("depth", number=True, lowest=True),
        Column("suspect"),
        Column("reference"),
        Column("operator"),
        Column("similarity", number=True, about="mean cosine of the matched filters"),
        Column("chance", number=True, about="the same of shuffled filters"),
    )
    chosen = next(each.reference for each in result.relations if _profile(each))
    table = Table(
        "profile-table",
        "Aligned similarity of weights over depth",
        columns,
        rows,
        groups="reference",
        chosen=chosen,
    )
    lead = "High at the beginning and falling: a shared start. High to the end: a derivation."
    return Section("weights", "Weights over depth", lead, (table,))


def _twins(result: Audit) -> Section:
    rows = tuple(
        Row(
            (
                Cell(twin.name),
                Cell(twin.reference or f"not used: {twin.reason}"),
                _number(twin.likeness),
            )
        )
        for twin in result.twins
    )
    columns = (Column("model"), Column("counts for"), Column("alike", number=True))
    table = Table("twins-table", "Models given as independent", columns, rows)
    lead = "Only models that do what a reference does can tell how alike independent ones are."
    return Section("twins", "Independent models", lead, (table,))


def _nearest(result: Audit) -> Section:
    assert result.nearest is not None
    sources = result.nearest.sources
    names = list(dict.fromkeys(name for source in sources for name in source.measures))
    rows = tuple(
        Row(
            (
                Cell(source.name),
                *(
                    _number(source.measures[name].value if name in source.measures else None)
                    for name in names
                ),
            )
        )
        for source in sources
    )
    columns = (Column("model"), *(Column(name, number=True) for name in names))
    table = Table("nearest-table", "Nearest known models, by every measure", columns, rows, True)
    return Section("nearest", "Nearest known models", "Higher is nearer.", (table,))


def _policy(result: Audit) -> Section:
    rows = tuple(
        Row(
            (
                Cell(gate.text, code=True),
                Cell("fails" if gate.crossed else "passes", strong=gate.crossed),
                Cell(gate.reason),
            )
        )
        for gate in result.gates
    )
    columns = (Column("condition"), Column("outcome"), Column("because"))
    table = Table("policy-table", "Conditions to fail by", columns, rows)
    return Section("policy", "Policy", "", (table,))


def _coverage(result: Audit) -> Section:
    blocks: list[Block] = []
    if result.failures:
        lines = (f"{f.name}: {f.message}" if f.name else f.message for f in result.failures)
        blocks.append(Notes(tuple(lines), "bad"))
    if result.warnings:
        blocks.append(Notes(result.warnings, "doubt"))
    lead = "What was left out, and what the reader must know."
    if not blocks:
        lead = "Nothing was left out."
    return Section("coverage", "Coverage", lead, tuple(blocks))


def _says() -> tuple[str, ...]:
    return (
        "Headroom is (value − b) / (1 − b), b the best that independent models of the task reach.",
        "The score is the mean of the two largest headrooms of the measures that decide.",
        "p is conformal: (1 + independent models with as high a score) / (1 + independent models).",
        "Low similarity never proves independence.",
    )


def _number(value: float | None) -> Cell:
    if value is None or math.isnan(value):
        return Cell("–", order=-math.inf)
    return Cell(f"{value:z.2f}", order=value)


def _share(value: float | None) -> Cell:
    return Cell("–", order=-math.inf) if value is None else Cell(f"{value:.0%}", order=value)
