"""Results as a markdown table."""

import math
import re
from collections.abc import Sequence
from typing import Any

from onnxattr.report.audited import headline, identity_lines, used
from onnxattr.report.evaluated import summary_rows
from onnxattr.report.rows import Result, Row, rows
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Audit, Evaluation


def to_markdown(result: Result) -> str:
    """Returns `result` as a table in GitHub's markdown; figures have four significant digits.

    Of an audit, the verdict and what the file is stand before it.
    """
    if isinstance(result, Audit):
        return _audit(result)
    table = summary_rows(result) if isinstance(result, Evaluation) else rows(result)
    return _table(table)


def _table(table: Sequence[Row]) -> str:
    if not table:
        return ""
    keys = [k for k in table[0] if k != "sha256"]
    lines = [
        "| " + " | ".join(keys) + " |",
        "| " + " | ".join("---:" if _numeric(table[0][k]) else "---" for k in keys) + " |",
    ]
    lines += ["| " + " | ".join(cell(row[k]) for k in keys) + " |" for row in table]
    return "\n".join(lines) + "\n"


def _audit(result: Audit) -> str:
    verdict = result.verdict
    lines = [f"# Audit of {cell(result.suspect.name)}", "", f"**{cell(headline(result))}**", ""]
    lines += [f"- {cell(reason)}" for reason in verdict.reasons]
    lines += [f"- *{cell(caveat)}*" for caveat in verdict.caveats]
    lines += [
        f"- {'**fails**' if gate.crossed else 'passes'}: {cell(gate.text)}: {cell(gate.reason)}"
        for gate in result.gates
    ]
    lines += ["", "| the file | |", "| --- | --- |"]
    lines += [f"| {title} | {cell(value)} |" for title, value in identity_lines(result.suspect)]
    text = "\n".join(lines) + "\n\n" + _table(rows(result))
    if result.twins:
        text += "\n| given as independent | counts for | alike |\n| --- | --- | ---: |\n"
        for twin in result.twins:
            text += f"| {cell(twin.name)} | {cell(used(twin))} | {cell(twin.likeness)} |\n"
    if result.failures:
        text += "\n| left out | why |\n| --- | --- |\n"
        for failure in result.failures:
            text += f"| {cell(failure.name)} | {cell(failure.message)} |\n"
    return text


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """Returns a value as it stands in a cell."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else ""
    # Whatever markdown or HTML would read as more than a letter is escaped.
    return re.sub(r"([\\`*_{}\[\]<>|#&~])", r"\\\1", clean(str(value), MAX_TEXT))
