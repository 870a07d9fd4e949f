"""Results as rich tables for a terminal, and as plain, untruncated text for everything else."""

from collections.abc import Callable, Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import measures, text
from onnxattr.report.audited import audited
from onnxattr.report.bar import Bar
from onnxattr.report.evaluated import evaluated
from onnxattr.report.mapped import mapped
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
    ProbeCosine,
    Ranking,
    Refused,
    Source,
    StoredMaps,
    Summary,
    Target,
    Unsupported,
)

#: Sources that are shown of each model, where none is the target.
CLOSEST = 3

#: Probes that are shown at each end of a comparison.
EXTREMES = 5

#: Widths of a bar, in characters; the first that the line has room for is taken.
_BARS = (30, 20, 12, 8)

#: Spaces between columns, likewise.
_GAPS = (2, 1)


def render(result: Result, console: Console) -> None:
    """Prints `result` on `console` as tables.

    Args:
        result: What to show.
        console: Where; its width decides which columns there are and how wide the bars are.
    """
    if isinstance(result, Ranking):
        parts = _ranking(result, console)
    elif isinstance(result, Comparison):
        parts = _comparison(result, console)
    elif isinstance(result, Evaluation):
        parts = evaluated(result, console)
    elif isinstance(result, ModelMap):
        parts = mapped(result, console)
    elif isinstance(result, Audit):
        parts = audited(result, console)
    else:
        parts = (_inspection(model) for model in result.models)
    for position, part in enumerate(parts):
        if position:
            console.print()
        console.print(InAscii(part) if console.options.ascii_only else part)


