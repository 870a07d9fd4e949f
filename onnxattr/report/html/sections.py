"""The sections that pages have in common: who is in and who is not, what was assumed, how."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onnxattr.report import text
from onnxattr.report.html import Reported
from onnxattr.report.html.blocks import (
    Badge,
    Block,
    Card,
    Cards,
    Cell,
    Column,
    Columns,
    Facts,
    Figure,
    Grid,
    Literal,
    Notes,
    Row,
    Section,
    Table,
    Value,
    Words,
)
from onnxattr.report.html.colors import scale
from onnxattr.report.html.tiles import limit, of_maps, of_probes
from onnxattr.report.json import plain
from onnxattr.report.text import short as short
from onnxattr.types import ASSUMED, IMAGE, Assumption, Audit, Comparison, Gallery, Summary


def count(number: int, noun: str) -> str:
    """Returns a number and what it counts: `1 model`, `20 models`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def number_of(number: int, noun: str, link: str = "") -> Figure:
    """Returns a number for the top of a page, with what it counts."""
    return Figure(f"{number:,}", count(number, noun).partition(" ")[2], link)


def listed(names: Sequence[str], most: int = 4) -> str:
    """Returns names in a sentence: `a, b and c`, `a, b, c and 9 others`."""
    if len(names) <= 1:
        return "".join(names)
    shown = names if len(names) <= most else names[: most - 1]
    hidden = len(names) - len(shown)
    last = f"{hidden} others" if hidden else shown[-1]
    return f"{', '.join(shown if hidden else shown[:-1])} and {last}"


def made_by(settings: Mapping[str, Any]) -> str:
    """Returns what was compared, in a few words; not always maps."""
    if settings["method"] is None:
        return f"representations at {settings['at']}"
    how = "centred" if settings["centred"] else "the paper’s arithmetic"
    return f"{settings['method']} maps at {settings['at']}, {how}"


def link_of(models: Sequence[Summary]) -> dict[str, str]:
    """Returns where on the page the card of each model is, by its name."""
    return {model.name: f"#model-{number}" for number, model in enumerate(models)}


def coverage(result: Reported) -> Section:
    """Returns who was left out and why, and what the reader must know."""
    models, failures, settings = result.models, result.failures, result.settings
    # A comparison that was interrupted has no result.
    unfinished = () if isinstance(result, Comparison) else result.unfinished
    lost = [failure for failure in failures if failure.name]
    probes = [failure for failure in failures if not failure.name]
    used = settings["probes"]["count"]
    lines = [
        f"{_members(result)} and {count(used, 'probe')} "
        f"({short(str(settings['probes']['source']), 200)}) are in the result."
    ]
    if result.stored:
        lines.append(f"Maps of {count(len(result.stored), 'model')} were stored by an earlier run.")
    blocks: list[Block] = [Words(" ".join(lines))]
    if unfinished:
        left = f"Not reached before the interruption: {listed(list(unfinished), 12)}."
        blocks.append(Notes((left,), "doubt"))
    if failures:
        blocks.append(
            Table(
                name="left-out",
                caption="Models and probes that were left out, and why",
                columns=(
                    Column("left out"),
                    Column("why", wide=True),
                    Column("what helps", wide=True),
                ),
                rows=tuple(
                    Row((Cell(f.name or "a probe", strong=True), Cell(f.message), Cell(f.hint)))
                    for f in (*lost, *probes)
                ),
            )
        )
    partly = [m for m in models if m.unusable]
    if result.warnings:
        blocks.append(Notes(tuple(result.warnings), "doubt"))
    if partly:
        says = [f"{short(m.name)}: {m.unusable} of {used}" for m in partly]
        blocks.append(Words(f"Maps that are zero or not finite, and do not count: {listed(says)}."))
    lead = f"{count(len(lost), 'model')} left out" if lost else "No model was left out"
    more = f", and {count(len(probes), 'probe')}" if probes else ""
    return Section("coverage", "Coverage", f"{lead}{more}.", tuple(blocks))


def _members(result: Reported) -> str:
    if not isinstance(result, Audit):
        return count(len(result.models), "model")
    used = sum(bool(twin.reference) for twin in result.twins)
    independent = f", {count(used, 'independent model')}" if used else ""
    return f"The suspect, {count(len(result.relations), 'reference')}{independent}"


