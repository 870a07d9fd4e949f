"""Scenes rendered once and kept as arrays, and the batches that all frameworks train on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samples.miniature.tasks import TASKS, Task
from samples.miniature.zoo import CACHE, Recipe, Transfer
from samples.scenes import render

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Split:
    """A run of scene numbers, rendered at a size."""

    first: int
    count: int
    size: int

    @property
    def folder(self) -> Path:
        """Where its arrays are kept."""
        return CACHE / f"scenes-{self.first}-{self.count}-{self.size}"


def training(recipe: Recipe) -> Split:
    """Return the scenes that networks are trained on."""
    return Split(0, recipe.scenes, recipe.size)


def held_out(recipe: Recipe) -> Split:
    """Return the scenes that networks are scored on."""
    return Split(recipe.validation_from, recipe.validation, recipe.size)


def readout_splits(recipe: Recipe, transfer: Transfer) -> tuple[Split, Split]:
    """Return the scenes that readouts learn from, and those that they are judged on."""
    return (
        Split(transfer.images_from, transfer.images, recipe.size),
        Split(transfer.tests_from, transfer.tests, recipe.size),
    )


def make_cache(splits: tuple[Split, ...], workers: int = 1) -> None:
    """Render the splits, unless they are there already."""
    for split in splits:
        if all((split.folder / f"{name}.npy").exists() for name in ("image", *TASKS)):
            continue
        split.folder.mkdir(parents=True, exist_ok=True)
        jobs = [(seed, split.size) for seed in range(split.first, split.first + split.count)]
        with ProcessPoolExecutor(workers) as pool:
            rows = list(pool.map(_arrays, jobs, chunksize=16))
        for name in rows[0]:
            np.save(split.folder / f"{name}.npy", np.stack([row[name] for row in rows]))


def load(split: Split, name: str) -> Array:
    """Return the stored `image`s or a task's targets, [scene, …]."""
    stored: Array = np.load(split.folder / f"{name}.npy")
    return stored.astype(np.float32 if stored.dtype.kind == "f" else np.int64)


def batches(recipe: Recipe, task: Task, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield all training batches, epoch after epoch: float32 NHWC images in 0..1 and targets."""
    rng = np.random.default_rng([3, seed])
    images, targets = load(training(recipe), "image"), load(training(recipe), task.name)
    for _ in range(recipe.epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            chosen = order[start : start + recipe.batch]
            inputs = images[chosen]
            yield (task.spoil(inputs, rng) if task.spoil else inputs), targets[chosen]


def spoilt(split: Split, task: Task) -> Array:
    """Return a split's images as the task's network sees them; what is drawn has a fixed seed."""
    images = load(split, "image")
    return task.spoil(images, np.random.default_rng([4, split.first])) if task.spoil else images


def step_count(recipe: Recipe) -> int:
    """Return how many batches `batches` yields."""
    return recipe.epochs * (recipe.scenes // recipe.batch)


def constant_loss(task: Task, train: Array, valid: Array) -> float:
    """Return the loss on `valid` of the best answer that does not look at the picture.

    It may differ from place to place: means, or class frequencies, over the training targets.
    """
    if not task.classifies:
        return float(np.square(valid - train.mean(axis=0)).mean())
    shares = np.stack([(train == c).mean(axis=0) for c in range(task.channels)], axis=-1)
    overall = shares.reshape(-1, task.channels).mean(axis=0)
    overall = (overall * train.size + 1) / (train.size + task.channels)  # of unseen classes, too
    smooth = (shares * len(train) + overall) / (len(train) + 1)
    here = np.broadcast_to(smooth, (*valid.shape, task.channels))
    return float(-np.log(np.take_along_axis(here, valid[..., None], -1)).mean())


def halved(task: Task, targets: Array) -> Array:
    """Return targets [scene, …] with half as many pixels a side; numbers and labels as they are.

    Dense ones are averaged over 2×2 pixels, of classes every second one is kept.
    """
    if task.kind == "segment":
        return targets[:, ::2, ::2]
    if task.kind != "dense":
        return targets
    scenes, height, width, channels = targets.shape
    tiles = targets.reshape(scenes, height // 2, 2, width // 2, 2, channels)
    averaged: Array = tiles.mean(axis=(2, 4), dtype=np.float32)
    return averaged


def _arrays(job: tuple[int, int]) -> dict[str, Array]:
    """Return a scene's picture, and the targets at half its size."""
    seed, size = job
    scene = render(seed, size)
    arrays: dict[str, Array] = {"image": scene.image}
    for name, task in TASKS.items():
        arrays[name] = halved(task, np.asarray(task.target(scene))[None])[0]
    return {name: _compact(array) for name, array in arrays.items()}


def _compact(array: Array) -> Array:
    return array.astype(np.float16 if array.dtype.kind == "f" else np.uint8)
