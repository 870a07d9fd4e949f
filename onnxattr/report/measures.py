"""What measures say of a source, as the cells of a table, and as words."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from onnxattr.report import layout, text
from onnxattr.types import Comparison, Pairs, PairScore, Ranking, Score, Source

#: The sign of a source on which measures disagree.
DISPUTED = "!"

#: The columns of intervals of all measures but the first, which go where the line lacks room.
INTERVALS = "intervals"


def titles(measures: Sequence[Pairs], columns: frozenset[str]) -> tuple[list[Column], list[Column]]:
    """Returns the columns of the first measure and those of the others.

    Args:
        measures: Of a ranking.
        columns: Which others are shown.
    """
    names = [one.measure for one in measures]
    # The cosine of maps is called so where it stands alone.
    only = names in ([], ["attribution"])
    first = [layout.right("cosine" if only else names[0]), layout.right("interval")]
    others = []
    for name in names[1:]:
        others.append(layout.right(name))
        others += [layout.right("interval")] if INTERVALS in columns else []
    return first, others


def cells(
    source: Source, measures: Sequence[Pairs], columns: frozenset[str]
) -> tuple[list[RenderableType], list[RenderableType]]:
    """Returns what stands in the columns of `titles` for a source."""
    first: list[RenderableType] = [
        text.cosine(source.similarity),
        text.interval(source.low, source.high),
    ]
    others: list[RenderableType] = []
    for one in measures[1:]:
        score = source.measures.get(one.measure)
        others.append(text.cosine(score.value) if score else "-")
        others += [_interval(score)] if INTERVALS in columns else []
    return first, others


def mark(source: Source) -> Text:
    """Returns the sign of a source on which measures disagree, or nothing."""
    return Text(DISPUTED if source.disputed else "", "yellow")


def legend(result: Ranking) -> str:
    """Returns what a footer says of several measures, or of one that is not usual."""
    names = [one.measure for one in result.measures]
    if names in ([], ["attribution"]):
        return ""
    lines = f"; ordered by {names[0]}"
    if len(names) > 1:
        lines += (
            f"; {DISPUTED} = the measures disagree: by another one it has another rank, beyond ties"
        )
    directed = [one.measure for one in result.measures if one.directed]
    if directed:
        lines += f"; {' and '.join(directed)}: of the source for the model that is transferred to"
    return lines


def pair_lines(result: Comparison) -> Iterator[tuple[str, str]]:
    """Yields each measure of a comparison as a title and its figures."""
    for one in result.measures:
        what = f"{one.measure} of {one.source} and {one.target}"
        if one.directed:
            what = f"{one.measure}, {one.source} as a source for {one.target}"
        yield what, _figures(one)


def _figures(one: PairScore) -> str:
    return f"{text.cosine(one.value)} ({text.interval(one.low, one.high)})"


def _interval(score: Score | None) -> str:
    return text.interval(score.low, score.high) if score else "-"
