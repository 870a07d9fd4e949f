"""Writes what the scores come to: a JSON file beside this one, and tables in the documentation."""

from __future__ import annotations

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
    RESULTS.write_text(json.dumps(_document(everybody, limits, rows), indent=1) + "\n")
    text = markdown(rows, limits)
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
            cells = [f"{_percent(row.accused[n])} ({_area(row.area[n])})" for n in SCORES]
            lines.append(_line([row.group, str(row.count), *said, *cells]))
    head[0] = "independent models"
    lines += ["", _line(head), _line(["---", "---:", *["---"] * (len(head) - 2)])]
    for row in rows:
        if row.truth == "independent":
            said = [_said(row)] if verdict else []
            cells = [_percent(row.accused[n]) for n in SCORES]
            lines.append(_line([row.group, str(row.count), *said, *cells]))
    shown = ", ".join(f"{label} {limits[name]:.3f}" for name, label in SCORES.items())
    return "\n".join([*lines, "", f"Thresholds, from the tuning victims: {shown}.", ""])


def _said(row: Row) -> str:
    """Return the shares of verdicts that accuse: by weights, and by behaviour alone."""
    weights = sum(row.verdicts.get(name, 0.0) for name in CAUGHT)
    closer = row.verdicts.get(CLOSER, 0.0)
    return _percent(weights) + (f" + {_percent(closer)} closer" if closer else "")


def _document(
    everybody: Sequence[Scored], limits: Mapping[str, float], rows: Sequence[Row]
) -> dict[str, Any]:
    return {
        "tuning": plan.TUNING,
        "held_out": plan.HELD_OUT,
        "thresholds": limits,
        "rows": [_finite(dataclasses.asdict(row)) for row in rows],
        "pairs": [
            {
                "victim": one.suspect.victim,
                "suspect": one.suspect.name,
                "group": one.suspect.group,
                "truth": one.suspect.truth,
                "verdict": one.verdict,
                "scores": _finite({k: _rounded(v) for k, v in one.values.items()}),
            }
            for one in everybody
        ],
    }


def _finite(value: Any) -> Any:
    """Return a value without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rounded(value: float) -> float:
    return round(value, 4) if math.isfinite(value) else value


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _area(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
