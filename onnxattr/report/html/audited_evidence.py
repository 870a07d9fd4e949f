"""The evidence on an audit's page: weights over depth, behaviour, maps, a card a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup

from onnxattr.report import text
from onnxattr.report.audited import weights_in_words
from onnxattr.report.figure import inline_svg
from onnxattr.report.html import sections
from onnxattr.report.html.blocks import (
    NOTHING,
    Badge,
    Block,
    Card,
    Cards,
    Cell,
    Column,
    Drawing,
    Facts,
    Pair,
    Row,
    Section,
    Table,
    Value,
    Words,
)
from onnxattr.report.html.spans import ends_of, span
from onnxattr.report.profile_figure import profile_figure, profiled
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Audit, BehaviourEvidence, Relation, Summary
from onnxattr.types.weights import DERIVED, IDENTICAL, PARTIAL, SHARED_START

#: References with a card and with rows of behaviour; all are in the table and in the JSON.
SHOWN = 60

#: Layers with the same weights that a card names.
_SAME = 4

#: How what weights say is coloured; the words say the same.
_TONES = {IDENTICAL: "bad", DERIVED: "bad", PARTIAL: "bad", SHARED_START: "doubt"}


def others(result: Audit) -> list[Relation]:
    """Returns the references but the suspect's own file, closest first."""
    return [each for each in result.relations if each.reference != result.suspect.name]


def links_of(result: Audit) -> dict[str, str]:
    """Returns where on the page each model is told of, by its name."""
    links = {
        each.reference: f"#reference-{number}"
        for number, each in enumerate(result.relations[:SHOWN])
    }
    return {**links, result.suspect.name: "#file"}


def badge(each: Relation) -> Badge:
    """Returns what the weights say of a reference."""
    kind = each.finding.kind if each.finding else ""
    return Badge(weights_in_words(each), "bad" if each.identical else _TONES.get(kind, "plain"))


def number(value: float | None) -> str:
    """Returns a number with two digits behind the point, or a dash."""
    return "–" if value is None or math.isnan(value) else f"{value:z.2f}"


def p_value(each: Relation) -> str:
    """Returns the p-value of the behaviour, with the least that it could be."""
    return f"{each.p:.2g}, at least {each.floor:.2g} with so few comparisons"


def numeric(value: float | None) -> Cell:
    """Returns a number as a cell; one that there is not is sorted last."""
    if value is None or math.isnan(value):
        return NOTHING
    return Cell(number(value), order=round(value, 6))


def evidence_section(result: Audit) -> Section:
    """Returns a card a reference: all that is known of the suspect and it."""
    models = {model.name: model for model in result.models}
    cards = tuple(
        _card(result, place, each, models.get(each.reference))
        for place, each in enumerate(result.relations[:SHOWN])
    )
    blocks: list[Block] = [Cards(cards)]
    if left := len(result.relations) - len(cards):
        says = f"{sections.count(left, 'reference')} that are further away are in the JSON."
        blocks.append(Words(says))
    lead = "What is known of the suspect and each reference, the closest first."
    return Section("evidence", "Evidence", lead, tuple(blocks))


def _card(result: Audit, place: int, each: Relation, model: Summary | None) -> Card:
    badges = [badge(each)]
    if each.reference == result.verdict.reference:
        badges.insert(0, Badge("verdict"))
    pairs: list[tuple[str, Value]] = []
    if each.finding:
        pairs.append(("weights", each.finding.evidence))
    if each.match is not None:
        pairs += _weights(each)
    if each.finding and each.finding.independent and each.finding.p_value is not None:
        found = each.finding
        against = sections.count(found.independent, "independent pair")
        pairs.append(("p of weights", f"{found.p_value:.2g}, against {against}"))
    if not math.isnan(each.score):
        pairs.append(("behaviour", f"score {number(each.score)}, p {p_value(each)}"))
    if each.twins:
        pairs.append(("independent", sections.listed([sections.short(t) for t in each.twins])))
    if each.behaviour:
        pairs.append(("suspect fed", each.fed or "by itself"))
    more = (("The file", _file(model)),) if model is not None else ()
    nothing = "no more than the files" if each.identical else "neither weights nor behaviour"
    facts = Facts(tuple(pairs or [("compared", nothing)]))
    return Card(f"reference-{place}", each.reference, tuple(badges), facts, more)


