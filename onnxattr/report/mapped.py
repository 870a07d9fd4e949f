"""Models as a tree in the terminal: one line a model, with what it is and who is nearest."""

from collections.abc import Callable, Iterator
from itertools import product

from rich.cells import cell_len, chop_cells
from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout, text
from onnxattr.report.dendrogram import gaps
from onnxattr.report.tree_text import axis_line, tree_lines
from onnxattr.sanitise import clean
from onnxattr.types import ModelMap

#: Widths of the tree, in characters; the first that the line has room for is taken. The last ones
#: are for lines that have no room even without some of the columns.
_TREES, _SMALL = (48, 32, 24), (16, 10)

#: Columns beside tree, name and cluster; the last ones go first.
_COLUMNS = ("joined", "origin", "nearest")

#: The narrowest that a name is folded to.
_NARROWEST = 12

#: Nearest models that are shown where there is no tree.
_NEAREST = 3

#: Of clusters, which have their numbers, too.
_COLORS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def mapped(result: ModelMap, console: Console) -> Iterator[RenderableType]:
    """Yields a map as a tree and a line that says how it was made.

    Args:
        result: What to show.
        console: Its width decides which columns there are and how wide the tree is.
    """
    if result.unfinished:
        count = len(result.unfinished)
        noun = "1 model was" if count == 1 else f"{count} models were"
        yield Text(f"Partial map: {noun} not finished before the interruption", "bold yellow")
    yield _tree(result, console) if result.leaves else _nearest(result, console)
    yield Text(_footer(result), "dim")


def _tree(result: ModelMap, console: Console) -> Table:
    """Returns the fullest table that fits; names are folded where not even the barest does."""
    # A vendor's long name must not cost all others their columns.
    names = [clean(result.models[leaf].name) for leaf in result.leaves]
    longest = max(map(cell_len, names))
    kept = [_COLUMNS[:count] for count in range(len(_COLUMNS), -1, -1)]
    folds = [most for most in (40, 24, _NARROWEST) if most < longest]
    choices = [
        *product(kept, _TREES, (longest,), layout.GAPS),
        *product(kept[1:], _SMALL, (longest,), layout.GAPS),
        *product(kept[1:], _SMALL[-1:], folds, layout.GAPS),
    ]
    for columns, width, fold, gap in choices:
        table = _build(result, width, fold, columns, gap)
        if layout.width(table, console) <= console.width:
            break
    return table


def _build(result: ModelMap, width: int, fold: int, columns: tuple[str, ...], gap: int) -> Table:
    table = layout.table(gap=gap)
    table.add_column(axis_line(result, width), no_wrap=True)
    table.add_column("model", no_wrap=True)
    if result.clusters:
        table.add_column("cluster", justify="right", no_wrap=True)
    fillers: list[Callable[[int, int], list[str]]] = []
    distances = ["", *(f"{distance:.3f}" for distance in gaps(result))]
    if "joined" in columns:
        table.add_column("joined at", justify="right", no_wrap=True)
        fillers.append(lambda place, _: [distances[place]])
    if "origin" in columns:
        table.add_column("origin", no_wrap=True)
        fillers.append(lambda _, leaf: [clean(result.models[leaf].origin.framework)])
    if "nearest" in columns:
        table.add_column("nearest model", no_wrap=True)
        table.add_column("cosine", justify="right", no_wrap=True)
        fillers.append(lambda _, leaf: _first(result, leaf))
    lines = tree_lines(result, width)
    for place, (leaf, (line, below)) in enumerate(zip(result.leaves, lines, strict=True)):
        cluster = result.clusters[leaf] if result.clusters else 0
        color = _COLORS[(cluster - 1) % len(_COLORS)] if cluster else ""
        parts = chop_cells(clean(result.models[leaf].name), fold) or [""]
        drawn = "\n".join([line, *[below] * (len(parts) - 1)])
        cells: list[RenderableType] = [Text(drawn, color), Text("\n".join(parts), "bold")]
        if cluster:
            cells.append(Text(str(cluster), color))
        cells += [Text(cell) for fill in fillers for cell in fill(place, leaf)]
        table.add_row(*cells)
    return table


def _first(result: ModelMap, leaf: int) -> list[str]:
    (near, *_) = result.nearest[leaf]
    return [clean(near.name), text.cosine(near.similarity)]


def _nearest(result: ModelMap, console: Console) -> Table:
    """Returns the nearest models of each, where there are too many for a tree."""
    name, other = Column("model", overflow="fold"), Column("nearest models", overflow="fold")
    cosine = Column("cosine", justify="right", no_wrap=True)
    table = Table(name, other, cosine, box=None, pad_edge=False, header_style="dim")
    table.padding = (0, layout.GAPS[0] if console.width >= 40 else layout.GAPS[1], 0, 0)
    for model, near in zip(result.models, result.nearest, strict=True):
        for place, one in enumerate(near[:_NEAREST]):
            first = Text(clean(model.name), "bold") if place == 0 else Text("")
            table.add_row(first, Text(clean(one.name)), Text(text.cosine(one.similarity)))
    return table


def _footer(result: ModelMap) -> str:
    settings = result.settings
    how = "centred" if settings["centred"] else "the paper's arithmetic"
    made = (
        f"{settings['method']} maps at {clean(str(settings['at']))}, {how}; {text.probes(settings)}"
    )
    if not result.leaves:
        return f"{about_points(result)}, by sketches of the maps; {made}"
    return f"{about_tree(result)}; {about_points(result)}; {made}"


def about_tree(result: ModelMap) -> str:
    """Returns what the distances of the tree are, in words."""
    linkage = f"{result.linkage} linkage of the rows of cosines"
    return f"{linkage}; joined at: the distance to the line above"


def about_points(result: ModelMap) -> str:
    """Returns how much of what tells models apart two dimensions show, in words."""
    return f"two dimensions keep {sum(result.kept):.0%} of the variance"
