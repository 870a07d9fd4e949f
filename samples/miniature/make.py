"""Remakes the miniature: scenes, encoders with their scores, measured transfer, probe images.

    python samples/miniature/make.py all

What is there already is left alone, so that a run which was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

# One thread: the same sums in the same order everywhere, and two trainings fit on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[2]
# As a script, this file finds only its own folder; where the package is installed, both are there.
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from samples.miniature import build, data, zoo  # noqa: E402
from samples.zoo import NEEDS  # noqa: E402

TABLE_HEAD = (
    "| seed | loss | constant | accuracy | seconds |\n| --- | --- | --- | --- | --- | --- |\n"
)
FAMILIES = ("a", "b", "residual", "large", "vit", "untrained")
TABLES = (("affinity-a.csv", zoo.ZOO_A, ()), ("affinity-b.csv", zoo.ZOO_B, ()))


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=["scenes", "models", "transfer", "probes", "table", "all"])
    parser.add_argument("--family", choices=FAMILIES, help="only these models")
    parser.add_argument("--only", metavar="NAME", help="only this model, such as rgb2depth-a")
    parser.add_argument(
        "--quick", action="store_true", help="tiny and worthless, into .cache: to try it out"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    entries = [
        entry
        for entry in zoo.ZOO
        if options.only in (None, entry.name) and options.family in (None, entry.family)
    ]
    if not entries:
        parser.error(f"no model `{options.only}`; there are {', '.join(e.name for e in zoo.ZOO)}")

    recipe, transfer, output = zoo.RECIPE, zoo.TRANSFER, zoo.HERE
    if options.quick:
        recipe, transfer, output = zoo.QUICK, zoo.QUICK_TRANSFER, zoo.CACHE / "quick"
    splits = (data.training(recipe), data.held_out(recipe))
    readout_splits = data.readout_splits(recipe, transfer)
    if options.step in ("scenes", "models", "all"):
        data.make_cache(splits, options.workers)
    if options.step in ("scenes", "transfer", "all"):
        data.make_cache(readout_splits, options.workers)
    models = output / zoo.MODELS.name
    if options.step in ("models", "all"):
        able = [entry for entry in entries if _able(entry)]
        build.make(able, recipe, models, output / zoo.SCORES.name, options.workers)
    if options.step in ("transfer", "all"):
        paths = [path for e in entries if (path := models / f"{e.name}.onnx").exists()]
        measure(paths, recipe, transfer, output, options.workers)
    if options.step in ("probes", "all"):
        count = 8 if options.quick else zoo.PROBE_COUNT
        probes(zoo.CACHE / "probes", count, recipe.size)
        noise(zoo.CACHE / "noise", count, recipe.size)
    if options.step in ("models", "table", "all") and not options.quick:
        table(zoo.SCORES, zoo.HERE / "README.md")


def measure(
    models: Sequence[Path],
    recipe: zoo.Recipe,
    transfer: zoo.Transfer,
    output: Path,
    workers: int,
) -> None:
    """Measure transfer from each model, and write the tables whose models are all measured."""
    from samples.miniature import transfer as measuring

    budget = sha256(repr(transfer).encode()).hexdigest()[:8]
    folder = zoo.CACHE / f"losses-{budget}"
    jobs = (recipe, transfer, folder, zoo.TASK_NAMES)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        work = [pool.submit(measuring.measure, model, *jobs) for model in models]
        for done in as_completed(work):
            print(f"{done.result().name}: measured", flush=True)

    files = {e.name: output / zoo.MODELS.name / f"{e.name}.onnx" for e in zoo.ZOO}
    paths = {
        name: path
        for name, file in files.items()
        if file.exists() and (path := measuring.losses_path(folder, file)).exists()
    }
    others = tuple(entry for entry in zoo.OTHERS if entry.name in paths)
    tables = (*TABLES, *((("affinity-others.csv", zoo.ZOO_A, others),) if others else ()))
    for name, competing, outside in tables:
        if missing := [entry.name for entry in competing if entry.name not in paths]:
            print(f"{name}: left out, not measured yet: {', '.join(missing)}", file=sys.stderr)
            continue
        measuring.report(competing, outside, paths, recipe, transfer, output / name)
        print(f"{name}: {len(competing) + len(outside)} sources, {len(competing)} targets")


def probes(folder: Path, count: int, size: int) -> None:
    """Write the probe images, `000.png` and so on: scenes that nothing else has seen."""
    import numpy as np
    from PIL import Image

    from samples.scenes import render

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:03d}.png"
        if not path.exists():
            image = render(zoo.PROBES_FROM + number, size).image
            Image.fromarray(np.round(image * 255).astype(np.uint8)).save(path)


def noise(folder: Path, count: int, size: int) -> None:
    """Write probes that no model has ever seen the like of: uniform noise in every value."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        values = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(values).save(folder / f"{number:03d}.png")


def table(scores: Path, readme: Path) -> None:
    """Put the scores into the README's table, whose rows end at an empty line."""
    stored, rows = json.loads(scores.read_text()), []
    for entry in zoo.ZOO:
        if "loss" in (row := stored.get(entry.name, {})):
            accuracy = f"{row['accuracy']:.0%}" if "accuracy" in row else ""
            cells = (f"`{entry.name}`", entry.seed, f"{row['loss']:.4f}", f"{row['constant']:.4f}")
            line = " | ".join(map(str, (*cells, accuracy, f"{row['seconds']:.0f}")))
            rows.append(f"| {line} |\n")
    before, after = readme.read_text(encoding="utf-8").split(TABLE_HEAD)
    text = before + TABLE_HEAD + "".join(rows) + after[after.index("\n## ") :]
    readme.write_text(text, encoding="utf-8")


def _able(entry: zoo.Entry) -> bool:
    """Return whether an entry's framework is installed, and say so where it is not."""
    missing = [name for name in NEEDS[entry.framework] if find_spec(name) is None]
    if missing:
        print(f"{entry.name}: left out, {', '.join(missing)} not installed", file=sys.stderr)
    return not missing


if __name__ == "__main__":
    main()