def _weights(each: Relation) -> list[tuple[str, Value]]:
    match = each.match
    assert match is not None
    pairs: list[tuple[str, Value]] = []
    if match.late is None:
        pairs.append(("layers", match.reason or "too few correspond"))
    else:
        pairs.append(("first layers", f"agree by {number(match.early)}"))
    if match.marks is not None:
        pairs.append(("marks of training", number(match.marks)))
    pairs.append(("of its weights", f"{match.covered:.0%} in layers that correspond"))
    if match.tensors:
        lines = [
            f"{one.suspect} = {one.reference}, {'×'.join(map(str, one.shape))}, "
            f"{'the same numbers' if one.exact else f'cosine {one.similarity:.4f}'}"
            for one in match.tensors[:_SAME]
        ]
        if (left := len(match.tensors) - _SAME) > 0:
            lines.append(f"and {left} more")
        pairs.append((f"copied, {match.copied:.0%}", tuple(lines)))
    return pairs


def _file(model: Summary) -> Facts:
    pairs: list[tuple[str, Value]] = [
        ("origin", f"{model.origin.framework} ({model.origin.exporter or 'unknown exporter'})"),
        ("opset", str(model.opset)),
        ("parameters", f"{model.parameters:,}"),
        ("input", text.fed(model.spec)),
        ("attributed", Cell(model.representation.value, code=True)),
    ]
    if model.parity is not None:
        pairs.append(("parity", text.checked(model.parity)))
    if model.gradient is not None:
        pairs.append(("gradient", text.checked(model.gradient)))
    return Facts((*pairs, ("file", model.path), ("sha256", Cell(model.sha256, code=True))))


def weights_section(result: Audit, links: Mapping[str, str]) -> Section | None:
    """Returns the similarity of weights layer by layer; None where there is none."""
    drawn = profiled(result.relations)
    if not drawn:
        return None
    hidden = sum(bool(each.match and each.match.profile) for each in result.relations) - len(drawn)
    rows = tuple(
        Row(
            (
                Cell(each.reference, link=links.get(each.reference, "")),
                Cell(str(layer.depth), order=layer.depth),
                Cell(layer.suspect, code=True),
                Cell(layer.reference, code=True),
                Cell(layer.operator),
                numeric(layer.similarity),
                numeric(layer.chance),
                numeric(layer.marks),
            ),
            group=each.reference,
        )
        for each in drawn
        if each.match
        for layer in each.match.profile
    )
    table = Table(
        "profile-table",
        "Layers of the suspect and of a reference that correspond",
        (
            Column("reference"),
            Column("depth", number=True, about="of the reference’s layer", lowest=True),
            Column("suspect’s layer"),
            Column("reference’s layer"),
            Column("operator"),
            Column("similarity", number=True, about="mean cosine of the matched filters"),
            Column("by chance", number=True, about="the same of shuffled filters"),
            Column("marks", number=True, about="what training alone leaves, -1 to 1"),
        ),
        rows,
        groups="reference",
        chosen=drawn[0].reference,
        note=f"{sections.count(hidden, 'reference')} that are further away are in the JSON."
        if hidden
        else "",
        titled=True,
    )
    says = (
        "Filters are matched one to one, whatever their order and scale; 1 is a copy. A derived "
        "model agrees to the last layer; of a shared start, more is left in the first ones. What "
        "is concluded rests on the last layers together with the marks of training."
    )
    drawing = Drawing(Markup(inline_svg(profile_figure(drawn), "profile-figure")), says)
    lead = "How alike corresponding layers are over depth, from the input to the output."
    return Section("weights", "Weights", lead, (drawing, table))