def assumptions(
    models: Sequence[Summary],
    checked: Sequence[Assumption] = (),
    helps: str = "--check-assumptions tries others",
) -> Section:
    """Returns what nobody vouches for of each model's input, and what would change otherwise.

    Args:
        models: Those that were fed.
        checked: What became of the result when an assumption was otherwise.
        helps: What tells, or told, how far an assumption matters.
    """
    links = link_of(models)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for model in models:
        for part, rule in model.spec.sources.items():
            if rule.startswith(ASSUMED):
                because = rule.removeprefix(ASSUMED).lstrip(": ") or "nothing says it"
                alike.setdefault((part, _part(model, part), because), []).append(model.name)
    rows = [
        Row((Cell(part, strong=True), Cell(value), Cell(_whom(names, models)), Cell(because)))
        for (part, value, because), names in alike.items()
    ]
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Table(
                name="assumed",
                caption="What was assumed of each model's input",
                columns=(
                    Column("part"),
                    Column("taken to be"),
                    Column("of", wide=True),
                    Column("because", wide=True),
                ),
                rows=tuple(rows),
                filtered=len(rows) > 12,
            )
        )
    if checked:
        blocks.append(
            Table(
                name="tried",
                caption="What becomes of the ranking if an assumption is otherwise",
                columns=(
                    Column("model"),
                    Column("part"),
                    Column("tried"),
                    Column("what changes", wide=True),
                ),
                titled=True,
                rows=tuple(
                    Row(
                        (
                            Cell(one.model, link=links.get(one.model, "")),
                            Cell(one.part),
                            Cell(one.value),
                            Cell(one.failure or "; ".join(one.changes) or "nothing"),
                        )
                    )
                    for one in checked
                ),
            )
        )
    lead = "Nothing of the models' inputs was assumed: a file, an option or the graph says it all."
    if rows:
        lead = (
            "No option, sidecar, metadata or graph says these. A wrong range makes a map as unlike "
            f"as random weights do; {helps}."
        )
    return Section("assumptions", "Assumptions", lead, tuple(blocks))


def _whom(names: Sequence[str], models: Sequence[Summary]) -> str:
    if len(names) == len(models) > 1:
        return f"all {len(models)} models"
    return listed([short(name, 40) for name in names], 8)


def _part(model: Summary, part: str) -> str:
    spec = model.spec
    known = {
        "range": text.value_range(spec).replace("*", ""),
        "size": text.sizes(spec),
        "layout": spec.layout,
        "color": text.colors(spec),
    }
    value = known.get(part) or getattr(spec, part, "")
    return ", ".join(f"{one:g}" for one in value) if isinstance(value, tuple) else str(value)


def cards(
    models: Sequence[Summary],
    nearest: Mapping[str, Sequence[str]] | None = None,
    badges: Mapping[str, Sequence[Badge]] | None = None,
) -> Section:
    """Returns a card a model.

    Args:
        models: In the order of `link_of`.
        nearest: What is said of the nearest models of each, a line each, by name.
        badges: Of each, by name.
    """
    made = []
    same: dict[str, list[str]] = {}
    for model in models:
        same.setdefault(model.sha256, []).append(model.name)
    for number, model in enumerate(models):
        spec = model.spec
        signs = [Badge(model.origin.framework), *(badges or {}).get(model.name, ())]
        twins = [name for name in same[model.sha256] if name != model.name]
        if twins:
            signs.append(Badge(f"same file as {listed([short(t, 30) for t in twins])}", "doubt"))
        if assumed := text.assumptions(spec):
            signs.append(Badge(f"assumed: {assumed}", "doubt"))
        pairs: list[tuple[str, Value]] = []
        if near := (nearest or {}).get(model.name):
            pairs.append(("nearest", tuple(near)))
        pairs += [
            ("exporter", model.origin.exporter or "unknown"),
            ("opset", str(model.opset)),
            ("parameters", f"{model.parameters:,}"),
            ("input", f"{text.fed(spec)}, {_input(model)}"),
            ("attributed", Cell(model.representation.value, code=True)),
            ("parity", _parity(model)),
        ]
        if model.gradient is not None:
            pairs.append(("gradient", text.checked(model.gradient)))
        pairs.append(("sha256", Cell(model.sha256[:16] + "…", code=True)))
        more: list[tuple[str, Value]] = [
            ("file", model.path or "in memory"),
            ("sha256", Cell(model.sha256, code=True)),
            ("attributed at", model.representation.rule),
            *((part, rule) for part, rule in spec.sources.items()),
            *((f"input {i}", line) for i, line in enumerate(text.fixed(spec), 2)),
            ("batch", str(model.batch)),
            ("unusable maps", str(model.unusable)),
        ]
        card = Card(
            name=f"model-{number}",
            title=model.name,
            badges=tuple(signs),
            facts=Facts(tuple(pairs)),
            more=(("How it is fed, and who says so", Facts(tuple(more))),),
        )
        made.append(card)
    lead = "What each file is, how it was fed, and how far its conversion is from ONNX Runtime."
    return Section("models", "Models", lead, (Cards(tuple(made)),))


