"""What a page is made of: a banner, sections, and blocks in them, each with a template of its own.

Everything here is plain data. Strings are escaped and cleaned where a template prints them; only
`Markup`, which our own figures are, is printed as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

#: How a banner, a badge or a note is coloured; words say the same.
TONES = ("plain", "good", "doubt", "bad")


@dataclass(frozen=True)
class Badge:
    """A word or two in a box, as `same file`."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        order: What it is sorted by, where that is not what it says.
        link: Place on the page that it leads to, as `#model-3`, or nothing.
        figure: Drawn behind the text.
        badges: Behind it.
        pair: Places in the page's data of two models that it shows side by side, where the link
            leads, or nothing.
        strong: Whether it stands out.
        code: Whether it is something to be read letter by letter.
    """

    text: str
    order: float | str | None = None
    link: str = ""
    figure: Markup | None = None
    badges: tuple[Badge, ...] = ()
    pair: tuple[int, int] | None = None
    strong: bool = False
    code: bool = False


#: What there is not; it is sorted last.
NOTHING = Cell("–", order="")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Above it.
        number: Whether it holds numbers, which stand on the right.
        about: What it is, shown where a mouse rests on the title.
        lowest: Whether a first click brings the lowest number up, as the rank 1, and not the
            highest.
        wide: Whether it holds sentences.
    """

    title: str
    number: bool = False
    about: str = ""
    lowest: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; `group` is what a list above the table chooses rows by."""

    cells: tuple[Cell, ...]
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted, filtered, and narrowed to one group.

    Attributes:
        name: Its id on the page.
        caption: What it is.
        columns: From left to right.
        rows: From top to bottom.
        filtered: Whether it has a field to filter it by.
        groups: What one group of rows is called, as `target`, where there is a list of them.
        chosen: The group that is shown first; all where it is empty.
        note: Said below it.
        titled: Whether the caption stands above it, as where a section has several tables.
    """

    template: ClassVar[str] = "table"
    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    filtered: bool = False
    groups: str = ""
    chosen: str = ""
    note: str = ""
    titled: bool = False

    @property
    def choices(self) -> list[str]:
        """Returns the groups, each once, in the order of the rows."""
        return list(dict.fromkeys(row.group for row in self.rows))


@dataclass(frozen=True)
class Facts:
    """Pairs of what and which; what is several things is a line each."""

    template: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, "Value"], ...]
    title: str = ""


#: What a fact is: words, several of them, or a cell.
Value = str | tuple[str, ...] | Cell


@dataclass(frozen=True)
class Notes:
    """A list of sentences."""

    template: ClassVar[str] = "notes"
    lines: tuple[str, ...]
    tone: str = "plain"


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    template: ClassVar[str] = "words"
    text: str


@dataclass(frozen=True)
class Literal:
    """Text to be copied letter by letter, as a command line or a tree in Newick's format."""

    template: ClassVar[str] = "literal"
    title: str
    text: str
    folded: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure of our own, with what it shows below it."""

    template: ClassVar[str] = "drawing"
    figure: Markup
    caption: str


@dataclass(frozen=True)
class Columns:
    """Blocks beside each other, where there is room."""

    template: ClassVar[str] = "columns"
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class HeatCell:
    """A cell of a heat map: what it says, and its colour as a class of the style sheet."""

    text: str
    color: str


@dataclass(frozen=True)
class Heat:
    """A heat map of pairs, as a table of numbers on colours.

    Attributes:
        name: Its id on the page.
        caption: What its numbers are, and where colours end.
        rows: What a row is, and a column, as `source` and `target`.
        names: Of the models, both of rows and of columns, in the order that is shown.
        places: Of these models in the page's data.
        cells: One list a row.
        scale: The colours, with their numbers.
        measure: The name of what is compared.
    """

    template: ClassVar[str] = "heat"
    name: str
    caption: str
    rows: tuple[str, str]
    names: tuple[str, ...]
    places: tuple[int, ...]
    cells: tuple[tuple[HeatCell, ...], ...]
    scale: Markup
    measure: str


@dataclass(frozen=True)
class Pair:
    """Room for two models side by side, which a click on a heat map fills, or two lists do.

    Attributes:
        names: Of the models, as in the page's data.
        first: Places of the two that are shown first.
    """

    template: ClassVar[str] = "pair"
    names: tuple[str, ...]
    first: tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """A small picture: its data as a URI, its size, and what it shows."""

    data: str
    width: int
    height: int
    about: str


@dataclass(frozen=True)
class Grid:
    """Pictures in rows and columns: models × probes.

    Attributes:
        name: Its id on the page.
        caption: What the colours mean.
        columns: Names of the probes.
        given: The probes themselves, or nothing.
        rows: Name, link and pictures of each model.
        scale: The colours, with their numbers.
        corner: What rows are.
        sideways: Whether models are columns, and probes rows, with what `notes` says of each.
        notes: One a probe.
    """

    template: ClassVar[str] = "grid"
    name: str
    caption: str
    columns: tuple[str, ...]
    given: tuple[Tile, ...]
    rows: tuple[tuple[str, str, tuple[Tile, ...]], ...]
    scale: Markup
    corner: str = "model"
    sideways: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """What there is to say of one model.

    Attributes:
        name: Its id on the page, where links lead.
        title: The model.
        badges: Beside it.
        facts: What is said at once.
        more: What is folded away, with its title.
    """

    name: str
    title: str
    badges: tuple[Badge, ...]
    facts: Facts
    more: tuple[tuple[str, Facts], ...] = ()


@dataclass(frozen=True)
class Cards:
    """Cards beside and below each other."""

    template: ClassVar[str] = "cards"
    cards: tuple[Card, ...]


Block = Table | Facts | Notes | Words | Literal | Drawing | Columns | Heat | Pair | Grid | Cards


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        name: Its id on the page.
        title: Above it, and in the list of parts.
        lead: A sentence or two on what it shows.
        blocks: What it is made of.
    """

    name: str
    title: str
    lead: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Figure:
    """A number at the top of a page, with what it counts."""

    number: str
    what: str
    link: str = ""


@dataclass(frozen=True)
class Banner:
    """What a page says first.

    Attributes:
        tone: One of `TONES`.
        verdict: In one sentence.
        lines: What it rests on, and how sure it is.
        figures: Numbers that matter most.
    """

    tone: str
    verdict: str
    lines: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Page:
    """One page, whole in itself.

    Attributes:
        kind: What made it, as `ranking`.
        title: Of the page.
        about: How the numbers were made, in a line.
        banner: What it says first.
        sections: In the order in which they are read.
        result: The result as JSON, from `to_json`.
        data: What the page's script looks up besides, in JSON's types.
    """

    kind: str
    title: str
    about: str
    banner: Banner
    sections: tuple[Section, ...]
    result: str
    data: dict[str, object] = field(default_factory=dict)
