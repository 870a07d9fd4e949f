"""The page of a ranking."""

import math
from collections.abc import Sequence

from onnxattr.report import text
from onnxattr.report.html import sections, spaces
from onnxattr.report.html.blocks import (
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
from onnxattr.report.html.spans import ends_of, span
from onnxattr.report.json import to_json
from onnxattr.types import ModelMap, Ranking, Source, Target

#: Sources of a target that are in the table where there are more models than fit a page.
_CLOSEST, _MANY = 10, 30


def page(result: Ranking, command: str) -> Page:
    """Returns the page: verdict and tables first, then what they rest on."""
    names = [model.name for model in result.models]
    links = sections.link_of(result.models)
    leaves = result.layout.leaves if result.layout else tuple(range(len(names)))
    parts = [
        *([_closest(result, links)] if result.settings["target"] is None else []),
        _sources(result, links),
        sections.coverage(result),
        sections.assumptions(result.models, result.assumptions),
        spaces.heat_section(names, result.measures, leaves, _first(result)),
    ]
    if (shape := as_map(result)) is not None:
        parts.append(spaces.shape_section(shape))
    if result.gallery:
        parts.append(sections.gallery_section([result.gallery], links))
    nearest = {
        target.name: spaces.nearest_lines({s.name: s.similarity for s in target.sources[:3]})
        for target in result.targets
    }
    parts += [
        sections.cards(result.models, nearest),
        spaces.stability_section(result.stability, result.settings["seed"]),
        sections.method(
            result.settings, result.versions, result.seconds, command=command, says=says(result)
        ),
    ]
    tabled = len(names) <= spaces.TABLED
    return Page(
        kind="ranking",
        title=_title(result),
        about=about(result),
        banner=_banner(result),
        sections=tuple(parts),
        result=to_json(result),
        data=spaces.pair_data(names, result.measures, result.similarity, result.gallery)
        if tabled
        else {},
    )


def as_map(result: Ranking) -> ModelMap | None:
    """Returns the models of a ranking as a map of models, for its figures; None without a tree."""
    if (layout := result.layout) is None or result.similarity is None:
        return None
    return ModelMap(
        models=result.models,
        similarity=result.similarity,
        distances=layout.distances,
        joins=layout.joins,
        leaves=layout.leaves,
        linkage=layout.linkage,
        clusters=(),
        points=layout.points,
        kept=layout.kept,
        nearest=(),
        newick=layout.newick,
        failures=result.failures,
        warnings=result.warnings,
        settings=result.settings,
        versions=result.versions,
        unfinished=result.unfinished,
        stored=result.stored,
        seconds=result.seconds,
        gallery=result.gallery,
    )


def _title(result: Ranking) -> str:
    target = result.settings["target"]
    if target is None:
        return f"How alike {sections.count(len(result.models), 'model')} are"
    return f"Sources for {sections.short(target)}"


def about(result: Ranking) -> str:
    """Returns how the numbers were made, in a line."""
    settings = result.settings
    names = ", ".join(pairs.measure for pairs in result.measures)
    return (
        f"{sections.made_by(settings)}, on "
        f"{sections.count(settings['probes']['count'], 'probe')}; compared by {names}; "
        f"on {settings['device']}"
    )


def _banner(result: Ranking) -> Banner:
    left = sum(1 for failure in result.failures if failure.name)
    lines = []
    tone = "good"
    if result.settings["target"] is not None:
        verdict, doubt, more = _of_target(result.targets[0])
        lines += more
    else:
        verdict, doubt, more = _of_all(result)
        lines += more
    if result.unfinished:
        lines.append(
            f"The ranking is partial: {sections.count(len(result.unfinished), 'model')} "
            "not reached before the interruption."
        )
    if doubt or result.unfinished:
        tone = "doubt"
    halves = [one for one in result.stability if one.what.endswith(" probes")]
    figures = [
        sections.number_of(len(result.models), "model", "#models"),
        Figure(str(left), "left out", "#coverage"),
        sections.number_of(result.settings["probes"]["count"], "probe"),
        sections.number_of(len(result.warnings), "warning", "#coverage"),
    ]
    if halves:
        what = f"ρ of two orders by {halves[-1].what} each"
        figures.append(Figure(f"{halves[-1].spearman:z.2f}", what, "#stability"))
    return Banner(tone, verdict, tuple(lines), tuple(figures))


def _of_target(target: Target) -> tuple[str, bool, list[str]]:
    """Returns the verdict, whether it is in doubt, and what it rests on."""
    name = sections.short(target.name)
    if not target.sources:
        return f"No source for {name} can be told.", True, []
    first = [source for source in target.sources if source.rank == 1]
    best = first[0]
    lines = [
        f"{sections.short(best.name)}: {text.cosine(best.similarity)}, interval "
        f"{text.interval(best.low, best.high)}."
    ]
    if len(first) > 1:
        shown = sections.listed([sections.short(one.name, 40) for one in first], 6)
        verdict = f"The probes cannot tell which of {len(first)} sources is the closest to {name}."
        lines.insert(0, f"They share the first rank: {shown}.")
    else:
        verdict = f"{sections.short(best.name)} is the closest source for {name}."
        rest = [source for source in target.sources if source is not best]
        if rest:
            lines.append(
                f"Next is {sections.short(rest[0].name)}: {text.cosine(rest[0].similarity)}, "
                f"interval {text.interval(rest[0].low, rest[0].high)}."
            )
    if best.duplicate:
        lines.append("It is the same file, byte for byte.")
    if best.disputed:
        lines.append("Another measure gives it another rank, beyond ties.")
    return verdict, len(first) > 1 or best.disputed, lines


def _of_all(result: Ranking) -> tuple[str, bool, list[str]]:
    rows = [(source, target) for target in result.targets for source in target.sources]
    if not rows:
        return "No two of the models can be compared.", True, []
    source, target = max(rows, key=lambda row: row[0].similarity)
    sure = [t for t in result.targets if sum(s.rank == 1 for s in t.sources) == 1]
    every = len(result.targets)
    verdict = (
        f"{sections.short(target.name)} and {sections.short(source.name)} are the most alike: "
        f"{text.cosine(source.similarity)}."
    )
    lines = [
        f"The interval is {text.interval(source.low, source.high)}.",
        f"For {len(sure)} of {sections.count(every, 'model')} the probes tell which source is the "
        "closest; for the others several share the first rank."
        if len(sure) < every
        else "For every model the probes tell which source is the closest.",
    ]
    if source.duplicate:
        lines.insert(1, "The two are the same file, byte for byte.")
    return verdict, 2 * len(sure) < every, lines


def _closest(result: Ranking, links: dict[str, str]) -> Section:
    """Returns the closest source of each model."""
    origins = {model.name: model.origin.framework for model in result.models}
    first = [target.sources[0] for target in result.targets if target.sources]
    ends = ends_of([number for one in first for number in (one.low, one.high, one.similarity)])
    names = [pairs.measure for pairs in result.measures]
    rows = []
    for target in result.targets:
        if not target.sources:
            rows.append(Row((Cell(target.name, link=links[target.name]), *[Cell("")] * 6)))
            continue
        source = target.sources[0]
        others = sum(one.rank == 1 for one in target.sources) - 1
        badges = [Badge("same file", "doubt")] * source.duplicate
        badges += [Badge("disputed", "doubt")] * source.disputed
        rows.append(
            Row(
                (
                    Cell(target.name, link=links[target.name]),
                    Cell(origins[target.name]),
                    Cell(source.name, link=links[source.name], badges=tuple(badges)),
                    Cell(f"{sections.count(others, 'other')}" if others else "none", order=others),
                    Cell(text.cosine(source.similarity)),
                    Cell(text.interval(source.low, source.high), order=_order(source.low)),
                    Cell("", figure=span(source.similarity, source.low, source.high, ends)),
                )
            )
        )
    table = Table(
        name="closest",
        caption="The closest source of each model",
        columns=(
            Column("model"),
            Column("origin"),
            Column("closest source"),
            Column("as close", number=True, about="others that the probes cannot tell from it"),
            Column(_shown_name(names), number=True, about="higher is nearer"),
            Column("interval", number=True, about="bootstrap over probes"),
            Column("", about="the value on its interval"),
        ),
        rows=tuple(rows),
        filtered=len(rows) > 8,
        note=_note(result, many=False),
    )
    lead = "Which of the others each model would best be transferred from, by what it attends to."
    return Section("closest-sources", "Closest sources", lead, (table,))


def _sources(result: Ranking, links: dict[str, str]) -> Section:
    many = len(result.models) > _MANY
    one = result.settings["target"] is not None
    shown = [
        (target, source)
        for target in result.targets
        for source in (target.sources[:_CLOSEST] if many and not one else target.sources)
    ]
    names = [pairs.measure for pairs in result.measures]
    ends = ends_of([n for _, s in shown for n in (s.low, s.high, s.similarity)])
    origins = {model.name: model.origin.framework for model in result.models}
    columns = [
        *([] if one else [Column("target", about="the model that is transferred to")]),
        Column("rank", number=True, about="= is shared", lowest=True),
        Column("source"),
        Column("origin"),
        Column(_shown_name(names), number=True, about="higher is nearer"),
        Column("interval", number=True, about="bootstrap over probes"),
        Column("", about="the value on its interval"),
        *(Column(name, number=True) for name in names[1:]),
        *([Column("distance", number=True)] if any(s.distance for _, s in shown) else []),
    ]
    table = Table(
        name="sources-table",
        caption="Sources of each model, closest first" if not one else "Sources, closest first",
        columns=tuple(columns),
        rows=tuple(
            Row(
                (
                    *([] if one else [Cell(target.name, link=links[target.name])]),
                    *_cells(source, names, origins, links, ends),
                    *(
                        [Cell(f"{source.distance:.3g}" if source.distance else "")]
                        if any(s.distance for _, s in shown)
                        else []
                    ),
                ),
                group="" if one else target.name,
            )
            for target, source in shown
        ),
        filtered=len(shown) > 8,
        groups="" if one else "target",
        chosen="" if one or not result.targets else result.targets[0].name,
        note=_note(result, many=many and not one),
    )
    lead = "Closest first. Sources that the probes cannot tell apart share a rank (=)."
    title = "Sources" if one else "All sources of a model"
    return Section("sources", title, lead, (table,))


def _shown_name(names: Sequence[str]) -> str:
    return "cosine" if list(names) in ([], ["attribution"]) else names[0]


def _cells(
    source: Source,
    names: Sequence[str],
    origins: dict[str, str],
    links: dict[str, str],
    ends: tuple[float, float],
) -> list[Cell]:
    badges = [Badge("same file", "doubt")] * source.duplicate
    badges += [Badge("disputed", "doubt")] * source.disputed
    scores = [source.measures.get(name) for name in names[1:]]
    return [
        Cell(text.rank(source.rank, source.tied), order=source.rank),
        Cell(source.name, link=links[source.name], badges=tuple(badges)),
        Cell(origins[source.name]),
        Cell(text.cosine(source.similarity)),
        Cell(text.interval(source.low, source.high), order=_order(source.low)),
        Cell("", figure=span(source.similarity, source.low, source.high, ends)),
        *(Cell(text.cosine(score.value)) if score else Cell("") for score in scores),
    ]


def _order(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _note(result: Ranking, *, many: bool) -> str:
    settings = result.settings
    lines = [
        f"Interval: {settings['confidence']:.0%} of {settings['resamples']:,} resamples of the "
        "probes."
    ]
    if any(source.disputed for target in result.targets for source in target.sources):
        lines.append("Disputed: by another measure it has another rank, beyond ties.")
    if many:
        lines.append(f"The {_CLOSEST} closest of each; all are in this file as JSON.")
    return " ".join(lines)


def _first(result: Ranking) -> tuple[int, int] | None:
    """Returns the pair that is shown first: the most alike, or the target and its closest."""
    number = {model.name: place for place, model in enumerate(result.models)}
    rows = [(s, t) for t in result.targets for s in t.sources[:1]]
    if not rows:
        return None
    source, target = max(rows, key=lambda row: row[0].similarity)
    return number[target.name], number[source.name]


def says(result: Ranking) -> list[str]:
    """Returns how it was made, in sentences."""
    settings = result.settings
    checked = "Before anything is compared, a model’s outputs are compared with ONNX Runtime’s."
    if settings["method"] is None:
        return [f"Representations are compared on the same unlabelled probes. {checked}"]
    centred = (
        "Each map is brought to unit norm and the model’s mean map over the probes is removed, "
        "since that is the imprint of strides and borders."
        if settings["centred"]
        else "Maps are compared as they are, as in the paper."
    )
    return [
        f"Each model is attributed on the same unlabelled probes by {settings['method']}, the "
        f"{settings['reduction']} of the units at {settings['at']}.",
        centred,
        "The similarity of two models is the mean over the probes of the cosine of their maps "
        "(Song et al., Deep Model Transferability from Attribution Maps, NeurIPS 2019).",
        checked,
    ]
