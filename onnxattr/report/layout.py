"""Tables that fit a line: their columns, the gaps between them, and what goes without room."""

from collections.abc import Callable, Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import text
from onnxattr.sanitise import clean

#: Spaces between columns; the first that the line has room for is taken.
GAPS = (2, 1)

#: Widths of a bar, in characters, likewise.
_BARS = (30, 20, 12, 8)


def show(part: RenderableType, console: Console) -> None:
    """Prints a part, in ASCII where the terminal has nothing else."""
    console.print(InAscii(part) if console.options.ascii_only else part)


def show_all(parts: Iterable[RenderableType], console: Console) -> None:
    """Prints parts with an empty line between them."""
    for position, part in enumerate(parts):
        if position:
            console.print()
        show(part, console)


class InAscii:
    """A renderable with ASCII for our own symbols, for terminals that have nothing else."""

    def __init__(self, content: RenderableType) -> None:
        self.content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the content, then replaces its symbols."""
        for segment in console.render(self.content, options):
            yield Segment(text.in_ascii(segment.text), segment.style, segment.control)


def table(*columns: Column, gap: int = GAPS[0]) -> Table:
    """Returns a table without lines, `gap` spaces between its columns."""
    padding = (0, gap, 0, 0)
    return Table(*columns, box=None, padding=padding, pad_edge=False, header_style="dim")


def add_row(table: Table, *cells: RenderableType) -> None:
    """Adds a row; strings are cleaned, and never read as rich's markup."""
    table.add_row(*(Text(clean(c)) if isinstance(c, str) else c for c in cells))


def folded(title: str) -> Column:
    """Returns a column of names, which go on below where they are too long."""
    return Column(title, overflow="fold")


def right(title: str) -> Column:
    """Returns a column of numbers, which are never cut."""
    return Column(title, justify="right", no_wrap=True)


def width(table: Table, console: Console) -> int:
    """Returns how wide a table is if nothing of it is folded."""
    unbounded = console.options.update(max_width=10_000)
    return Measurement.get(console, unbounded, table).maximum


def fits(table: Table, console: Console, gaps: Iterable[int] = GAPS) -> bool:
    """Puts the first gap that the line has room for between columns; returns whether it has any."""
    for gap in gaps:
        table.padding = (0, gap, 0, 0)
        if width(table, console) <= console.width:
            return True
    return False


def widest(
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
    choices = [(gap, build(bar, some)) for some in kept for gap in GAPS for bar in bars]
    choices += [(gap, least) for gap in GAPS]
    return next((table for gap, table in choices if fits(table, console, [gap])), least)
