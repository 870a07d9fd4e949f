"""An audit as an auditor's page: the verdict first, then what the file is, then the evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout, text
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Audit, Identity, Relation, Suspect, Twin
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL, INDEPENDENT

#: Of the verdict, which says the same in words.
_COLORS = {IDENTICAL: "bold red", DERIVED: "bold red", CLOSER: "bold yellow", INDEPENDENT: "bold"}

#: Operators, references and models that are listed.
_OPERATORS, _MOST, _NEAREST = 8, 20, 5


def audited(result: Audit, console: Console) -> Iterator[RenderableType]:
    """Yields an audit's parts.

    Args:
        result: What to show.
        console: Its width decides which columns there are.
    """
    yield _headline(result)
    yield _section("The file", _facts(identity_lines(result.suspect)))
    yield _section("References", _references(result, console))
    if about := _shown(result):
        yield _section(_behaviour_title(about), _behaviour(about))
    if len(result.sensitivity) > 1:
        yield _section("Fed in other ways", _sensitivity(result))
    if result.twins:
        yield _section("Independent models", _twins(result))
    if result.nearest is not None and result.nearest.sources:
        yield _section("Nearest known models", _nearest(result, console))
    if result.failures:
        yield _section("Left out", _left_out(result))
    if result.gates:
        yield _section("Policy", _gates(result))
    yield Text(_footer(result), "dim")


def _headline(result: Audit) -> Table:
    verdict = result.verdict
    lines = Table.grid(Column(""), Column("", overflow="fold"), padding=(0, 1, 0, 0))
    for line in verdict.reasons:
        lines.add_row(Text("-"), Text(clean(line, MAX_TEXT)))
    for line in verdict.caveats:
        lines.add_row(Text("!"), Text(clean(line, MAX_TEXT), "dim"))
    table = Table.grid(padding=0)
    table.add_row(Text.assemble("Audit of ", (clean(result.suspect.name), "bold")))
    table.add_row(Text(""))
    said = (headline(result), _COLORS.get(verdict.kind, "bold"))
    table.add_row(Text.assemble("Verdict: ", said))
    table.add_row(Padding(lines, (0, 0, 0, 2)))
    return table


def headline(result: Audit) -> str:
    """Returns the verdict, with the reference that it is about."""
    verdict = result.verdict
    if not verdict.reference:
        return verdict.kind
    name = clean(verdict.reference)
    joined = {IDENTICAL: "identical to", DERIVED: "weight-derived from"}
    if verdict.kind in joined:
        return f"{joined[verdict.kind]} {name}"
    return f"{verdict.kind} ({name})"


def _section(title: str, body: RenderableType) -> Table:
    table = Table.grid(padding=0)
    table.add_row(Text(title, "bold underline"))
    table.add_row(Padding(body, (0, 0, 0, 2)))
    return table


def _facts(lines: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(Column("", style="dim"), Column("", overflow="fold"), padding=(0, 2, 0, 0))
    previous = None
    for title, value in lines:
        table.add_row(Text("" if title == previous else title), Text(clean(value, MAX_TEXT)))
        previous = title
    return table


def identity_lines(suspect: Suspect) -> list[tuple[str, str]]:
    """Returns what the suspect's file is, and what was checked and found: a title and a value."""
    lines = [("file", suspect.path)]
    identity = suspect.identity
    if identity is not None:
        lines += [
            ("size", f"{identity.size:,} bytes"),
            ("sha256", identity.file),
            ("weights", f"{identity.weights}  (whatever names and order)"),
            ("structure", f"{identity.structure}  (whatever names)"),
            ("origin", _origin(identity)),
            ("opsets", _counts({k or "ai.onnx": v for k, v in identity.opsets.items()}, " ")),
            ("operators", _operators(identity.operators)),
            ("parameters", f"{identity.parameters:,} ({_counts(identity.by_type, ' ')})"),
        ]
        lines += [("says of itself", f"{k}: {v}") for k, v in identity.metadata.items()]
    lines += [("input", value) for value in suspect.inputs]
    lines += [("output", value) for value in suspect.outputs]
    if suspect.spec is not None:
        doubt = text.assumptions(suspect.spec)
        assumed = f"; assumed: {doubt}" if doubt else ""
        lines.append(
            ("fed", f"{text.fed(suspect.spec)}, {text.value_range(suspect.spec)}{assumed}")
        )
    if suspect.representation is not None:
        found = suspect.representation
        lines.append(("compared at", f"{found.value}  ({found.rule})"))
    lines.append(("parity", text.checked(suspect.parity) if suspect.parity else "not checked"))
    lines.append(
        ("gradient", text.checked(suspect.gradient) if suspect.gradient else "not checked")
    )
    same = {True: "two runs gave the same bits", False: "two runs differed", None: "not run"}
    lines.append(("determinism", same[suspect.deterministic]))
    lines += [("found", f"{finding.kind}: {finding.text}") for finding in suspect.findings]
    return lines


