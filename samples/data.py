"""Scenes rendered once and kept as arrays, and the batches that all frameworks train on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samples.scenes import render
from samples.tasks import TASKS, Task
from samples.zoo import CACHE, Recipe

Array = npt.NDArray[Any]


def make_cache(recipe: Recipe, workers: int = 1) -> None:
    """Render the training and validation scenes of a recipe, unless they are there already."""
    splits = (("train", 0, recipe.scenes), ("valid", recipe.validation_from, recipe.validation))
    for split, first, count in splits:
        folder = _folder(recipe, split)
        if all((folder / f"{name}.npy").exists() for name in ("image", *TASKS)):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [(seed, recipe.size) for seed in range(first, first + count)]
        with ProcessPoolExecutor(workers) as pool:
            rows = list(pool.map(_targets, jobs, chunksize=16))
        for name in rows[0]:
            np.save(folder / f"{name}.npy", np.stack([row[name] for row in rows]))


def load(recipe: Recipe, split: str, name: str) -> Array:
    """Return the stored `image`s or a task's targets, [scene, …], of `train` or `valid`."""
    stored: Array = np.load(_folder(recipe, split) / f"{name}.npy")
    return stored.astype(np.float32 if stored.dtype.kind == "f" else np.int64)


def batches(recipe: Recipe, task: Task, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield all training batches, epoch after epoch: float32 NHWC images in 0..1 and targets."""
    rng = np.random.default_rng([3, seed])
    images, targets = load(recipe, "train", "image"), load(recipe, "train", task.name)
    for _ in range(recipe.epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            chosen = order[start : start + recipe.batch]
            inputs = images[chosen]
            yield (task.noise(inputs, rng) if task.noise else inputs), targets[chosen]


def validation(recipe: Recipe, task: Task) -> tuple[Array, Array]:
    """Return the held-out inputs (with the task's noise, from a fixed seed) and targets."""
    images, targets = load(recipe, "valid", "image"), load(recipe, "valid", task.name)
    noisy = task.noise(images, np.random.default_rng(4)) if task.noise else images
    return noisy, targets


def step_count(recipe: Recipe) -> int:
    """Return how many batches `batches` yields."""
    return recipe.epochs * (recipe.scenes // recipe.batch)


def constant_scores(recipe: Recipe, task: Task) -> tuple[float, float]:
    """Return the validation losses of the best answers that do not look at the picture.

    The first gives one answer for all pixels, the second one for each place in the picture. Both
    are fitted on the training targets: medians for L1, class frequencies for cross-entropy.
    """
    train, valid = load(recipe, "train", task.name), load(recipe, "valid", task.name)
    if task.loss == "l1":
        everywhere = np.median(train.reshape(-1, task.channels), axis=0)
        return _l1(valid, everywhere), _l1(valid, np.median(train, axis=0))
    shares = np.stack([(train == c).mean(axis=0) for c in range(task.channels)], axis=-1)
    overall = shares.reshape(-1, task.channels).mean(axis=0)
    smooth = (shares * len(train) + overall) / (len(train) + 1)
    here = np.take_along_axis(
        np.broadcast_to(smooth, (*valid.shape, task.channels)), valid[..., None], -1
    )
    return float(-np.log(overall[valid]).mean()), float(-np.log(here).mean())


def _l1(valid: Array, answer: Array) -> float:
    return float(np.abs(valid - answer).mean())


def _targets(job: tuple[int, int]) -> dict[str, Array]:
    seed, size = job
    scene = render(seed, size)
    arrays = {"image": scene.image, **{name: task.target(scene) for name, task in TASKS.items()}}
    return {name: _compact(array) for name, array in arrays.items()}


def _compact(array: Array) -> Array:
    return array.astype(np.float16 if array.dtype.kind == "f" else np.uint8)


def _folder(recipe: Recipe, split: str) -> Path:
    count = recipe.scenes if split == "train" else recipe.validation
    return CACHE / f"{split}-{recipe.size}-{count}"
