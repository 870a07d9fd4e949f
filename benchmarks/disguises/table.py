"""Writes what the scores come to: two files beside this one, and tables in the documentation."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.disguises import figures, plan, scoring, verdicts
from benchmarks.disguises.figures import Limits, Row, Scored

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
OURS = ("weights", "behaviour")


def write() -> None:
    """Write both, from the scores that there are."""
    stored = {victim: scoring.read(victim) for victim in (*plan.TUNING, *plan.HELD_OUT)}
    everybody = verdicts.scored(
        {victim: rows for victim, rows in stored.items() if rows}, scoring.behaviour()
    )
    tuning = [one for one in everybody if one.suspect.victim in plan.TUNING]
    held_out = [one for one in everybody if one.suspect.victim in plan.HELD_OUT]
    limits = figures.thresholds(tuning, tuple(SCORES))
    rows = figures.rows(held_out, limits)
    document = {
        "tuning": plan.TUNING,
        "held_out": plan.HELD_OUT,
        "thresholds": {"encoders": limits[False], "whole": limits[True]},
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


def markdown(rows: Sequence[Row], limits: Limits) -> str:
    """Return a table of what is found, and one of who is accused wrongly."""
    columns = ["models", "audit", "behaviour alone", *SCORES.values()]
    lines = [_line(["disguise", *columns]), _line(["---", "---:", *["---"] * (len(columns) - 1)])]
    for row in rows:
        if row.truth != "independent":
            said = [_percent_of(row.caught, row.audited), _percent_of(row.caught_alone, row.alone)]
            cells = [_found(row, name) for name in SCORES]
            lines.append(_line([row.group, str(row.count), *said, *cells]))
    lines += ["", _line(["independent models", *columns])]
    lines.append(_line(["---", "---:", *["---"] * (len(columns) - 1)]))
    for row in rows:
        if row.truth == "independent":
            said = [
                _percent_of(row.wronged, row.audited),
                _percent_of(row.wronged_alone, row.alone),
            ]
            cells = [_share(row, name) for name in SCORES]
            lines.append(_line([row.group, str(row.count), *said, *cells]))
    told = "; of whole models ".join(
        ", ".join(
            f"{label} {bounds[name]:.3f}"
            for name, label in SCORES.items()
            if math.isfinite(bounds[name])
        )
        for bounds in (limits[False], limits[True])
    )
    said = f"Thresholds, from the tuning victims: {told}. {accusations(rows)} {ahead(rows)}"
    return "\n".join([*lines, "", said, ""])


def accusations(rows: Sequence[Row]) -> str:
    """Return, in words, how many independent models each score accuses at its threshold."""
    parts = []
    for name, label in SCORES.items():
        apart = [row for row in rows if row.truth == "independent" and row.made[name]]
        made = sum(row.made[name] for row in apart)
        wrong = sum(round(row.accused[name] * row.made[name]) for row in apart)
        parts.append(f"{label} {wrong} of {made}")
    return f"At these, independent models are accused by {', by '.join(parts)}."


def ahead(rows: Sequence[Row]) -> str:
    """Return, in words, of which disguises another method tells more than both of ours."""
    behind = []
    for row in rows:
        if row.truth == "independent":
            continue
        ours = max(_area(row, name) for name in OURS)
        better = [
            f"{label} {_area(row, name):.2f}"
            for name, label in SCORES.items()
            if name not in OURS and round(_area(row, name), 2) > round(ours, 2)
        ]
        if better:
            behind.append(f"{row.group} ({', '.join(better)}, ours {ours:.2f})")
    if not behind:
        return "No other method has a larger area under the curve for any disguise."
    return f"Another method has a larger area under the curve for {'; '.join(behind)}."


def _area(row: Row, name: str) -> float:
    return -1.0 if math.isnan(row.area[name]) else row.area[name]


def summary(held_out: Sequence[Scored]) -> str:
    """Return, in words, how often an audit errs, and how small its p-values can be."""
    known = [one for one in held_out if one.verdict]
    apart = [one for one in known if one.suspect.truth == "independent"]
    derived = [one for one in known if one.suspect.truth == "derived"]
    found = sum(one.caught for one in derived)
    wrong = sum(one.wronged for one in apart)
    blind = [one for one in held_out if one.alone]
    strangers = [one for one in blind if one.suspect.truth == "independent"]
    alike = [one for one in strangers if not math.isnan(one.values.get("behaviour", math.nan))]
    misled = [one for one in blind if one.suspect.truth != "independent"]
    floors = [
        f"{min(least):.3f} to {max(least):.3f} by {kind}"
        for kind, name in (("weights", "weights floor"), ("behaviour", "floor"))
        if (least := [v for one in held_out if (v := one.values.get(name, math.nan)) < 1])
    ]
    wronged = sum(one.wronged_alone for one in strangers)
    return (
        f"The audit finds {found} of {len(derived)} disguises that carry weights, and accuses "
        f"{wrong} of {len(apart)} independent models. From behaviour alone it calls "
        f"{wronged} of {len(strangers)} independent models closer ({len(alike)} of them do what "
        f"the victim does), and {sum(one.wronged_alone for one in misled)} of {len(misled)} "
        "disguised ones closer to a model that they do not come from. The least p-values that "
        f"there can be: {', '.join(floors)}.\n"
    )


def _write_pairs(everybody: Sequence[Scored]) -> None:
    """Write one line a pair, with all its scores."""
    columns = list(dict.fromkeys(name for one in everybody for name in one.values))
    with PAIRS.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["victim", "suspect", "group", "truth", "verdict", "alone", *columns])
        for one in everybody:
            numbers = [one.values.get(name, math.nan) for name in columns]
            cells = ["" if math.isnan(v) else f"{v:.4g}" for v in numbers]
            about = one.suspect
            lines.writerow(
                [about.victim, about.name, about.group, about.truth, one.verdict, one.alone, *cells]
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


def _percent_of(count: int, whole: int) -> str:
    return _percent(count / whole) if whole else "–"


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
