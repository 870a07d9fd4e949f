"""Evaluations as tables: measures beside the oracle, chance and what symmetry allows."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout
from onnxattr.sanitise import clean
from onnxattr.types import Estimate, Evaluation, Measured

#: References that are exact, so that an interval would say nothing of them.
EXACT = ("oracle", "random")

#: Columns in one table; the most that the line has room for are taken.
_CHUNKS = (8, 4, 3, 2, 1)

#: Letters of a name on one line, where the whole of it would push figures into another table.
_FOLDED = 24

#: Figures in the truth's own unit, which may be anything.
_IN_UNITS = ("regret",)


def evaluated(result: Evaluation, console: Console) -> Iterator[RenderableType]:
    """Yields an evaluation as tables.

    Args:
        result: What to show.
        console: Its width decides how many columns stand beside each other.
    """
    first = result.measures[0].name
    yield from _tables(result, console, "measure", _figures, result.measures, result.references)
    others = [one for one in result.measures if one.differences]
    if others:
        yield Text(f"Differences to {clean(first)}, paired by target", "bold")
        yield from _tables(result, console, "measure", _differences, others, ())
    yield Text(_footer(result), "dim")


def summary_rows(result: Evaluation) -> list[dict[str, Any]]:
    """Returns one row a measure and reference, each figure with its interval."""
    titles = _titles(result)
    return [
        {
            "measure": one.name,
            **{
                title.replace("\n", " "): _with_interval(key, one.figures[key], one)
                for key, title in titles.items()
            },
        }
        for one in (*result.measures, *result.references)
    ]


def _titles(result: Evaluation) -> dict[str, str]:
    """Returns the title of each figure's column; P@1 is left out where only one is relevant."""
    titles = {
        "p_at_1": "P@1",
        "p_at_relevant": f"P@{result.relevant}",
        "spearman": "Spearman",
        "spearman_with_self": "Spearman\nwith self",
        "tau": "weighted τ",
        "tau_with_self": "weighted τ\nwith self",
        "regret": "regret",
        "relative_regret": "relative\nregret",
    }
    if result.relevant == 1:
        del titles["p_at_1"]
    return titles


def _tables(
    result: Evaluation,
    console: Console,
    title: str,
    cells: Callable[[Measured, Sequence[str]], list[RenderableType]],
    measures: Sequence[Measured],
    references: Sequence[Measured],
) -> Iterator[Table]:
    """Yields one table, or several where the line has no room for all columns.

    Names are folded before columns are moved.
    """
    titles = _titles(result)
    keys = list(titles)

    def build(part: Sequence[str], gap: int, width: int | None) -> Table:
        name = Column(title, overflow="fold", max_width=width)
        table = layout.table(name, *(layout.right(titles[key]) for key in part), gap=gap)
        for one in (*measures, *references):
            style = "" if one in references else "bold"
            table.add_row(Text(clean(one.name), style), *cells(one, part))
        return table

    tables: list[Table] = []
    for size, width, gap in product(_CHUNKS, (None, _FOLDED), layout.GAPS):
        parts = [keys[start : start + size] for start in range(0, len(keys), size)]
        tables = [build(part, gap, width) for part in parts]
        if all(layout.width(table, console) <= console.width for table in tables):
            break
    yield from tables


def _figures(one: Measured, keys: Sequence[str]) -> list[RenderableType]:
    return [_stacked(key, one.figures[key], exact=one.name in EXACT) for key in keys]


def _differences(one: Measured, keys: Sequence[str]) -> list[RenderableType]:
    return [_stacked(key, one.differences[key], sign="+") for key in keys]


def _stacked(
    key: str, estimate: Estimate, *, exact: bool = False, sign: str = ""
) -> RenderableType:
    """Returns a figure with its interval below; `*` where that of a difference excludes 0."""
    told = bool(sign) and (estimate.low > 0 or estimate.high < 0)
    value = Text(_number(key, estimate.value, sign) + ("*" if told else ""), justify="right")
    if exact or math.isnan(estimate.low):
        return value
    return Group(value, Text(_interval(key, estimate, sign), "dim", justify="right"))


def _with_interval(key: str, estimate: Estimate, one: Measured) -> str:
    value = _number(key, estimate.value, "")
    if one.name in EXACT or math.isnan(estimate.low):
        return value
    return f"{value} ({_interval(key, estimate, '')})"


def _interval(key: str, estimate: Estimate, sign: str) -> str:
    if key in _IN_UNITS:
        return f"{estimate.low:{sign}.2g} to {estimate.high:{sign}.2g}"
    return f"{estimate.low:{sign}z.2f} to {estimate.high:{sign}z.2f}"


def _number(key: str, value: float, sign: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:{sign}.3g}" if key in _IN_UNITS else f"{value:{sign}z.3f}"


def _footer(result: Evaluation) -> str:
    settings: Mapping[str, Any] = result.settings
    sources, targets = len(result.sources), len(result.targets)
    best = "the best source is" if result.relevant == 1 else f"the {result.relevant} best are"
    compared = any(one.differences for one in result.measures)
    unit = "a loss" if settings["lower_is_better"] else "higher is better"
    return (
        f"truth: {clean(str(settings['truth']['name']))} ({unit}), {sources} "
        f"{'source' if sources == 1 else 'sources'}, {targets} "
        f"{'target' if targets == 1 else 'targets'}; {best} relevant to a target; "
        "regret: truth of the best source minus that of the chosen one, relative: as a share of "
        f"best minus worst; interval: {settings['confidence']:.0%} of {settings['resamples']} "
        f"resamples of the targets{'; * excludes 0' if compared else ''}; oracle: the truth "
        "itself; random: as expected"
        + (
            "; symmetric ceiling: the symmetrised truth"
            if any(one.name == "symmetric ceiling" for one in result.references)
            else ""
        )
    )