def _input(model: Summary) -> str:
    if model.spec.kind != IMAGE:
        return "fed as it is"
    return f"{text.colors(model.spec)}, {text.value_range(model.spec).replace('*', '')}"


def _parity(model: Summary) -> str:
    if model.parity is None:
        return "black box: ONNX Runtime itself"
    return text.checked(model.parity)


def gallery_block(
    gallery: Gallery, links: Mapping[str, str], name: str = "gallery-maps", **more: Any
) -> Grid:
    """Returns the maps of a gallery, models × probes, on one scale.

    Args:
        gallery: From the result.
        links: Where the card of each model is.
        name: Of the block, on the page.
        more: Other fields of the block.
    """
    end = limit(gallery)
    zero = "0 is white, red positive, blue negative" if gallery.signed else "0 is white, dark large"
    models, probes = gallery.every
    shown = [f"{len(gallery.models)} of {count(models, 'model')}"] * (len(gallery.models) < models)
    shown += [f"{len(gallery.probes)} of {count(probes, 'probe')}"] * (len(gallery.probes) < probes)
    says = (
        f"{gallery.method} maps, {'signed' if gallery.signed else 'unsigned'}: {zero}. Each is "
        "divided by its own root mean square (RMS), since a cosine does not see how strong a map "
        f"is either; then one scale holds for all. Colours end at {end:.3g} RMS, the 99.5th "
        f"percentile of what is shown, and what is beyond is clipped. "
        f"{', '.join(shown)}{' shown.' if shown else ''}"
    )
    ends = (f"−{end:.3g} RMS" if gallery.signed else "0", f"{end:.3g} RMS")
    return Grid(
        name=name,
        caption=says.strip(),
        columns=gallery.probes,
        given=of_probes(gallery),
        rows=tuple(
            (model, links.get(model, ""), tiles)
            for model, tiles in zip(gallery.models, of_maps(gallery), strict=True)
        ),
        scale=scale(*ends, signed=gallery.signed),
        **more,
    )


def gallery_section(galleries: Sequence[Gallery], links: Mapping[str, str]) -> Section:
    """Returns the maps themselves, one gallery a method."""
    blocks = []
    for number, one in enumerate(galleries):
        name = "gallery-maps" if not number else f"gallery-maps-{number + 1}"
        blocks.append(gallery_block(one, links, name))
    lead = "What each model looks at, as it was attributed: before its mean map is removed."
    if not blocks:
        lead = "Maps of three axes and more are not drawn."
    return Section("gallery", "Maps", lead, tuple(blocks))


def method(
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    seconds: Mapping[str, float],
    *,
    command: str,
    says: Iterable[str],
    more: Sequence[Block] = (),
) -> Section:
    """Returns how it was made: in words, as settings, versions, and the command line.

    Args:
        settings: Of the result.
        versions: Likewise.
        seconds: Likewise.
        command: As it was typed; empty where there was none.
        says: Sentences.
        more: Other blocks, behind the words.
    """
    blocks: list[Block] = [Words(" ".join(says)), *more]
    if command:
        blocks.append(Literal("Command line", command))
    total = seconds.get("total")
    known = [
        (key.replace("_", " "), Cell(_value(value), code=True))
        for key, value in _flat(settings)
        if value not in (None, {}, [], ())
    ]
    packages = [(name, Cell(version, code=True)) for name, version in versions.items()]
    blocks.append(Columns((Facts(tuple(known), "Settings"), Facts(tuple(packages), "Versions"))))
    took = f"It took {total:.1f} s. " if total is not None else ""
    blocks.append(
        Words(
            f"{took}All numbers stand in this file in full precision, as JSON: in the element "
            "with the id “result”, in the form of --format json."
        )
    )
    return Section("method", "Method", "", tuple(blocks))


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}: ")
        else:
            yield name, value


def _value(value: Any) -> str:
    known = plain(value)
    if isinstance(known, list):
        return ", ".join(one if isinstance(one, str) else _value(one) for one in known)
    return known if isinstance(known, str) else json.dumps(known, ensure_ascii=False)
