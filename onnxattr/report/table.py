"""Results as rich tables for a terminal, and as plain, untruncated text for everything else."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout, summaries, text
from onnxattr.report.audited import audited
from onnxattr.report.compared import compared
from onnxattr.report.evaluated import evaluated
from onnxattr.report.mapped import mapped
from onnxattr.report.ranked import ranked
from onnxattr.report.rows import Result
from onnxattr.report.tail import tail_lines
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import (
    IMAGE,
    Attributions,
    Audit,
    Comparison,
    Evaluation,
    Inspection,
    MapFile,
    Maps,
    ModelMap,
    Ranking,
    Refused,
    StoredMaps,
    Unsupported,
)


def render(result: Result, console: Console) -> None:
    """Prints `result` on `console` as tables.

    Args:
        result: What to show.
        console: Where; its width decides which columns there are and how wide the bars are.
    """
    if isinstance(result, Ranking):
        parts = ranked(result, console)
    elif isinstance(result, Comparison):
        parts = compared(result, console)
    elif isinstance(result, Evaluation):
        parts = evaluated(result, console)
    elif isinstance(result, ModelMap):
        parts = mapped(result, console)
    elif isinstance(result, Audit):
        parts = audited(result, console)
    else:
        parts = (_inspection(model) for model in result.models)
    layout.show_all(parts, console)


def stored_table(entries: Iterable[StoredMaps], now: float) -> Table:
    """Returns a table of what a store keeps.

    Args:
        entries: One a model, method and tensor.
        now: The time in seconds since the epoch, from which the last uses are counted.
    """
    table = layout.table(
        layout.folded("model"),
        Column("sha256"),
        Column("method"),
        layout.folded("attributed at"),
        *map(layout.right, ("probes", "MiB", "last used")),
    )
    for entry in entries:
        about = {key: clean(str(value)) for key, value in entry.about.items()}
        table.add_row(
            about.get("name", ""),
            about.get("model", "")[:12],
            about.get("method") or about.get("part", ""),
            about.get("tensor", ""),
            str(entry.probes),
            f"{entry.bytes / 2**20:.1f}",
            text.age(now - entry.used),
        )
    return table


def render_attributions(result: Attributions, files: Iterable[MapFile], console: Console) -> None:
    """Prints what was attributed and written on `console`: one table, or two where it is narrow.

    Args:
        result: What was attributed.
        files: What was written.
        console: Where.
    """
    written = list(files)
    counts = map(layout.right, ("parity", "maps", "unusable"))
    facts = (*map(layout.folded, ("model", "method")), *counts)
    whole = layout.table(*facts, *map(layout.folded, ("attributed at", "file")))
    first = layout.table(*(column.copy() for column in facts))
    second = layout.table(*map(layout.folded, ("file", "attributed at")))
    numbers = {(f.model, m): f.path for f in written if f.kind == "maps" for m in f.methods}
    for model, maps, lost in zip(result.models, result.maps, result.unusable, strict=True):
        name, place = Text(clean(model.name), "bold"), model.representation.value
        for method, count in zip(maps.methods, lost, strict=True):
            made = f"{len(maps.probes)} of {_sizes(maps)}"
            known = (method, summaries.facts(model)[2], made, str(count))
            path = numbers.get((model.name, method), "")
            layout.add_row(whole, name, *known, place, path)
            layout.add_row(first, name, *known)
            layout.add_row(second, path, place)
            name, place = Text(""), ""
    tables = [whole] if layout.fits(whole, console) else [first, second]
    layout.show_all([*tables, Text(_written(result, written), "dim")], console)


def _sizes(maps: Maps) -> str:
    inner = maps.values.shape[1 + (len(maps.methods) > 1) :]
    return "×".join(map(str, inner))


def _written(result: Attributions, files: Iterable[MapFile]) -> str:
    settings = result.settings
    kinds = [f.kind for f in files]
    nouns = {"maps": "file of maps", "picture": "picture", "sheet": "contact sheet"}
    plural = {"maps": "files of maps", "picture": "pictures", "sheet": "contact sheets"}
    counted = [
        f"{kinds.count(kind)} {nouns[kind] if kinds.count(kind) == 1 else plural[kind]}"
        for kind in nouns
        if kind in kinds
    ]
    return (
        f"raw maps at {clean(str(settings['at']))}, by {settings['reduction']} of its units; "
        f"{text.probes(settings)}; wrote {', '.join(counted)}"
    )


def _inspection(model: Inspection) -> Table:
    table = Table.grid(Column("", style="dim"), Column("", overflow="fold"), padding=(0, 2, 0, 0))
    layout.add_row(table, "model", Text(clean(model.name), "bold"))
    layout.add_row(table, "file", model.path)
    layout.add_row(table, "sha256", model.sha256)
    layout.add_row(
        table, "origin", f"{model.origin.framework} ({model.origin.exporter}), opset {model.opset}"
    )
    layout.add_row(table, "parameters", f"{model.parameters:,}")
    for title, values in (("input", model.inputs), ("output", model.outputs)):
        for value in values:
            layout.add_row(table, title, value)
    if model.spec is not None:
        for part, value in spec_lines(model).items():
            layout.add_row(table, part, value)
    if model.representation is not None:
        layout.add_row(
            table, "attributed at", f"{model.representation.value}  ({model.representation.rule})"
        )
    for number, line in enumerate(tail_lines(model.tail)):
        layout.add_row(table, "" if number else "tail", line)
    for part, check in (("parity", model.parity), ("gradient", model.gradient)):
        if check is not None:
            layout.add_row(table, part, text.checked(check))
    for refused in model.refused:
        title = "refused" if refused.certain else "may be refused"
        layout.add_row(table, title, Text(clean(f"{_nodes(refused)}: {refused.reason}", MAX_TEXT)))
    for title, group in (
        ("unsupported", model.unsupported),
        ("no gradient", model.gradientless),
        ("not checked", model.unchecked),
    ):
        for one in group:
            layout.add_row(table, title, Text(clean(_nodes(one), MAX_TEXT)))
    for problem in model.problems:
        layout.add_row(table, "problem", Text(clean(problem, MAX_TEXT), "red"))
    if model.remedy:
        layout.add_row(table, "possible", Text(clean(model.remedy, MAX_TEXT)))
    verdict = Text("cannot be ranked", "red") if model.problems else Text("can be ranked", "green")
    layout.add_row(table, "verdict", verdict)
    return table


def _nodes(group: Unsupported | Refused) -> str:
    """Returns an operator, with how many nodes there are and their names."""
    names = ", ".join(n or "(no name)" for n in group.nodes)
    return f"{group.operator} ({len(group.nodes)}): {names}"


def spec_lines(model: Inspection) -> dict[str, str]:
    """Returns each part of a model's `InputSpec` as text, with what decided it."""
    spec = model.spec
    assert spec is not None
    others = {f"input {number}": line for number, line in enumerate(text.fixed(spec), 2)}
    if spec.kind != IMAGE:
        lines = {spec.kind: f"{text.sizes(spec)}  ({spec.sources['size']})"}
        if spec.at:
            lines["maps of"] = f"{spec.at}  ({spec.sources['at']})"
        return {**lines, "batch": str(spec.batch) if spec.batch else "free", **others}
    values = {
        "layout": spec.layout,
        "size": text.sizes(spec),
        "color": text.colors(spec),
        "range": f"{spec.range[0]:g} to {spec.range[1]:g}",
        "mean": " ".join(f"{v:g}" for v in spec.mean),
        "std": " ".join(f"{v:g}" for v in spec.std),
        "gamma": f"{spec.gamma:g}",
        "resize": spec.resize,
    }
    lines = {part: f"{value}  ({spec.sources[part]})" for part, value in values.items()}
    lines["batch"] = str(spec.batch) if spec.batch else "free"
    if "input" in spec.sources:
        lines = {"probe input": f"{spec.input}  ({spec.sources['input']})", **lines}
    if "metadata" in spec.sources:
        lines["metadata"] = spec.sources["metadata"]
    return {**lines, **others}