class InAscii:
    """A renderable with ASCII for our own symbols, for terminals that have nothing else."""

    def __init__(self, content: RenderableType) -> None:
        self.content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the content, then replaces its symbols."""
        for segment in console.render(self.content, options):
            yield Segment(text.in_ascii(segment.text), segment.style, segment.control)


def _ranking(result: Ranking, console: Console) -> Iterator[RenderableType]:
    models = {m.name: m for m in result.models}
    if result.unfinished:
        count = len(result.unfinished)
        noun = "1 model was" if count == 1 else f"{count} models were"
        yield Text(f"Partial ranking: {noun} not finished before the interruption", "bold yellow")
    if result.settings["target"] is None:
        yield from _models_tables(result.models, console)
        yield _closest_table(result, models, console)
    else:
        (target,) = result.targets
        yield Text(f"Sources for {clean(target.name)}, closest first", "bold")
        sources = _sources_table(target, result, models, console)
        yield sources
        if "parity" not in [column.header for column in sources.columns]:
            yield from _models_tables(result.models, console)
    yield Text(_footer(result), "dim")


def stored_table(entries: Iterable[StoredMaps], now: float) -> Table:
    """Returns a table of what a store keeps.

    Args:
        entries: One a model, method and tensor.
        now: The time in seconds since the epoch, from which the last uses are counted.
    """
    names = (_name("model"), Column("sha256"), Column("method"), _name("attributed at"))
    table = _table(*names, *map(_right, ("probes", "MiB", "last used")))
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
    facts = (_name("model"), _name("method"), *map(_right, ("parity", "maps", "unusable")))
    whole = _table(*facts, _name("attributed at"), _name("file"))
    first, second = (
        _table(*(c.copy() for c in facts)),
        _table(_name("file"), _name("attributed at")),
    )
    numbers = {(f.model, m): f.path for f in written if f.kind == "maps" for m in f.methods}
    for model, maps, lost in zip(result.models, result.maps, result.unusable, strict=True):
        name, place = Text(clean(model.name), "bold"), model.representation.value
        for method, count in zip(maps.methods, lost, strict=True):
            known = (method, _facts(model)[2], f"{len(maps.probes)} of {_sizes(maps)}", str(count))
            path = numbers.get((model.name, method), "")
            _add(whole, name, *known, place, path)
            _add(first, name, *known)
            _add(second, path, place)
            name, place = Text(""), ""
    tables = [whole] if any(_fits(whole, console, gap) for gap in _GAPS) else [first, second]
    parts: list[RenderableType] = [*tables, Text(_written(result, written), "dim")]
    for position, part in enumerate(parts):
        if position:
            console.print()
        console.print(InAscii(part) if console.options.ascii_only else part)


def _sizes(maps: Maps) -> str:
    inner = maps.values.shape[1 + (len(maps.methods) > 1) :]
    return "×".join(map(str, inner))


def _written(result: Attributions, files: Iterable[MapFile]) -> str:
    settings = result.settings
    count = settings["probes"]["count"]
    number = "1 probe" if count == 1 else f"{count} probes"
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
        f"{number} ({clean(settings['probes']['source'])}); wrote {', '.join(counted)}"
    )


def _footer(result: Ranking | Comparison) -> str:
    settings = result.settings
    how = "centred" if settings["centred"] else "the paper's arithmetic"
    count = settings["probes"]["count"]
    number = "1 probe" if count == 1 else f"{count} probes"
    shared = f"; = shares a rank{measures.legend(result)}" if isinstance(result, Ranking) else ""
    doubtful = sum("range" in text.assumptions(m.spec) for m in result.models)
    everyone = "all models" if doubtful == len(result.models) else f"{doubtful} models"
    starred = isinstance(result, Comparison) or settings["target"] is None
    what = "* is" if starred else "the input range is"
    assumed = f"; {what} assumed for {everyone}" if doubtful else ""
    given = ", ".join(
        # Longer ones are what a file held.
        f"{key} {value if len(str(value)) <= 40 else 'of a file'}"
        for key, value in settings.get("method_options", {}).items()
    )
    by = f" ({clean(given)})" if given else ""
    reduction = settings.get("reduction", "sum")
    of = "" if reduction == "sum" else f" of {clean(reduction)}"
    return (
        f"{settings['method']}{by} maps{of} at {clean(str(settings['at']))}, {how}; "
        f"{number} ({clean(settings['probes']['source'])}); "
        f"interval: {settings['confidence']:.0%} of {settings['resamples']} "
        f"resamples of the probes{shared}{assumed}"
    )


def _models_tables(models: Iterable[Summary], console: Console) -> Iterator[Table]:
    """Yields one table, or two where the line has no room for all of it."""
    models = list(models)
    facts = (Column("origin"), *map(_right, ("opset", "params", "parity")))
    places = (Column("input"), Column("range"), _name("attributed at"))
    table = _table(_name("model"), *facts, *places)
    first = _table(_name("model"), *(c.copy() for c in facts))
    second = _table(_name("model"), *(c.copy() for c in places))
    for m in models:
        known = (m.origin.framework, *_facts(m))
        fed = (text.fed(m.spec), text.value_range(m.spec), m.representation.value)
        _add(table, m.name, *known, *fed)
        _add(first, m.name, *known)
        _add(second, m.name, *fed)
    if any(_fits(table, console, gap) for gap in _GAPS):
        yield table
    else:
        yield first
        yield second


def _closest_table(result: Ranking, models: dict[str, Summary], console: Console) -> Table:
    def build(bar: int, columns: frozenset[str]) -> Table:
        table = _table(
            _name("model"),
            _right("rank"),
            *_mark_column(result),
            _name("closest sources"),
            *([Column("origin")] if "origin" in columns else []),
            *_similarity_columns(result, bar, columns),
        )
        for target in result.targets:
            for position, source in enumerate(target.sources[:CLOSEST]):
                _add(
                    table,
                    Text(clean(target.name), "bold") if position == 0 else "",
                    text.rank(source.rank, source.tied),
                    *_mark_cell(source, result),
                    _source_name(source),
                    *([models[source.name].origin.framework] if "origin" in columns else []),
                    *_similarity_cells(source, result, bar, columns),
                )
            if hidden := _hidden_ties(target):
                blank = ["", *("" for _ in _mark_column(result))]
                _add(table, "", *blank, Text(f"and {hidden} more of this rank", "dim"))
        return table

    return _widest(console, build, _several(result, "origin"), bare=len(result.measures) > 1)


def _hidden_ties(target: Target) -> int:
    """Returns how many sources share the rank of the last one that is shown, and are not."""
    shown, rest = target.sources[:CLOSEST], target.sources[CLOSEST:]
    return sum(source.rank == shown[-1].rank for source in rest)


def _sources_table(
    target: Target, result: Ranking, models: dict[str, Summary], console: Console
) -> Table:
    def build(bar: int, columns: frozenset[str]) -> Table:
        table = _table(
            _right("rank"),
            *_mark_column(result),
            _name("model"),
            *([Column("origin")] if "origin" in columns else []),
            *(map(_right, ("opset", "params", "parity")) if "facts" in columns else []),
            *_similarity_columns(result, bar, columns),
        )
        for source in target.sources:
            model = models[source.name]
            _add(
                table,
                text.rank(source.rank, source.tied),
                *_mark_cell(source, result),
                _source_name(source),
                *([model.origin.framework] if "origin" in columns else []),
                *(_facts(model) if "facts" in columns else []),
                *_similarity_cells(source, result, bar, columns),
            )
        return table

    order = _several(result, "origin", "facts")
    return _widest(console, build, order, bare=len(result.measures) > 1)


def _comparison(result: Comparison, console: Console) -> Iterator[RenderableType]:
    one, two = (clean(m.name) for m in result.models)
    yield from _models_tables(result.models, console)
    headline = Text.assemble(
        f"similarity of {one} and {two}: ",
        (text.cosine(result.similarity), "bold"),
        f" ({text.interval(result.low, result.high)})",
    )
    if {one.measure for one in result.measures} - {"attribution"}:
        lines = (f"{clean(what)}: {figures}" for what, figures in measures.pair_lines(result))
        headline = Text("\n".join(lines))
    if result.duplicate:
        headline.append("\nthe files are the same, byte for byte", "yellow")
    if result.distance is not None:
        headline.append(f"\nthe paper's distance N / Σ cos: {result.distance:.4g}")
    yield headline
    extremes = min(EXTREMES, len(result.probes) // 2) or 1
    yield _probes_table("most alike on", result.probes[:extremes], console)
    if len(result.probes) > 1:
        yield _probes_table("least alike on", result.probes[: -extremes - 1 : -1], console)
    yield Text(_footer(result), "dim")


def _probes_table(title: str, probes: Iterable[ProbeCosine], console: Console) -> Table:
    probes = list(probes)

    def build(bar: int, columns: frozenset[str]) -> Table:
        name = Column(title, overflow="fold", min_width=len("least alike on"))
        table = _table(name, _right("cosine"), *([Column("")] if bar else []))
        for probe in probes:
            bars = [Bar(probe.cosine, bar)] if bar else []
            _add(table, probe.name, text.cosine(probe.cosine), *bars)
        return table

    return _widest(console, build, ())


def _inspection(model: Inspection) -> Table:
    table = Table.grid(Column("", style="dim"), Column("", overflow="fold"), padding=(0, 2, 0, 0))
    _add(table, "model", Text(clean(model.name), "bold"))
    _add(table, "file", model.path)
    _add(table, "sha256", model.sha256)
    _add(
        table, "origin", f"{model.origin.framework} ({model.origin.exporter}), opset {model.opset}"
    )
    _add(table, "parameters", f"{model.parameters:,}")
    for title, values in (("input", model.inputs), ("output", model.outputs)):
        for value in values:
            _add(table, title, value)
    if model.spec is not None:
        for part, value in spec_lines(model).items():
            _add(table, part, value)
    if model.representation is not None:
        _add(table, "attributed at", f"{model.representation.value}  ({model.representation.rule})")
    for number, line in enumerate(tail_lines(model.tail)):
        _add(table, "" if number else "tail", line)
    for part, check in (("parity", model.parity), ("gradient", model.gradient)):
        if check is not None:
            _add(table, part, text.checked(check))
    for refused in model.refused:
        title = "refused" if refused.certain else "may be refused"
        _add(table, title, Text(clean(f"{_nodes(refused)}: {refused.reason}", MAX_TEXT)))
    for title, group in (
        ("unsupported", model.unsupported),
        ("no gradient", model.gradientless),
        ("not checked", model.unchecked),
    ):
        for one in group:
            _add(table, title, Text(clean(_nodes(one), MAX_TEXT)))
    for problem in model.problems:
        _add(table, "problem", Text(clean(problem, MAX_TEXT), "red"))
    if model.remedy:
        _add(table, "possible", Text(clean(model.remedy, MAX_TEXT)))
    verdict = Text("cannot be ranked", "red") if model.problems else Text("can be ranked", "green")
    _add(table, "verdict", verdict)
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


def _widest(
    console: Console,
    build: Callable[[int, frozenset[str]], Table],
    columns: tuple[str, ...],
    *,
    bare: bool = False,
) -> Table:
    """Returns the fullest table that fits.

    Bars shrink and columns move together, then `columns` go from the last to the first, then the
    bars; with `bare`, the bars go before any column. What still does not fit is folded.
    """
    kept = [frozenset(columns[:count]) for count in range(len(columns), -1, -1)]
    least = build(0, frozenset())
    bars = (*_BARS, 0) if bare else _BARS
    choices = [(gap, build(bar, some)) for some in kept for gap in _GAPS for bar in bars]
    choices += [(gap, least) for gap in _GAPS]
    return next((table for gap, table in choices if _fits(table, console, gap)), least)


def _fits(table: Table, console: Console, gap: int) -> bool:
    """Puts `gap` between the columns of `table`; returns whether it fits on a line."""
    table.padding = (0, gap, 0, 0)
    unbounded = console.options.update(max_width=10_000)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def _table(*columns: Column) -> Table:
    padding = (0, _GAPS[0], 0, 0)
    return Table(*columns, box=None, padding=padding, pad_edge=False, header_style="dim")


def _add(table: Table, *cells: RenderableType) -> None:
    """Adds a row; strings are cleaned, and never read as rich's markup."""
    table.add_row(*(Text(clean(c)) if isinstance(c, str) else c for c in cells))


