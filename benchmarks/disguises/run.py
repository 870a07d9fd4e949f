"""Disguised and independent models of the miniature: makes them, scores them, writes the table.

    python benchmarks/disguises/run.py files      # disguises that need no training
    python benchmarks/disguises/run.py train      # those that do, and independent models
    python benchmarks/disguises/run.py score      # all pairs, by every score
    python benchmarks/disguises/run.py table      # docs/audit.md, results.json and pairs.csv

What is there already is left alone, so that a run which was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

# One thread: the same sums in the same order everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from benchmarks.disguises import making, plan  # noqa: E402

FAMILIES = {
    "weights": ("ours", "weigh"),
    "peers": ("peers", "scores"),
}
BEHAVIOUR = "behaviour"


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=["files", "train", "score", "table"])
    parser.add_argument("--victims", nargs="*", default=[*plan.HELD_OUT, *plan.TUNING])
    parser.add_argument("--scores", nargs="*", default=[*FAMILIES, BEHAVIOUR])
    parser.add_argument("--truth", choices=["derived", "distilled", "independent"], default="")
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # of the quantiser, which recommends a step of its own
    if given.step == "files":
        making.make_files(given.victims)
    elif given.step == "table":
        from benchmarks.disguises import table

        table.write()
    elif given.step == "train":
        making.make_trained(given.victims)
    else:
        score(given.victims, given.scores, given.truth)


def score(victims: list[str], names: list[str], truth: str = "") -> None:
    """Score pairs that have no score yet, family by family; of one kind, if `truth` is given."""
    from importlib import import_module

    from benchmarks.disguises import scoring

    for name in names:
        if name == BEHAVIOUR:
            scoring.behave(victims)
            continue
        module, function = FAMILIES[name]
        family = getattr(import_module(f"benchmarks.disguises.{module}"), function)
        for victim in victims:
            scoring.score(victim, name, family, truth)


if __name__ == "__main__":
    main()
