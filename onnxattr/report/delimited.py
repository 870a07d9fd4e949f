"""Results as CSV, TSV and JSON lines."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from onnxattr.report.json import plain
from onnxattr.report.rows import Result, nearest_rows, rows
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import ModelMap

#: A spreadsheet runs a cell that starts like a formula, some of them also in full width.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_csv(result: Result, delimiter: str = ",") -> str:
    """Returns `result` as delimited text with a header; NaN and None are empty cells."""
    table = rows(result)
    buffer = io.StringIO()
    if table:
        writer = csv.DictWriter(buffer, table[0], delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in table)
    return buffer.getvalue()


def matrix_csv(names: Sequence[str], matrix: Any, corner: str) -> str:
    """Returns a matrix as CSV, with names above and before it; NaN is an empty cell.

    Args:
        names: One a row, and a column.
        matrix: An array, [model, model].
        corner: What stands above the names of the rows.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    cells = [_cell(name) for name in names]
    writer.writerow([corner, *cells])
    for name, row in zip(cells, matrix.tolist(), strict=True):
        writer.writerow([name, *map(_cell, row)])
    return buffer.getvalue()


def nearest_csv(result: ModelMap) -> str:
    """Returns the nearest models of each as CSV, one a line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", "place", "nearest", "similarity"])
    for row in nearest_rows(result):
        writer.writerow([_cell(value) for value in row.values()])
    return buffer.getvalue()


def to_tsv(result: Result) -> str:
    """Returns `result` as tab-separated text."""
    return to_csv(result, delimiter="\t")


def to_jsonl(result: Result) -> str:
    """Returns `result` as one JSON object a line."""
    return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows(result))


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = clean(value, MAX_TEXT)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value