def behaviour_section(result: Audit, links: Mapping[str, str]) -> Section | None:
    """Returns every measure of behaviour beside each reference; None where there is none."""
    known = [each for each in result.relations[:SHOWN] if each.behaviour]
    if not known:
        return None
    names = [each.reference for each in known]
    ends = ends_of([n for each in known for e in each.behaviour for n in (e.value, e.baseline)])
    table = Table(
        "behaviour-table",
        "Measures of behaviour beside a reference",
        (
            Column("reference"),
            Column("measure"),
            Column("value", number=True, about="1 is the same"),
            Column("best independent", number=True, about="of independent models of the task"),
            Column("headroom", number=True, about="of what that leaves: 1 is the same, 0 no more"),
            Column("", about="the value, and how far it is from the best independent model"),
        ),
        tuple(
            Row(
                (
                    Cell(each.reference, link=links.get(each.reference, "")),
                    *_measured(evidence, ends),
                ),
                group=each.reference,
            )
            for each in known
            for evidence in each.behaviour
        ),
        groups="reference",
        chosen=result.verdict.reference if result.verdict.reference in names else names[0],
        note="The point is the value; the bar leads to the best independent model.",
    )
    judged = sum(not math.isnan(each.score) for each in known)
    lead = "There are too few independent models of the same task: these numbers prove nothing."
    if judged:
        lead = (
            f"{judged} of {sections.count(len(known), 'reference')} can be held against "
            "independent models of the same task; numbers without these prove nothing."
        )
    return Section("behaviour", "Behaviour", lead, (table,))


def _measured(evidence: BehaviourEvidence, ends: tuple[float, float]) -> tuple[Cell, ...]:
    low, high = sorted((evidence.value, evidence.baseline))
    return (
        Cell(evidence.measure, badges=() if evidence.decides else (Badge("decides nothing"),)),
        numeric(evidence.value),
        numeric(evidence.baseline),
        numeric(evidence.headroom),
        Cell("", figure=span(evidence.value, low, high, ends)),
    )


def maps_section(result: Audit, links: Mapping[str, str]) -> Section | None:
    """Returns maps of suspect and references on one scale, and room for two side by side."""
    if result.gallery is None:
        return None
    grid = sections.gallery_block(result.gallery, links)
    places = list(pairs_of(result).values())
    names = (result.suspect.name, *(each.reference for each in others(result)))
    blocks: tuple[Block, ...] = (Pair(names, places[0]), grid) if places else (grid,)
    lead = "What the suspect looks at, and what the references do: before the mean map is removed."
    return Section("gallery", "Maps", lead, blocks)


def pairs_of(result: Audit) -> dict[str, tuple[int, int]]:
    """Returns the references that have maps, with their places and the suspect's in the data."""
    shown = result.gallery.models if result.gallery else ()
    return {
        each.reference: (0, place)
        for place, each in enumerate(others(result), 1)
        if each.reference in shown
    }


def pair_data(result: Audit) -> dict[str, object]:
    """Returns what the script looks up where it shows two models side by side."""
    if result.gallery is None:
        return {}
    known = others(result)
    names = [result.suspect.name, *(each.reference for each in known)]
    places = {name: place for place, name in enumerate(names)}
    return {
        "names": [clean(name, MAX_TEXT) for name in names],
        "gallery": [places[name] for name in result.gallery.models],
        "probes": [clean(name, MAX_TEXT) for name in result.gallery.probes],
        "cosines": [],
        "says": {f"0 {place}": _said(result, each) for place, each in enumerate(known, 1)},
    }


def _said(result: Audit, each: Relation) -> list[list[str]]:
    said = [["weights", weights_in_words(each)]]
    if each.match is not None and each.match.late is not None:
        said.append(
            ["late layers", f"{number(each.match.late)}, by chance {each.match.chance:.2f}"]
        )
    if not math.isnan(each.score):
        said.append(["score", f"{number(each.score)}, p {p_value(each)}"])
    said += [[e.measure, number(e.value)] for e in each.behaviour]
    sources = result.nearest.sources if result.nearest else ()
    for source in (one for one in sources if one.name == each.reference):
        for name, score in source.measures.items():
            interval = text.interval(score.low, score.high)
            rank = text.rank(score.rank, score.tied)
            said.append([f"nearest by {name}", f"{number(score.value)} ({interval}), rank {rank}"])
    return [[clean(one, MAX_TEXT) for one in line] for line in said]
