"""Writes what the scores come to: two files beside this one, and tables in the documentation."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.disguises import figures, plan, scoring, verdicts
from benchmarks.disguises.figures import Row, Scored

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAIRS = HERE / "pairs.csv"
DOCS = HERE.parents[1] / "docs"
BEGIN, END = "<!-- disguises: begin -->\n", "<!-- disguises: end -->\n"

SCORES = {
    "weights": "weights",
    "behaviour": "behaviour",
    "zest": "Zest",
    "zest, matched": "Zest, matched",
    "modeldiff": "ModelDiff",
}
"""Columns of the table, by the name of the score."""

CLOSER = "behaviourally closer than independent models"
CAUGHT = ("identical", "weight-derived")


def write() -> None:
    """Write both, from the scores that there are."""
    stored = {victim: scoring.read(victim) for victim in (*plan.TUNING, *plan.HELD_OUT)}
    everybody = verdicts.scored({victim: rows for victim, rows in stored.items() if rows})
    tuning = [one for one in everybody if one.suspect.victim in plan.TUNING]
    held_out = [one for one in everybody if one.suspect.victim in plan.HELD_OUT]
    limits = figures.thresholds(tuning, tuple(SCORES))
    rows = figures.rows(held_out, limits)
    document = {
        "tuning": plan.TUNING,
        "held_out": plan.HELD_OUT,
        "thresholds": limits,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    RESULTS.write_text(json.dumps(_finite(document), indent=1) + "\n")
    _write_pairs(everybody)
    text = markdown(rows, limits) + "\n" + summary(held_out)
    for path in sorted(DOCS.glob("*.md")):
        if BEGIN in (old := path.read_text(encoding="utf-8")):
            before, _, rest = old.partition(BEGIN)
            after = rest.partition(END)[2]
            path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
            print(f"{path.name}: written")
    print(text)


def markdown(rows: Sequence[Row], limits: Mapping[str, float]) -> str:
    """Return a table of what is found, and one of who is accused wrongly."""
    verdict = any(row.verdicts for row in rows)
    head = ["disguise", "models", *(["audit"] if verdict else []), *SCORES.values()]
    lines = [_line(head), _line(["---", "---:", *["---"] * (len(head) - 2)])]
    for row in rows:
        if row.truth != "independent":
            said = [_said(row)] if verdict else []
            cells = [_found(row, name) for name in SCORES]
            lines.append(_line([row.group, str(row.count), *said, *cells]))
    head[0] = "independent models"
    lines += ["", _line(head), _line(["---", "---:", *["---"] * (len(head) - 2)])]
    for row in rows:
        if row.truth == "independent":
            said = [_said(row)] if verdict else []
            cells = [_share(row, name) for name in SCORES]
            lines.append(_line([row.group, str(row.count), *said, *cells]))
    shown = ", ".join(
        f"{label} {limits[name]:.3f}"
        for name, label in SCORES.items()
        if math.isfinite(limits[name])
    )
    return "\n".join([*lines, "", f"Thresholds, from the tuning victims: {shown}.", ""])


def _said(row: Row) -> str:
    """Return the shares of verdicts that accuse: by weights, and by behaviour alone."""
    if not row.verdicts:
        return "–"
    weights = sum(row.verdicts.get(name, 0.0) for name in CAUGHT)
    closer = row.verdicts.get(CLOSER, 0.0)
    return _percent(weights) + (f" + {_percent(closer)} closer" if closer else "")


def summary(held_out: Sequence[Scored]) -> str:
    """Return, in words, how often an audit errs, and how small its p-values can be."""
    known = [one for one in held_out if one.verdict]
    apart = [one for one in known if one.suspect.truth == "independent"]
    derived = [one for one in known if one.suspect.truth == "derived"]
    found = sum(one.verdict in CAUGHT for one in derived)
    wrong = sum(one.verdict in CAUGHT for one in apart)
    judged = [one for one in apart if "p" in one.values]
    closer = sum(one.verdict == CLOSER for one in judged)
    floors = [
        f"{min(least):.3f} to {max(least):.3f} by {kind}"
        for kind, name in (("weights", "weights floor"), ("behaviour", "floor"))
        if (least := [v for one in held_out if (v := one.values.get(name, math.nan)) < 1])
    ]
    return (
        f"By weights, the audit finds {found} of {len(derived)} disguises that carry weights, and "
        f"accuses {wrong} of {len(apart)} independent models. By behaviour alone it calls {closer} "
        f"of {len(judged)} independent models closer. The least p-values that its independent "
        f"models allow: {', '.join(floors)}.\n"
    )


def _write_pairs(everybody: Sequence[Scored]) -> None:
    """Write one line a pair, with all its scores."""
    columns = list(dict.fromkeys(name for one in everybody for name in one.values))
    with PAIRS.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["victim", "suspect", "group", "truth", "verdict", *columns])
        for one in everybody:
            numbers = [one.values.get(name, math.nan) for name in columns]
            cells = ["" if math.isnan(v) else f"{v:.4g}" for v in numbers]
            about = one.suspect
            lines.writerow(
                [about.victim, about.name, about.group, about.truth, one.verdict, *cells]
            )


def _finite(value: Any) -> Any:
    """Return a value without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _found(row: Row, name: str) -> str:
    area = row.area[name]
    return "–" if math.isnan(area) else f"{_share(row, name)} ({area:.2f})"


def _share(row: Row, name: str) -> str:
    """Return the share that is above the threshold; of how many, if not of all."""
    if math.isnan(share := row.accused[name]):
        return "–"
    part = "" if row.made[name] == row.count else f" of {row.made[name]}"
    return f"{_percent(share)}{part}"
