"""Tables of text: a matrix with names around it, or one pair a line."""

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np

from onnxattr.errors import ScoresError
from onnxattr.scores.table import from_matrix, from_pairs, name_of, number
from onnxattr.types import Scores

#: Columns of a long table that hold the number, in any order; a lone third column may be called
#: anything.
VALUES = ("value", "similarity", "score", "transfer", "affinity", "truth")

_DELIMITERS = (",", "\t", ";")

Row = tuple[int, list[str]]


def read_delimited(data: bytes, file: str) -> Scores:
    """Returns the table of a CSV or TSV file.

    A matrix has the targets in its first line and the sources in its first column; the other way
    round where the corner says `target`. A long table has the columns `source`, `target` and a
    number, in any order, which is what `rank --format csv` writes, too.

    Raises:
        ScoresError: It is none of these.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScoresError(f"`{file}` is no text in UTF-8") from None
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    rows = _rows(text, delimiter, file)
    _, header = next(rows, (0, []))
    header = [cell.strip() for cell in header]
    if len(header) < 2:
        raise ScoresError(
            f"`{file}` is no table: its first line is `{first[:80].strip()}`",
            hint="a matrix with names in its first line and column, or columns source,target,value",
        )
    lowered = [cell.lower() for cell in header]
    if {"source", "target"} <= set(lowered):
        return _long(rows, lowered, file)
    return _matrix(rows, header, file)


def _rows(text: str, delimiter: str, file: str) -> Iterator[Row]:
    """Yields the lines that are not empty, with their numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise ScoresError(f"`{file}`, line {reader.line_num}: {error}") from None


def _long(rows: Iterator[Row], header: Sequence[str], file: str) -> Scores:
    column = _value_column(header, file)
    source, target = header.index("source"), header.index("target")

    def pairs() -> Iterator[tuple[str, str, float]]:
        for line, row in rows:
            where = f"`{file}`, line {line}"
            if len(row) != len(header):
                raise ScoresError(f"{where} has {len(row)} cells, and the header {len(header)}")
            yield (
                name_of(row[source], where),
                name_of(row[target], where),
                number(row[column], where),
            )

    return from_pairs(pairs(), file)


def _value_column(header: Sequence[str], file: str) -> int:
    found = [i for i, name in enumerate(header) if name in VALUES]
    rest = [i for i, name in enumerate(header) if name not in ("source", "target")]
    if len(found) != 1:
        found = rest
    if len(found) != 1:
        listing = ", ".join(f"`{name[:80]}`" for name in header)
        raise ScoresError(
            f"`{file}` does not say which column holds the number: {listing}",
            hint=f"call one of them {VALUES[0]}",
        )
    return found[0]


def _matrix(rows: Iterator[Row], header: Sequence[str], file: str) -> Scores:
    names = [name_of(cell, f"column {i} of `{file}`") for i, cell in enumerate(header[1:], 2)]
    first: list[str] = []
    values: list[list[float]] = []
    for line, row in rows:
        where = f"`{file}`, line {line}"
        if len(row) != len(header):
            raise ScoresError(f"{where} has {len(row)} cells, and the header {len(header)}")
        first.append(name_of(row[0], where))
        values.append(
            [number(cell, f"{where}, `{n}`") for n, cell in zip(names, row[1:], strict=True)]
        )
    matrix = np.array(values, np.float64).reshape(len(first), len(names))
    if header[0].lower().startswith("target"):
        return from_matrix(matrix.T, names, first, file)
    return from_matrix(matrix, first, names, file)
