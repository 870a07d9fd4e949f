"""Scores pairs, family by family of scores, and keeps what is done in one JSON file a victim."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.disguises import plan
from benchmarks.disguises.pairs import Suspect, name_of, suspects

Row: TypeAlias = Mapping[str, Any]
Family: TypeAlias = Callable[[str, list[Suspect]], Iterator[tuple[Suspect, Row]]]


def score(victim: str, name: str, family: Family, truth: str = "", every: int = 5) -> None:
    """Score a victim's suspects that have no score of this family yet.

    Args:
        victim: By its task.
        name: The family, a part of the file's name.
        family: Yields suspects with their numbers.
        truth: Only suspects of which this is the truth; all of them if it is empty.
        every: After how many of them the file is written anew.
    """
    path = path_of(victim, name)
    rows: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}
    missing = [
        found for found in suspects(victim) if found.name not in rows and truth in ("", found.truth)
    ]
    for count, (suspect, row) in enumerate(family(victim, missing) if missing else (), start=1):
        rows[suspect.name] = row
        if count % every == 0 or count == len(missing):
            _write(path, rows)
    print(f"{victim}: {name}: {len(rows)}", flush=True)


def behave(victims: Sequence[str]) -> None:
    """Score the behaviour of all suspects of victims, and of the zoo, that have no score yet."""
    from benchmarks.disguises import behaving, verdicts

    path = path_of("all", "behaviour")
    rows: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}
    for whole in (False, True):
        references = verdicts.references(whole)
        paths = [s.path for victim in victims for s in suspects(victim) if s.whole == whole]
        paths = list(dict.fromkeys([*references, *paths]))
        missing = [one for one in paths if name_of(one) not in rows]
        found = behaving.behave(missing, references) if missing else ()
        for count, (name, row) in enumerate(found, start=1):
            rows[name] = row
            if count % 20 == 0 or count == len(missing):
                _write(path, rows)
                print(f"behaviour: {count} of {len(missing)}", flush=True)


def behaviour() -> dict[str, dict[str, Any]]:
    """Return what is known of the behaviour of models, by name."""
    path = path_of("all", "behaviour")
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def read(victim: str) -> dict[str, dict[str, Any]]:
    """Return all numbers of a victim's suspects, by the suspect's name."""
    merged: dict[str, dict[str, Any]] = {}
    for path in sorted((plan.CACHE / "scores").glob(f"{victim}-*.json")):
        for name, row in json.loads(path.read_text()).items():
            merged.setdefault(name, {}).update(row)
    return merged


def path_of(victim: str, name: str) -> Path:
    """Return where a victim's numbers of one family are kept."""
    return plan.CACHE / "scores" / f"{victim}-{name}.json"


def _write(path: Path, rows: Mapping[str, Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(rows, indent=1, sort_keys=True))
    draft.replace(path)