def _name(title: str) -> Column:
    return Column(title, overflow="fold")


def _right(title: str) -> Column:
    return Column(title, justify="right", no_wrap=True)


def _facts(model: Summary) -> tuple[str, str, str]:
    parity = f"{model.parity.error:.0e}" if model.parity else "black box"
    return str(model.opset), text.short_count(model.parameters), parity


def _similarity_columns(result: Ranking, bar: int, columns: frozenset[str]) -> list[Column]:
    first, others = measures.titles(result.measures, columns)
    first += [] if result.similarity.centred else [_right("distance")]
    return [*first, *([Column("")] if bar else []), *others]


def _similarity_cells(
    source: Source, result: Ranking, bar: int, columns: frozenset[str]
) -> list[RenderableType]:
    first, others = measures.cells(source, result.measures, columns)
    if not result.similarity.centred:
        first.append("-" if source.distance is None else f"{source.distance:.3f}")
    return [*first, *([Bar(source.similarity, bar)] if bar else []), *others]


def _mark_column(result: Ranking) -> list[Column]:
    return [Column("", width=1)] if len(result.measures) > 1 else []


def _mark_cell(source: Source, result: Ranking) -> list[RenderableType]:
    return [measures.mark(source)] if len(result.measures) > 1 else []


def _several(result: Ranking, *columns: str) -> tuple[str, ...]:
    """Returns the columns that may go, the last first."""
    return (*([measures.INTERVALS] if len(result.measures) > 1 else []), *columns)


def _source_name(source: Source) -> Text:
    name = Text(clean(source.name))
    return name.append(" (duplicate)", "yellow") if source.duplicate else name
