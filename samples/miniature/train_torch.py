"""Trains the encoders of PyTorch: the common one, and the residual one with SiLU (NCHW, RGB)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from samples.miniature.data import Array, batches, held_out, load, spoilt, step_count
from samples.miniature.tasks import TASKS, Task
from samples.miniature.zoo import Entry, Recipe

CODE = 32
"""Channels of every encoder's answer, at an eighth of the picture's side."""


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm and SiLU, around a 1×1 convolution as a short cut."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, 2, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.short = nn.Conv2d(channels, width, 1, 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))

    def forward(self, value: Tensor) -> Tensor:
        """Return the block's features, with half the pixels a side."""
        inner = functional.silu(self.norms[0](self.first(value)))
        inner = self.norms[1](self.second(inner))
        return functional.silu(inner + self.norms[2](self.short(value)))


def build_encoder(entry: Entry, recipe: Recipe) -> nn.Sequential:
    """Return an entry's untrained encoder, float32 [image, 3, 64, 64] → [image, 32, 8, 8]."""
    if entry.family == "residual":
        return nn.Sequential(Block(3, 12), Block(12, 24), Block(24, CODE))
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
    """Return what turns the code into the task's answer: a picture, or one row of numbers."""
    if task.kind in ("vector", "label"):
        side = recipe.size // 16
        head = nn.Linear(CODE * side * side, task.channels)
        return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), head)
    layers: list[nn.Module] = []
    channels = CODE
    for width in recipe.decoder:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, task.channels, 3, padding=1))


def train(entry: Entry, recipe: Recipe, weights: Path) -> dict[str, float]:
    """Train an entry, save the weights of encoder and head, and return its validation scores."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(entry.seed)
    task = TASKS[entry.task]
    encoder = build_encoder(entry, recipe)
    if entry.family == "untrained":
        torch.save(encoder.state_dict(), weights)
        return {}
    model = nn.Sequential(encoder, build_decoder(task, recipe))
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, step_count(recipe))
    for inputs, targets in batches(recipe, task, entry.seed):
        optimiser.zero_grad()
        loss(task, model(_to_nchw(inputs)), targets).backward()
        optimiser.step()
        schedule.step()
    model.eval()
    torch.save(encoder.state_dict(), weights)
    torch.save(model[1].state_dict(), head_path(weights))
    return _scores(task, model, spoilt(held_out(recipe), task), load(held_out(recipe), task.name))


def load_trained(entry: Entry, recipe: Recipe, weights: Path) -> nn.Module:
    """Return an entry's encoder with its trained weights, in evaluation mode."""
    model = build_encoder(entry, recipe)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def load_head(entry: Entry, recipe: Recipe, weights: Path) -> nn.Module:
    """Return what an entry made its answers with, from the code, in evaluation mode."""
    model = build_decoder(TASKS[entry.task], recipe)
    model.load_state_dict(torch.load(head_path(weights), weights_only=True))
    return model.eval()


def head_path(weights: Path) -> Path:
    """Return where the head's weights are, beside the encoder's."""
    return weights.with_suffix(".head.pt")


def loss(task: Task, answers: Tensor, targets: Array) -> Tensor:
    """Return the mean loss of a batch of answers: squared error, or cross-entropy."""
    if task.classifies:
        return functional.cross_entropy(answers, torch.from_numpy(targets))
    wanted = _to_nchw(targets) if task.kind == "dense" else torch.from_numpy(targets)
    return functional.mse_loss(answers, wanted)


@torch.no_grad()
def _scores(task: Task, model: nn.Module, images: Array, targets: Array) -> dict[str, float]:
    answers = torch.cat([model(_to_nchw(part)) for part in np.array_split(images, 8)])
    scores = {"loss": float(loss(task, answers, targets))}
    if task.classifies:
        scores["accuracy"] = float((answers.argmax(1).numpy() == targets).mean())
    return scores


def _to_nchw(images: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
