"""Trains and exports the zoo's models, each in a process of its own.

A fresh process makes a model independent of what was built before it (Keras and tf2onnx number
their layers and values through a process's life), and keeps TensorFlow and PyTorch's exporter
apart: with both in one process, Triton's and TensorFlow's copies of LLVM collide and it crashes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from samples import data
from samples.tasks import TASKS
from samples.zoo import CACHE, Entry, Recipe

_ENDINGS = {"torch": ".pt", "keras": ".keras", "jax": ".npz"}


def train(entries: Sequence[Entry], recipe: Recipe, scores: Path, workers: int) -> None:
    """Train the entries, keep their weights in the cache and their scores in a JSON file."""
    with _processes(workers) as pool:
        for entry, row in zip(entries, pool.map(partial(_train, recipe), entries), strict=True):
            _add_score(scores, entry, row)
            print(f"{entry.name}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)


def export(entries: Sequence[Entry], recipe: Recipe, models: Path) -> None:
    """Write the ONNX file of each trained entry, as a user of its framework would."""
    models.mkdir(parents=True, exist_ok=True)
    with _processes(1) as pool:
        for path in pool.map(partial(_export, recipe, models), entries):
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def _processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1)


def _train(recipe: Recipe, entry: Entry) -> dict[str, float]:
    start = time.perf_counter()
    weights = _weights_path(entry, recipe)
    weights.parent.mkdir(parents=True, exist_ok=True)
    if entry.framework == "torch":
        from samples import train_torch as trainer
    elif entry.framework == "jax":
        from samples import train_jax as trainer  # type: ignore[no-redef]
    else:
        from samples import train_keras as trainer  # type: ignore[no-redef]
    reached = trainer.train(entry, recipe, weights)
    constant, per_place = data.constant_scores(recipe, TASKS[entry.task])
    minutes = round((time.perf_counter() - start) / 60, 1)
    return {"constant": constant, "constant_per_place": per_place, **reached, "minutes": minutes}


def _export(recipe: Recipe, models: Path, entry: Entry) -> Path:
    weights, path = _weights_path(entry, recipe), models / f"{entry.name}.onnx"
    if entry.framework == "torch":
        import torch
        from onnxattr_adapters import pytorch

        from samples import train_torch

        example = torch.rand(2, 3, recipe.size, recipe.size)
        pytorch.export(train_torch.load_trained(entry, recipe, weights), path, example=example)
    elif entry.framework == "jax":
        import numpy as np
        from onnxattr_adapters import jax

        from samples import train_jax

        images = np.random.default_rng(0).random((2, recipe.size, recipe.size, 3), np.float32)
        jax.export(train_jax.load_trained(entry, recipe, weights), path, example=images)
    else:
        from onnxattr_adapters import keras

        from samples import train_keras

        keras.export(train_keras.load_trained(weights), path)
    return path


def _weights_path(entry: Entry, recipe: Recipe) -> Path:
    return CACHE / f"weights-{recipe.scenes}" / f"{entry.name}{_ENDINGS[entry.framework]}"


def _add_score(path: Path, entry: Entry, row: dict[str, float]) -> None:
    """Put one entry's row into the score file, which stays sorted by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(path.read_text()) if path.exists() else {}
    rows[entry.name] = {"seed": entry.seed, **row}
    path.write_text(json.dumps(dict(sorted(rows.items())), indent=2) + "\n")
