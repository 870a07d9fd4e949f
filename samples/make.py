"""Remakes the samples: scenes, trained models with their scores, and the built-in probe images.

    python samples/make.py all

Each step uses what the step before left in `samples/.cache/`.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

# One thread: the same sums in the same order everywhere, and two trainings fit on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
# As a script, this file finds only its own folder; where the package is installed, both are there.
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from samples import build, data, probes  # noqa: E402
from samples.zoo import CACHE, MODELS, NEEDS, QUICK, RECIPE, SCORES, ZOO  # noqa: E402


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=["scenes", "train", "export", "probes", "all"])
    parser.add_argument("--only", metavar="NAME", help="one model, such as rgb2depth-keras")
    parser.add_argument(
        "--quick", action="store_true", help="tiny and worthless, into .cache/quick: to try it out"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    entries = [entry for entry in ZOO if options.only in (None, entry.name)]
    if not entries:
        parser.error(f"no model `{options.only}`; there are {', '.join(e.name for e in ZOO)}")
    for entry in entries:
        if missing := [name for name in NEEDS[entry.framework] if find_spec(name) is None]:
            print(f"{entry.name}: left out, {', '.join(missing)} not installed", file=sys.stderr)
    entries = [e for e in entries if all(map(find_spec, NEEDS[e.framework]))]

    quick = CACHE / "quick"
    recipe, models, scores = RECIPE, MODELS, SCORES
    if options.quick:
        recipe, models, scores = QUICK, quick, quick / SCORES.name
    if options.step in ("scenes", "train", "all"):
        data.make_cache(recipe, options.workers)
    if options.step in ("train", "all"):
        build.train(entries, recipe, scores, options.workers)
    if options.step in ("train", "export", "all"):
        build.export(entries, recipe, models)
    if options.step in ("probes", "all"):
        probes.make(quick / "probes", 8) if options.quick else probes.make(probes.FOLDER)


if __name__ == "__main__":
    main()
