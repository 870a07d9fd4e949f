"""Results as rich tables for a terminal, and as plain, untruncated text for everything else."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import text
from onnxattr.report.rows import Result
from onnxattr.types import (
    Comparison,
    Inspection,
    ProbeCosine,
    Ranking,
    Source,
    Summary,
    Survey,
    Target,
)

#: Sources that are shown of each model, where none is the target.
CLOSEST = 3

#: Probes that are shown at each end of a comparison.
EXTREMES = 5

_SPARSE, _WIDE = 6, 30


def render(result: Result, console: Console) -> None:
    """Prints `result` on `console` as tables.

    Args:
        result: What to show.
        console: Where; its width decides how wide the bars are.
    """
    if isinstance(result, Ranking):
        _ranking(result, console)
    elif isinstance(result, Comparison):
        _comparison(result, console)
    else:
        _survey(result, console)


class Bar:
    """A bar for a similarity: empty at 0 and below, full at 1."""

    def __init__(self, share: float, width: int) -> None:
        self.share, self.width = min(max(share, 0.0), 1.0), width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws eighths of a cell, or number signs where the terminal has no such characters."""
        width = min(self.width, options.max_width)
        style = Style(color="green" if self.share >= 0.5 else "cyan")
        if options.ascii_only:
            full = round(self.share * width)
            yield Segment("#" * full + "." * (width - full), style)
            return
        eighths = round(self.share * width * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]
        yield Segment(bar[:width].ljust(width), style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as it was asked to be, or less."""
        return Measurement(min(4, self.width), self.width)


def _ranking(result: Ranking, console: Console) -> None:
    models = {m.name: m for m in result.models}
    how = "the paper's arithmetic" if not result.similarity.centred else "centred"
    probes = result.settings["probes"]
    footer = (
        f"{result.settings['method']} maps at {text.clean(str(result.settings['at']))}, {how}; "
        f"{probes['count']} probes ({text.clean(probes['source'])}); "
        f"interval: {result.settings['confidence']:.0%} of {result.settings['resamples']} "
        "resamples of the probes; = shares a rank"
    )
    if result.settings["target"] is None:
        console.print(_models_table(result.models))
        console.print()
        console.print(_closest_table(result.targets, models, console))
    else:
        (target,) = result.targets
        console.print(Text(f"Sources for {text.clean(target.name)}, closest first", "bold"))
        console.print()
        console.print(_sources_table(target, models, console))
    console.print()
    console.print(Text(footer, "dim"))


def _models_table(models: Iterable[Summary]) -> Table:
    table = _table(
        Column("model", overflow="fold"),
        Column("origin"),
        _right("opset"),
        _right("params"),
        _right("parity"),
        Column("input"),
        Column("attributed at", overflow="fold", max_width=40),
    )
    for m in models:
        spec = m.spec
        table.add_row(
            text.clean(m.name),
            text.clean(m.origin.framework),
            str(m.opset),
            text.short_count(m.parameters),
            f"{m.parity.error:.0e}",
            f"{spec.layout} {spec.height}×{spec.width}",
            text.clean(m.representation.value),
        )
    return table


def _closest_table(
    targets: Iterable[Target], models: dict[str, Summary], console: Console
) -> Table:
    table = _table(
        Column("model", overflow="fold"),
        _right("rank"),
        Column("closest sources", overflow="fold"),
        Column("origin"),
        *_similarity_columns(),
    )
    for target in targets:
        for position, source in enumerate(target.sources[:CLOSEST]):
            table.add_row(
                Text(text.clean(target.name), "bold") if position == 0 else "",
                text.rank(source.rank, source.tied),
                _source_name(source),
                text.clean(models[source.name].origin.framework),
                *_similarity_cells(source, console),
                end_section=position == min(CLOSEST, len(target.sources)) - 1,
            )
    return table


def _sources_table(target: Target, models: dict[str, Summary], console: Console) -> Table:
    table = _table(
        _right("rank"),
        Column("model", overflow="fold"),
        Column("origin"),
        _right("opset"),
        _right("params"),
        _right("parity"),
        *_similarity_columns(),
    )
    for source in target.sources:
        model = models[source.name]
        table.add_row(
            text.rank(source.rank, source.tied),
            _source_name(source),
            text.clean(model.origin.framework),
            str(model.opset),
            text.short_count(model.parameters),
            f"{model.parity.error:.0e}",
            *_similarity_cells(source, console),
        )
    return table


def _comparison(result: Comparison, console: Console) -> None:
    one, two = (text.clean(m.name) for m in result.models)
    console.print(_models_table(result.models))
    console.print()
    same = "; the files are the same, byte for byte" if result.duplicate else ""
    console.print(
        Text.assemble(
            f"similarity of {one} and {two}: ",
            (text.cosine(result.similarity), "bold"),
            f" ({text.interval(result.low, result.high)}){same}",
        )
    )
    if result.distance is not None:
        console.print(Text(f"the paper's distance N / Σ cos: {result.distance:.4g}"))
    extremes = min(EXTREMES, len(result.probes) // 2) or 1
    for title, probes in (
        ("most alike on", result.probes[:extremes]),
        ("least alike on", result.probes[: -extremes - 1 : -1]),
    ):
        console.print()
        console.print(_probes_table(title, probes, console))


def _probes_table(title: str, probes: Iterable[ProbeCosine], console: Console) -> Table:
    table = _table(Column(title, overflow="fold"), _right("cosine"), Column(""))
    for probe in probes:
        table.add_row(
            text.clean(probe.name), text.cosine(probe.cosine), _bar(probe.cosine, console)
        )
    return table


def _survey(result: Survey, console: Console) -> None:
    for position, model in enumerate(result.models):
        if position:
            console.print()
        console.print(_inspection(model))


def _inspection(model: Inspection) -> Table:
    table = Table.grid(Column("", style="dim"), Column("", overflow="fold"), padding=(0, 2, 0, 0))
    usable = not model.problems
    table.add_row("model", Text(text.clean(model.name), "bold"))
    table.add_row("file", text.clean(model.path))
    table.add_row("sha256", model.sha256)
    origin = f"{model.origin.framework} ({model.origin.exporter}), opset {model.opset}"
    table.add_row("origin", text.clean(origin))
    table.add_row("parameters", f"{model.parameters:,}")
    table.add_row("inputs", text.clean(", ".join(model.inputs)))
    table.add_row("outputs", text.clean(", ".join(model.outputs)))
    if model.spec is not None:
        for part, value in spec_lines(model).items():
            table.add_row(part, text.clean(value))
    if model.representation is not None:
        where = f"{model.representation.value} ({model.representation.rule})"
        table.add_row("attributed at", text.clean(where))
    for missing in model.unsupported:
        nodes = ", ".join(n or "(no name)" for n in missing.nodes)
        table.add_row("unsupported", text.clean(f"{missing.operator}: {nodes}"))
    for problem in model.problems:
        table.add_row("problem", Text(text.clean(problem), "red"))
    verdict = Text("can be ranked", "green") if usable else Text("cannot be ranked", "red")
    table.add_row("verdict", verdict)
    return table


def spec_lines(model: Inspection) -> dict[str, str]:
    """Returns each part of a model's `InputSpec` as text, with what decided it."""
    spec = model.spec
    assert spec is not None
    values = {
        "layout": spec.layout,
        "size": f"{spec.height}×{spec.width}",
        "range": f"{spec.range[0]:g} to {spec.range[1]:g}",
        "mean": " ".join(f"{v:g}" for v in spec.mean),
        "std": " ".join(f"{v:g}" for v in spec.std),
    }
    lines = {part: f"{value}  ({spec.sources[part]})" for part, value in values.items()}
    lines["batch"] = str(spec.batch) if spec.batch else "free"
    return lines


def _table(*columns: Column) -> Table:
    return Table(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")


def _right(title: str) -> Column:
    return Column(title, justify="right", no_wrap=True)


def _similarity_columns() -> tuple[Column, ...]:
    return _right("cosine"), Column("interval", no_wrap=True), Column("")


def _similarity_cells(source: Source, console: Console) -> tuple[RenderableType, ...]:
    return (
        text.cosine(source.similarity),
        text.interval(source.low, source.high),
        _bar(source.similarity, console),
    )


def _bar(share: float, console: Console) -> Bar:
    return Bar(share, _WIDE if console.width >= 110 else _SPARSE)


def _source_name(source: Source) -> Text:
    name = Text(text.clean(source.name))
    return name.append(" (duplicate)", "yellow") if source.duplicate else name
