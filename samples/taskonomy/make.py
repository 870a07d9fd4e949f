"""Ranks Taskonomy's published encoders as the paper does, and says how well that predicts transfer.

    python samples/taskonomy/make.py all --checkpoints DIR --probes DIR --truth FILE --output DIR

Each step runs commands of onnxattr and prints them first; docs/taskonomy.md explains them.
`pretend` writes checkpoints with random weights, to try the others without the real ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# As a script, this file finds only its own folder.
sys.path.insert(0, str(ROOT))

from samples.taskonomy.tasks import FILES  # noqa: E402

#: The paper's three, as onnxattr calls them.
METHODS = ("saliency", "grad-input", "elrp")

PUBLISHED = Path(__file__).with_name("published.json")

#: What each step is told.
NEEDS = {
    "pretend": ("checkpoints",),
    "export": ("checkpoints", "output"),
    "rank": ("probes", "output"),
    "evaluate": ("truth", "output"),
    "all": ("checkpoints", "probes", "truth", "output"),
}


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=list(NEEDS))
    parser.add_argument("--checkpoints", type=_path, help="folder with the published .pth files")
    parser.add_argument("--probes", type=_path, help="folder with the probe images")
    parser.add_argument("--limit", type=int, help="use the first N probes")
    parser.add_argument("--truth", type=_path, help="all_affinities_16k.pkl of Taskonomy")
    parser.add_argument("--output", type=_path, help="folder for all that is made")
    parser.add_argument(
        "--only", metavar="TASK,TASK,…", help="three tasks or more instead of all, to try it out"
    )
    options = parser.parse_args()
    if missing := [name for name in NEEDS[options.step] if getattr(options, name) is None]:
        parser.error(f"`{options.step}` needs --{' and --'.join(missing)}")
    tasks = options.only.split(",") if options.only else list(FILES)
    if unknown := sorted(set(tasks) - set(FILES)):
        parser.error(f"no task `{unknown[0]}`; there are {', '.join(FILES)}")

    if options.step == "pretend":
        pretend(tasks, options.checkpoints)
        return
    options.output.mkdir(parents=True, exist_ok=True)
    if options.step in ("export", "all"):
        export(tasks, options.checkpoints, options.output)
    if options.step in ("rank", "all"):
        rank(tasks, options.output, options.probes, options.limit)
    if options.step in ("evaluate", "all"):
        evaluate(tasks, options.output, options.truth)


def pretend(tasks: Sequence[str], checkpoints: Path) -> None:
    """Write a checkpoint with random weights for each task, in the form of the published ones."""
    import torch

    from samples.taskonomy.encoder import encoder

    checkpoints.mkdir(parents=True, exist_ok=True)
    for seed, (task, name) in enumerate(FILES.items()):
        if task not in tasks:
            continue
        torch.manual_seed(seed)
        draft = checkpoints / "draft"
        content = {"state_dict": encoder().state_dict()}
        torch.save(content, draft, _use_new_zipfile_serialization=False)  # that of 2018
        draft.rename(checkpoints / f"{name}_encoder-{_digest(draft)}.pth")


def export(tasks: Sequence[str], checkpoints: Path, output: Path) -> None:
    """Write an ONNX file for each task, called as the affinities call it."""
    found = {task: _checkpoint(checkpoints, FILES[task]) for task in tasks}
    for task, checkpoint in found.items():
        if (target := output / f"{task}.onnx").exists():
            print(f"{target}: there already")
            continue
        source = "samples.taskonomy.encoder:encoder"
        words = ["--adapter", "pytorch", "--state-dict", str(checkpoint), "--trust-source"]
        run("export", source, "-o", str(target), *words)


def rank(tasks: Sequence[str], output: Path, probes: Path, limit: int | None) -> None:
    """Rank the models by each method, with the paper's arithmetic."""
    models = [str(output / f"{task}.onnx") for task in tasks]
    words = ["--probes", str(probes), "--paper", "--max-time", "24h"]
    words += ["--limit", str(limit)] if limit else []
    for method in METHODS:
        result = str(output / f"{method}.json")
        run("rank", *models, *words, "--method", method, "-o", result)


def evaluate(tasks: Sequence[str], output: Path, truth: Path) -> None:
    """Score the rankings against measured transfer, and print the paper's figures beside them."""
    rankings = [f"--similarity={method}={output / method}.json" for method in METHODS]
    words = ["--truth", str(truth), *rankings, "--only", ",".join(tasks)]
    run("evaluate", *words, "--figure", str(output / "curves.svg"))
    result = output / "evaluation.json"
    run("evaluate", *words, "-q", "-o", str(result))
    print(table(json.loads(result.read_text("utf-8")), json.loads(PUBLISHED.read_text("utf-8"))))


def table(evaluation: Mapping[str, Any], published: Mapping[str, Any]) -> str:
    """Return P@1 … P@5 in Markdown: a row for what was measured, and below it what was published.

    Args:
        evaluation: What `onnxattr evaluate -f json` writes.
        published: The hits n_1 … n_5 of 18 targets together, `{probes: {method: hits}}`, read off
            the paper's figures; P@K = n_K / (18 K).
    """
    rows = [["method", "probes", "P@1", "P@2", "P@3", "P@4", "P@5"], ["---", "---", *["---:"] * 5]]
    for measure in evaluation["measures"]:
        name, measured = measure["name"], [p["precision"] for p in measure["curve"][:5]]
        rows.append([f"`{name}`", "**yours**", *(f"{p:.3f}" for p in measured)])
        for probes, methods in published.items():
            shares = (n / (18 * k) for k, n in enumerate(methods.get(name, ()), 1))
            rows.append(["", probes, *(f"{p:.3f}" for p in shares)])
    rows = [row + [""] * (len(rows[0]) - len(row)) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def run(*words: str) -> None:
    """Print and run a command of onnxattr, where `samples` is importable; end if it fails.

    With exit code 1 it did its work, and said which probe or model it left out.
    """
    print("onnxattr", shlex.join(words), flush=True)
    done = subprocess.run([sys.executable, "-m", "onnxattr", *words], cwd=ROOT, check=False)
    if done.returncode > 1:
        sys.exit(done.returncode)


def _checkpoint(folder: Path, name: str) -> Path:
    """Return a task's checkpoint; end if there is none, warn if it is not what its name says."""
    found = sorted(folder.glob(f"{name}_encoder-*.pth"))
    if len(found) != 1:
        sys.exit(f"error: `{folder}` has {len(found)} files called `{name}_encoder-*.pth`, not 1")
    if not found[0].stem.endswith(f"-{_digest(found[0])}"):
        print(f"warning: {found[0]}: its SHA-256 is not that in its name", file=sys.stderr)
    return found[0]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(text: str) -> Path:
    """Return an absolute path: the commands are run from another folder."""
    return Path(text).resolve()


if __name__ == "__main__":
    main()