def _origin(identity: Identity) -> str:
    if identity.framework == identity.exporter:
        return identity.framework
    return f"{identity.framework} ({identity.exporter})"


def _operators(operators: Mapping[str, int]) -> str:
    some = dict(list(operators.items())[:_OPERATORS])
    more = len(operators) - len(some)
    return _counts(some, " ") + (f", and {more} more kinds" if more > 0 else "")


def _counts(counts: Mapping[str, int], between: str) -> str:
    return ", ".join(f"{name}{between}{count:,}" for name, count in counts.items())


def _references(result: Audit, console: Console) -> RenderableType:
    """Returns a table of the references, in two where the line is short."""

    def build(columns: frozenset[str], gap: int) -> Table:
        heads = [layout.folded("reference"), layout.folded("weights")]
        heads += [layout.right("late"), layout.right("copied")]
        heads += [layout.right("score"), layout.right("p")] if "score" in columns else []
        heads += [layout.right("independent")] if "independent" in columns else []
        heads += [layout.folded("fed")] if "fed" in columns else []
        table = layout.table(*heads, gap=gap)
        for each in result.relations[:_MOST]:
            cells = [clean(each.reference), weights_in_words(each), *_weights(each)]
            cells += [_number(each.score), _p(each)] if "score" in columns else []
            cells += [str(len(each.twins))] if "independent" in columns else []
            own = "by itself" if each.behaviour else "-"
            cells += [clean(each.fed) or own] if "fed" in columns else []
            table.add_row(*map(Text, cells))
        if (more := len(result.relations) - _MOST) > 0:
            table.add_row(Text(f"and {more} more"))
        return table

    judged = any(each.twins for each in result.relations)
    fed = any(each.fed for each in result.relations)
    columns = [
        c for c, there in (("score", judged), ("independent", judged), ("fed", fed)) if there
    ]
    choices = [
        build(frozenset(columns[:count]), gap)
        for count in range(len(columns), -1, -1)
        for gap in layout.GAPS
    ]
    room = console.width - 2
    return next((t for t in choices if layout.width(t, console) <= room), choices[-1])


def weights_in_words(each: Relation) -> str:
    """Returns what the weights say of a reference, in words."""
    if each.identical:
        return {"file": "same file", "weights": "same weights", "function": "same function"}[
            each.identical
        ]
    if each.finding is None:
        return "not compared"
    return each.finding.kind


def _weights(each: Relation) -> tuple[str, str]:
    if each.match is None:
        return "-", "-"
    late = "-" if each.match.late is None else f"{each.match.late:z.2f}"
    return late, f"{each.match.copied:.0%}"


def _shown(result: Audit) -> Relation | None:
    """Returns the reference whose behaviour is shown in full: that of the verdict, or the first."""
    known = [each for each in result.relations if each.behaviour]
    about = [each for each in known if each.reference == result.verdict.reference]
    return next(iter([*about, *known]), None)


def _behaviour_title(each: Relation) -> str:
    noun = (
        "1 independent model" if len(each.twins) == 1 else f"{len(each.twins)} independent models"
    )
    against = f", against {noun}" if each.twins else ""
    return f"Behaviour beside {clean(each.reference)}{against}"


