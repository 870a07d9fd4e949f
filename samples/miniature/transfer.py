"""Measures transfer: every encoder as a source, frozen, for every task as a target.

    python samples/miniature/make.py transfer

A source's worth for a target is a win rate, as in Taskonomy: the share of test images and of other
sources where its readout has the lower loss (a tie counts half).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from samples.miniature import readout
from samples.miniature.data import (
    Array,
    Split,
    constant_loss,
    halved,
    load,
    readout_splits,
    spoilt,
)
from samples.miniature.tasks import TASKS, Task
from samples.miniature.zoo import Entry, Recipe, Transfer

Float64 = npt.NDArray[np.float64]


def win_rates(losses: Array, rivals: Array) -> Float64:
    """Return each source's win rate, float64 [source].

    The mean over images of the share of rivals that have a higher loss; a tie counts half.

    Args:
        losses: Of the sources, [source, image]; no rival is among them.
        rivals: Of those they are compared with, [rival, image].

    Example:
        >>> win_rates(np.array([[1.0, 1.0]]), np.array([[2.0, 1.0], [3.0, 0.0]]))
        array([0.625])
    """
    return np.array(
        [float(((rivals > row) + 0.5 * (rivals == row)).mean(dtype=np.float64)) for row in losses]
    )


def features(model: Path, images: Array) -> Array:
    """Return what an encoder's file answers, float32 [image, channel, y, x], run on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    first = image.shape[1] == 3
    inputs = np.ascontiguousarray(np.moveaxis(images, -1, 1)) if first else images
    parts = [
        session.run(None, {image.name: inputs[start : start + 50]})[0]
        for start in range(0, len(inputs), 50)
    ]
    answers: Array = np.concatenate(parts)
    return answers if first else np.ascontiguousarray(np.moveaxis(answers, -1, 1))


def losses_path(folder: Path, source: Path) -> Path:
    """Return where the losses of a model's file are kept; another file has another place."""
    return folder / f"{source.stem}-{sha256(source.read_bytes()).hexdigest()[:16]}.npz"


def measure(
    source: Path, recipe: Recipe, transfer: Transfer, folder: Path, tasks: Sequence[str]
) -> Path:
    """Write the losses of one source for all targets to `folder`, unless they are there.

    The file has an array float32 [seed, image] for each task, and `seconds`, the processor time
    that it cost. An encoder sees each target's own input: noisy for `denoise`, grey for
    `colorization`, with a hidden square for `inpainting_whole`.
    """
    path = losses_path(folder, source)
    if path.exists():
        return path
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    start = time.process_time()
    splits = readout_splits(recipe, transfer)
    plain = _features(source, splits, None)
    rows: dict[str, Array] = {}
    for name in tasks:
        task = TASKS[name]
        train, test = _features(source, splits, task) if task.spoil else plain
        pairs = [
            (values, targets(task, split, transfer))
            for values, split in zip((train, test), splits, strict=True)
        ]
        rows[name] = np.stack(
            [readout.losses(task, transfer, seed, pairs[0], pairs[1]) for seed in transfer.seeds]
        )
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npz")
    np.savez(draft, seconds=np.array(time.process_time() - start), **rows)
    draft.replace(path)
    return path


def targets(task: Task, split: Split, transfer: Transfer) -> Array:
    """Return a task's targets at the resolution of readouts."""
    values = load(split, task.name)
    while task.kind in ("dense", "segment") and values.shape[1] > transfer.side:
        values = halved(task, values)
    return values


def affinities(
    losses: Mapping[str, Mapping[str, Array]],
    zoo: Sequence[str],
    outside: Sequence[str],
    tasks: Sequence[str],
) -> Float64:
    """Return win rates over the zoo, float64 [readout seed, source, task].

    The sources are the zoo and then those outside it. Everyone is compared with the models of the
    zoo other than itself, so a zoo's rows do not depend on who else was measured.

    Args:
        losses: By source and task, [seed, image].
        zoo: Names of the zoo's models.
        outside: Names of further sources.
        tasks: The targets.
    """
    columns = []
    for name in tasks:
        stacked = np.stack([losses[source][name] for source in (*zoo, *outside)], axis=1)
        columns.append([_against(one, len(zoo)) for one in stacked])
    return np.moveaxis(np.array(columns), 0, -1)


def _against(losses: Array, count: int) -> Float64:
    """Return the win rates of sources [source, image], of which the first `count` are rivals."""
    rivals = losses[:count]
    within = [win_rates(rivals[k : k + 1], np.delete(rivals, k, axis=0)) for k in range(count)]
    return np.concatenate([*within, win_rates(losses[count:], rivals)])


def write_table(path: Path, values: Float64, sources: Sequence[str], heads: Sequence[str]) -> None:
    """Write a matrix as `onnxattr evaluate --truth` reads it: a row a source, a column a target."""
    lines = [",".join(["source", *heads])]
    for source, row in zip(sources, values, strict=True):
        lines.append(",".join([source, *(f"{value:.6f}" for value in row)]))
    path.write_text("\n".join(lines) + "\n")


def report(
    zoo: Sequence[Entry],
    outside: Sequence[Entry],
    paths: Mapping[str, Path],
    recipe: Recipe,
    transfer: Transfer,
    path: Path,
) -> None:
    """Write a truth: the table `path`, and beside it a JSON with what it was computed from.

    Args:
        zoo: Models that compete; the columns are named after them, and their tasks are the targets.
        outside: Further sources, in rows only.
        paths: Where `measure` left the losses, by name of the source.
        recipe: Of the scenes.
        transfer: How it was measured.
        path: The table, a `.csv`.
    """
    tasks, names = [entry.task for entry in zoo], [entry.name for entry in zoo]
    sources = [entry.name for entry in (*zoo, *outside)]
    losses: dict[str, dict[str, Array]] = {}
    for source in sources:
        with np.load(paths[source]) as stored:
            losses[source] = {name: stored[name] for name in stored.files}
    by_seed = affinities(losses, names, sources[len(zoo) :], tasks)
    write_table(path, by_seed.mean(axis=0), sources, names)
    train, test = readout_splits(recipe, transfer)
    facts = {
        "images": [train.first, train.count],
        "tests": [test.first, test.count],
        "readout_seeds": list(transfer.seeds),
        "cpu_seconds": {s: round(float(losses[s]["seconds"]), 1) for s in sources},
        "seeds_correlate": {
            name: round(float(np.corrcoef(by_seed[:, :, column])[0, -1]), 4)
            for column, name in enumerate(tasks)
        },
        "constant": {
            name: _rounded(
                constant_loss(
                    TASKS[name], *(targets(TASKS[name], s, transfer) for s in (train, test))
                )
            )
            for name in tasks
        },
        "losses": {
            source: {
                name: [_rounded(v) for v in losses[source][name].mean(axis=1)] for name in tasks
            }
            for source in sources
        },
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _features(source: Path, splits: tuple[Split, Split], task: Task | None) -> tuple[Array, Array]:
    """Return standardised features of both splits, of pictures as the task's input shows them."""
    images = (spoilt(s, task) if task else load(s, "image") for s in splits)
    train, test = (features(source, part) for part in images)
    return readout.standardised(train, test)
