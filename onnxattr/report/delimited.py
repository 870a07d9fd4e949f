"""Results as CSV, TSV and JSON lines."""

import csv
import io
import json
import math
from typing import Any

from onnxattr.report.json import plain
from onnxattr.report.rows import Result, rows
from onnxattr.sanitise import MAX_TEXT, clean

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