def _behaviour(each: Relation) -> Table:
    heads = [layout.folded("measure"), layout.right("value")]
    heads += [layout.right("independent"), layout.right("headroom")] if each.twins else []
    table = layout.table(*heads)
    for evidence in each.behaviour:
        name = evidence.measure + ("" if evidence.decides else " (decides nothing)")
        cells = [name, _number(evidence.value)]
        cells += [_number(evidence.baseline), _number(evidence.headroom)] if each.twins else []
        table.add_row(*map(Text, cells))
    if each.twins:
        table.add_row(
            Text("score", "bold"),
            Text(""),
            Text(f"p {_p(each)}"),
            Text(_number(each.score), "bold"),
        )
    return table


def _sensitivity(result: Audit) -> Table:
    table = layout.table(
        layout.folded("fed"),
        layout.right("like itself"),
        layout.folded("nearest"),
        layout.right("rsa"),
    )
    for each in result.sensitivity:
        cells = [clean(each.fed) or "by itself", _number(each.kept)]
        cells += [clean(each.nearest) or "-", _number(each.likeness)]
        table.add_row(*map(Text, cells))
    return table


def used(twin: Twin) -> str:
    """Returns what became of a model that was given as independent, in words."""
    return clean(twin.reference) or f"not used: {clean(twin.reason, MAX_TEXT)}"


def _twins(result: Audit) -> Table:
    table = layout.table(
        layout.folded("model"),
        layout.folded("counts for"),
        layout.right("alike"),
    )
    for twin in result.twins:
        table.add_row(Text(clean(twin.name)), Text(used(twin)), Text(_number(twin.likeness)))
    return table


def _nearest(result: Audit, console: Console) -> Table:
    """Returns the first models by the first measure, with what others say, as many as fit."""
    assert result.nearest is not None
    sources = result.nearest.sources[:_NEAREST]
    names = list(dict.fromkeys(name for source in sources for name in source.measures))

    def build(count: int, gap: int) -> Table:
        heads = [layout.folded("model"), *map(layout.right, names[:count])]
        table = layout.table(*heads, gap=gap)
        for source in sources:
            found = [source.measures.get(name) for name in names[:count]]
            cells = ["-" if s is None else f"{s.value:z.2f} #{s.rank}" for s in found]
            table.add_row(*map(Text, [clean(source.name), *cells]))
        return table

    choices = [build(count, gap) for count in range(len(names), 0, -1) for gap in layout.GAPS]
    return next((t for t in choices if layout.width(t, console) <= console.width - 2), choices[-1])


def _left_out(result: Audit) -> Table:
    table = Table.grid(
        Column("", overflow="fold"), Column("", overflow="fold"), padding=(0, 2, 0, 0)
    )
    for failure in result.failures[:_MOST]:
        table.add_row(Text(clean(failure.name)), Text(clean(failure.message, MAX_TEXT)))
    if (more := len(result.failures) - _MOST) > 0:
        table.add_row(Text(f"and {more} more"), Text(""))
    return table


def _gates(result: Audit) -> Table:
    table = Table.grid(Column(""), Column("", overflow="fold"), padding=(0, 2, 0, 0))
    for gate in result.gates:
        color = "red" if gate.crossed else "green"
        verdict = Text("FAILS" if gate.crossed else "passes", color)
        table.add_row(verdict, Text(clean(f"{gate.text}: {gate.reason}", MAX_TEXT)))
    return table


def _footer(result: Audit) -> str:
    settings = result.settings
    tried = (
        "colours and ranges tried" if settings["search"] else "each model fed as it feeds itself"
    )
    return (
        "late: aligned similarity of the last layers; copied: share of its weights; headroom: of "
        "what the best independent model leaves; score: the mean of the two largest headrooms; "
        f"{text.probes(settings)}; {tried}"
    )


def _p(each: Relation) -> str:
    return "-" if math.isnan(each.p) else f"{each.p:.2g} (least {each.floor:.2g})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:z.2f}"
