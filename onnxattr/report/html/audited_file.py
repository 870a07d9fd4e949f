"""The suspect's file on an audit's page: what it is, what was checked, what was found."""

from __future__ import annotations

from onnxattr.report.audited import identity_lines
from onnxattr.report.html.blocks import Badge, Block, Cell, Facts, Notes, Section, Value
from onnxattr.types import GradientCheck, Parity, Suspect

#: Hashes, and all values that are read letter by letter.
_HASHES = {"sha256", "weights", "structure"}
_CODE = {"file", "input", "output", *_HASHES}


def file_section(suspect: Suspect) -> Section:
    """Returns what the file is and says, whether it runs as it says, and what was found in it."""
    grouped: dict[str, list[str]] = {}
    for title, value in identity_lines(suspect):
        if title != "found":
            grouped.setdefault(title, []).append(value)
    badges = {
        "parity": _of_check(suspect.parity),
        "gradient": _of_check(suspect.gradient),
        "determinism": {
            True: Badge("passes", "good"), False: Badge("differs", "doubt"), None: None,
        }[suspect.deterministic],
    }  # fmt: skip
    pairs = []
    for title, values in grouped.items():
        if title == "fed":
            values = [value.replace("*", "") for value in values]  # Of a table; words say it here.
        pairs.append(_fact(title, values, badges.get(title)))
    blocks: list[Block] = [Facts(tuple(pairs))]
    if suspect.findings:
        lines = tuple(f"{finding.kind}: {finding.text}" for finding in suspect.findings)
        blocks.insert(0, Notes(lines, "doubt"))
    lead = "What it is, whether it runs as it says, and what was found while it was loaded."
    return Section("file", "The file", lead, tuple(blocks))


def _fact(title: str, values: list[str], badge: Badge | None) -> tuple[str, Value]:
    if len(values) > 1:
        return title, tuple(values)
    value, remark = values[0], ""
    if title in _HASHES:  # What one is irrespective of stands behind it, in brackets.
        value, _, remark = value.partition("  (")
    badges = (badge,) if badge else (Badge(remark.removesuffix(")")),) if remark else ()
    return title, Cell(value, code=title in _CODE, badges=badges)


def _of_check(check: Parity | GradientCheck | None) -> Badge | None:
    if check is None:
        return None
    fine = check.error <= check.tolerance
    return Badge("passes", "good") if fine else Badge("fails", "bad")
