"""Comparisons of two models as tables: the similarity, and the probes at both of its ends."""

from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout, measures, summaries, text
from onnxattr.report.bar import Bar
from onnxattr.sanitise import clean
from onnxattr.types import Comparison, ProbeCosine

#: Probes that are shown at each end of a comparison.
EXTREMES = 5


def compared(result: Comparison, console: Console) -> Iterator[RenderableType]:
    """Yields a comparison's parts.

    Args:
        result: What to show.
        console: Its width decides which columns there are.
    """
    one, two = (clean(m.name) for m in result.models)
    yield from summaries.models_tables(result.models, console)
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
    if result.probes:
        yield _probes_table("most alike on", result.probes[:extremes], console)
    if len(result.probes) > 1:
        yield _probes_table("least alike on", result.probes[: -extremes - 1 : -1], console)
    yield Text(summaries.footer(result), "dim")


def _probes_table(title: str, probes: Iterable[ProbeCosine], console: Console) -> Table:
    probes = list(probes)

    def build(bar: int, columns: frozenset[str]) -> Table:
        name = Column(title, overflow="fold", min_width=len("least alike on"))
        table = layout.table(name, layout.right("cosine"), *([Column("")] if bar else []))
        for probe in probes:
            bars = [Bar(probe.cosine, bar)] if bar else []
            layout.add_row(table, probe.name, text.cosine(probe.cosine), *bars)
        return table

    return layout.widest(console, build, ())
