"""Rankings as tables: the sources of one target, or the closest ones of each model."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout, measures, summaries, text
from onnxattr.report.bar import Bar
from onnxattr.report.stopped import shown_cells, shown_titles, stopped_lines
from onnxattr.sanitise import clean
from onnxattr.types import Ranking, Source, Summary, Target

#: Sources that are shown of each model, where none is the target.
CLOSEST = 3


def ranked(result: Ranking, console: Console) -> Iterator[RenderableType]:
    """Yields a ranking's parts.

    Args:
        result: What to show.
        console: Its width decides which columns there are.
    """
    models = {m.name: m for m in result.models}
    if result.unfinished:
        count = len(result.unfinished)
        noun = "1 model was" if count == 1 else f"{count} models were"
        yield Text(f"Partial ranking: {noun} not finished before the interruption", "bold yellow")
    if result.settings["target"] is None:
        yield from summaries.models_tables(result.models, console)
        yield _closest_table(result, models, console)
    else:
        (target,) = result.targets
        yield Text(f"Sources for {clean(target.name)}, closest first", "bold")
        sources = _sources_table(target, result, models, console)
        yield sources
        if "parity" not in [column.header for column in sources.columns]:
            yield from summaries.models_tables(result.models, console)
    if result.stopping is not None:
        one = result.settings["target"] is not None
        yield Text("\n".join(stopped_lines(result.stopping, one=one)))
    yield Text(summaries.footer(result), "dim")


def _closest_table(result: Ranking, models: dict[str, Summary], console: Console) -> Table:
    def build(bar: int, columns: frozenset[str]) -> Table:
        table = layout.table(
            layout.folded("model"),
            layout.right("rank"),
            *_mark_column(result),
            layout.folded("closest sources"),
            *([Column("origin")] if "origin" in columns else []),
            *map(layout.right, shown_titles(result)),
            *_similarity_columns(result, bar, columns),
        )
        for target in result.targets:
            for position, source in enumerate(target.sources[:CLOSEST]):
                layout.add_row(
                    table,
                    Text(clean(target.name), "bold") if position == 0 else "",
                    text.rank(source.rank, source.tied),
                    *_mark_cell(source, result),
                    _source_name(source),
                    *([models[source.name].origin.framework] if "origin" in columns else []),
                    *shown_cells(source, result),
                    *_similarity_cells(source, result, bar, columns),
                )
            if hidden := _hidden_ties(target):
                blank = ["", *("" for _ in _mark_column(result))]
                layout.add_row(table, "", *blank, Text(f"and {hidden} more of this rank", "dim"))
        return table

    return layout.widest(console, build, _several(result, "origin"), bare=len(result.measures) > 1)


def _hidden_ties(target: Target) -> int:
    """Returns how many sources share the rank of the last one that is shown, and are not."""
    shown, rest = target.sources[:CLOSEST], target.sources[CLOSEST:]
    return sum(source.rank == shown[-1].rank for source in rest)


def _sources_table(
    target: Target, result: Ranking, models: dict[str, Summary], console: Console
) -> Table:
    def build(bar: int, columns: frozenset[str]) -> Table:
        table = layout.table(
            layout.right("rank"),
            *_mark_column(result),
            layout.folded("model"),
            *([Column("origin")] if "origin" in columns else []),
            *(map(layout.right, ("opset", "params", "parity")) if "facts" in columns else []),
            *map(layout.right, shown_titles(result)),
            *_similarity_columns(result, bar, columns),
        )
        for source in target.sources:
            model = models[source.name]
            layout.add_row(
                table,
                text.rank(source.rank, source.tied),
                *_mark_cell(source, result),
                _source_name(source),
                *([model.origin.framework] if "origin" in columns else []),
                *(summaries.facts(model) if "facts" in columns else []),
                *shown_cells(source, result),
                *_similarity_cells(source, result, bar, columns),
            )
        return table

    order = _several(result, "origin", "facts")
    return layout.widest(console, build, order, bare=len(result.measures) > 1)


def _similarity_columns(result: Ranking, bar: int, columns: frozenset[str]) -> list[Column]:
    first, others = measures.titles(result.measures, columns)
    first += [layout.right("distance")] if _of_paper(result) else []
    return [*first, *([Column("")] if bar else []), *others]


def _similarity_cells(
    source: Source, result: Ranking, bar: int, columns: frozenset[str]
) -> list[RenderableType]:
    first, others = measures.cells(source, result.measures, columns)
    if _of_paper(result):
        first.append("-" if source.distance is None else f"{source.distance:.3f}")
    return [*first, *([Bar(source.similarity, bar)] if bar else []), *others]


def _of_paper(result: Ranking) -> bool:
    """Whether maps were compared as in the paper, which defines a distance."""
    return result.similarity is not None and not result.similarity.centred


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
