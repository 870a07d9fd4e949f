"""Trains and exports the miniature's models, each in a process of its own, one finished at a time.

A stop loses only the models in work: file and scores of a model are written as soon as it is done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from samples.miniature.data import constant_loss, held_out, load, training
from samples.miniature.tasks import TASKS
from samples.miniature.zoo import CACHE, Entry, Recipe

_ENDINGS = {"torch": ".pt", "keras": ".keras", "jax": ".npz"}


def make(
    entries: Sequence[Entry], recipe: Recipe, models: Path, scores: Path, workers: int
) -> None:
    """Train and export the entries that have no file yet, and note their scores in a JSON file."""
    models.mkdir(parents=True, exist_ok=True)
    missing = [entry for entry in entries if not (models / f"{entry.name}.onnx").exists()]
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        work = {pool.submit(partial(_make, recipe, models), entry): entry for entry in missing}
        for done in as_completed(work):
            entry, row = work[done], done.result()
            _add_score(scores, entry, row)
            print(f"{entry.name}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)


def _make(recipe: Recipe, models: Path, entry: Entry) -> dict[str, float]:
    start = time.process_time()
    path = CACHE / f"weights-{recipe.scenes}" / f"{entry.name}{_ENDINGS[entry.framework]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.framework == "torch":
        from samples.miniature import train_torch as trainer
    elif entry.framework == "jax":
        from samples.miniature import train_jax as trainer  # type: ignore[no-redef]
    else:
        from samples.miniature import train_keras as trainer  # type: ignore[no-redef]
    row = trainer.train(entry, recipe, path)
    if row:
        task = TASKS[entry.task]
        train, valid = (load(s, task.name) for s in (training(recipe), held_out(recipe)))
        row = {"constant": constant_loss(task, train, valid), **row}
    row["seconds"] = round(time.process_time() - start, 1)
    draft = path.with_suffix(".onnx")
    _export(entry, recipe, path, draft)
    # Only a finished file is put where its presence means that nothing is left to do.
    draft.replace(models / f"{entry.name}.onnx")
    return row


def _export(entry: Entry, recipe: Recipe, weights: Path, path: Path) -> None:
    """Write the ONNX file of a trained entry, as a user of its framework would."""
    if entry.framework == "torch":
        import torch
        from onnxattr_adapters import pytorch

        from samples.miniature import train_torch

        example = torch.rand(2, 3, recipe.size, recipe.size)
        pytorch.export(train_torch.load_trained(entry, recipe, weights), path, example=example)
    elif entry.framework == "jax":
        import numpy as np
        from onnxattr_adapters import jax

        from samples.miniature import train_jax

        images = np.random.default_rng(0).random((2, recipe.size, recipe.size, 3), np.float32)
        jax.export(train_jax.load_trained(entry, recipe, weights), path, example=images)
    else:
        from onnxattr_adapters import keras

        from samples.miniature import train_keras

        keras.export(train_keras.load_trained(weights), path)


def _add_score(path: Path, entry: Entry, row: dict[str, float]) -> None:
    """Put one entry's row into the score file, which stays sorted by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(path.read_text()) if path.exists() else {}
    rows[entry.name] = {"seed": entry.seed, **row}
    path.write_text(json.dumps(dict(sorted(rows.items())), indent=2) + "\n")
