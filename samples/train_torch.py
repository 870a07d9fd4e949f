"""Trains one sample model in PyTorch (NCHW inside, RGB in 0..1); hands back what is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from samples.data import Array, batches, step_count, validation
from samples.tasks import TASKS, Task
from samples.zoo import Entry, Recipe


def build_encoder(recipe: Recipe) -> nn.Sequential:
    """Return conv–BN–ReLU blocks, float32 [image, 3, 64, 64] → [image, 32, 8, 8]."""
    layers: list[nn.Module] = []
    channels = 3
    for width, stride in zip(recipe.widths, recipe.strides, strict=True):
        layers += [
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers)


def build_decoder(task: Task, recipe: Recipe) -> nn.Sequential:
    """Return what turns the code into the task's answer: a picture, or one row of logits."""
    channels = recipe.widths[-1]
    if task.kind == "label":
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, task.channels)
        )
    layers: list[nn.Module] = []
    for width in recipe.decoder:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, task.channels, 3, padding=1))


def build_exported(entry: Entry, recipe: Recipe) -> nn.Module:
    """Return the untrained module that an entry's file holds: the encoder, or encoder and head."""
    task = TASKS[entry.task]
    encoder = build_encoder(recipe)
    if task.kind == "label":
        return nn.Sequential(encoder, build_decoder(task, recipe))
    return encoder


def train(entry: Entry, recipe: Recipe, weights: Path) -> dict[str, float]:
    """Train an entry, save the exported module's weights, and return its validation scores."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(entry.seed)
    task = TASKS[entry.task]
    encoder, decoder = build_encoder(recipe), build_decoder(task, recipe)
    model = nn.Sequential(encoder, decoder)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, step_count(recipe))
    for inputs, targets in batches(recipe, task, entry.seed):
        optimiser.zero_grad()
        loss = _loss(task, model(_to_nchw(inputs)), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    model.eval()
    torch.save((model if task.kind == "label" else encoder).state_dict(), weights)
    return _scores(task, model, *validation(recipe, task))


def load_trained(entry: Entry, recipe: Recipe, weights: Path) -> nn.Module:
    """Return the exported module of an entry with its trained weights, in evaluation mode."""
    model = build_exported(entry, recipe)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def _loss(task: Task, answers: Tensor, targets: Array) -> Tensor:
    if task.loss == "l1":
        return functional.l1_loss(answers, _to_nchw(targets))
    return functional.cross_entropy(answers, torch.from_numpy(targets))


@torch.no_grad()
def _scores(task: Task, model: nn.Module, images: Array, targets: Array) -> dict[str, float]:
    answers = torch.cat([model(_to_nchw(part)) for part in np.array_split(images, 8)])
    scores = {"loss": float(_loss(task, answers, targets))}
    if task.loss == "cross-entropy":
        scores["accuracy"] = float((answers.argmax(1).numpy() == targets).mean())
    return scores


def _to_nchw(images: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
