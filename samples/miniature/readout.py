"""Transfers one frozen encoder to one task: a small readout with a small budget, and its losses.

The readout has two layers. For pictures: a 3×3 convolution with ReLU on the 8×8 code, then a 1×1
convolution that answers for the pixels of each cell. For numbers and labels: the code averaged to
4×4, a dense layer with ReLU, a dense layer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from samples.miniature.data import Array
from samples.miniature.tasks import Task
from samples.miniature.zoo import Transfer


def build(task: Task, code: int, cells: int, transfer: Transfer) -> nn.Sequential:
    """Return an untrained readout of features [image, code, cells, cells] for a task."""
    if task.kind in ("vector", "label"):
        first = nn.Linear(code * (cells // 2) ** 2, transfer.hidden)
        last = nn.Linear(transfer.hidden, task.channels)
        return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), first, nn.ReLU(), last)
    factor = transfer.side // cells
    return nn.Sequential(
        nn.Conv2d(code, transfer.hidden, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(transfer.hidden, task.channels * factor**2, 1),
        nn.PixelShuffle(factor),
    )


def standardised(train: Array, test: Array) -> tuple[Array, Array]:
    """Return features [image, channel, y, x] with the training images' mean 0 and deviation 1.

    Encoders differ in scale, which a readout of few steps would otherwise notice. A channel that
    never moves becomes zero.
    """
    axes = (0, 2, 3)
    mean = train.mean(axis=axes, keepdims=True, dtype=np.float64)
    deviation = train.std(axis=axes, keepdims=True, dtype=np.float64)
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    first, second = (((part - mean) * scale).astype(np.float32) for part in (train, test))
    return first, second


def losses(
    task: Task,
    transfer: Transfer,
    seed: int,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
) -> Array:
    """Return the loss on each test image, float32 [image], of a readout trained from `seed`.

    Args:
        task: The target.
        transfer: Size and budget.
        seed: Decides the initial weights and the order of the images.
        train: Standardised features [image, channel, y, x], and targets at `transfer.side`.
        test: The same of other images.
    """
    torch.manual_seed(seed)
    features, targets = map(torch.from_numpy, train)
    targets = _channels_first(task, targets)
    model = build(task, features.shape[1], features.shape[2], transfer)
    optimiser = torch.optim.Adam(model.parameters(), lr=transfer.rate)
    steps = transfer.epochs * (len(features) // transfer.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(transfer.epochs):
        order = torch.randperm(len(features))
        for chosen in order.split(transfer.batch)[: len(features) // transfer.batch]:
            optimiser.zero_grad()
            _losses(task, model(features[chosen]), targets[chosen]).mean().backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        answers = model(torch.from_numpy(test[0]))
        result: Array = _losses(
            task, answers, _channels_first(task, torch.from_numpy(test[1]))
        ).numpy()
    return result


def _losses(task: Task, answers: Tensor, targets: Tensor) -> Tensor:
    """Return one loss for each image: the mean over all that was asked about it."""
    if task.classifies:
        loss = functional.cross_entropy(answers, targets, reduction="none")
    else:
        loss = (answers - targets) ** 2
    return loss.reshape(len(loss), -1).mean(dim=1)


def _channels_first(task: Task, targets: Tensor) -> Tensor:
    return targets.movedim(-1, 1).contiguous() if task.kind == "dense" else targets
