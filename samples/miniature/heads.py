"""Keeps what the encoders of both zoos made their answers with, and joins the two.

    python samples/miniature/heads.py --family a    # trains again what has no head yet

Transfer is measured of encoders, and a measure may also ask for a target's answers: a model that a
user has comes with its head. Training is deterministic, so the same encoder comes out once more,
which is held against the file that is there, and this time its head is kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# One thread: the same sums in the same order as when the encoders were made.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
# As a script, this file finds only its own folder; where the package is installed, both are there.
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from samples.miniature import data, zoo  # noqa: E402

CODE = "code"
"""The tensor between encoder and head in a joined file."""


def train_again(entry: zoo.Entry, recipe: zoo.Recipe) -> str:
    """Train an entry, and write its head if its encoder is that of the file; say what happened."""
    import torch
    from onnxattr_adapters import pytorch

    from samples.miniature import train_torch

    weights = zoo.CACHE / "again" / f"{entry.name}.pt"
    weights.parent.mkdir(parents=True, exist_ok=True)
    train_torch.train(entry, recipe, weights)
    encoder = weights.with_suffix(".onnx")
    size = recipe.size
    example = torch.rand(2, 3, size, size)
    pytorch.export(train_torch.load_trained(entry, recipe, weights), encoder, example=example)
    if not same_weights(encoder, zoo.MODELS / encoder.name):
        return f"{entry.name}: another encoder came out, so its head is none of the file's"
    head = zoo.CACHE / "again" / f"{entry.name}.head.onnx"
    code = torch.rand(2, train_torch.CODE, size // 8, size // 8)
    pytorch.export(train_torch.load_head(entry, recipe, weights), head, example=code)
    zoo.HEADS.mkdir(exist_ok=True)
    head.replace(zoo.HEADS / f"{entry.name}.onnx")
    return f"{entry.name}: the same encoder, and its head"


def same_weights(first: Path, second: Path) -> bool:
    """Return whether two files hold the same weights, to the bit."""
    import onnx

    stored = [
        sorted((t.name, t.raw_data) for t in onnx.load(path).graph.initializer)
        for path in (first, second)
    ]
    return bool(stored[0]) and stored[0] == stored[1]


def whole(name: str) -> Path:
    """Return a file of an encoder with its head, made where it is not there yet."""
    path = zoo.CACHE / "whole" / f"{name}.onnx"
    if not path.exists():
        join(zoo.MODELS / path.name, zoo.HEADS / path.name, path)
    return path


def join(encoder: Path, head: Path, path: Path) -> None:
    """Write a file with both; the tensor between them is called `code`."""
    import onnx
    from onnx import compose

    first = compose.add_prefix(onnx.load(encoder), "encoder/")
    second = compose.add_prefix(onnx.load(head), "head/")
    code = first.graph.output[0]
    for node in first.graph.node:
        node.output[:] = [CODE if name == code.name else name for name in node.output]
    code.name = CODE
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = [(CODE, second.graph.input[0].name)]
    onnx.save(compose.merge_models(first, second, io_map=pairs), path)


def main() -> None:
    """Make the heads of a family that are not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--family", choices=("a", "b"), default="a")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    missing = [
        entry
        for entry in (zoo.ZOO_A if options.family == "a" else zoo.ZOO_B)
        if not (zoo.HEADS / f"{entry.name}.onnx").exists()
    ]
    data.make_cache((data.training(zoo.RECIPE), data.held_out(zoo.RECIPE)), options.workers)
    context = get_context("spawn")
    with ProcessPoolExecutor(options.workers, context, max_tasks_per_child=1) as pool:
        for line in pool.map(train_again, missing, [zoo.RECIPE] * len(missing)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
