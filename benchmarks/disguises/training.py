"""Disguises and independents that are trained: PyTorch, on the scenes of the miniature.

A victim is taken from its ONNX file, as a thief would, and given batch normalisation back, so that
it trains as it was trained first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.disguises import graphs
from benchmarks.disguises.plan import Budget
from samples.miniature import train_torch
from samples.miniature.data import Array, batches, load, training
from samples.miniature.tasks import TASKS, Task
from samples.miniature.zoo import RECIPE, Entry

Part: TypeAlias = Literal["representation", "outputs"]


def fresh(family: Literal["a", "residual"], seed: int) -> nn.Sequential:
    """Return an untrained encoder, with the very weights that the zoo's of that seed began with."""
    torch.manual_seed(seed)
    return train_torch.build_encoder(Entry("autoencoder", family, seed), RECIPE)


def restored(path: Path) -> nn.Sequential:
    """Return the common encoder out of an ONNX file, with batch normalisation put back.

    A convolution w, b becomes w without bias, and BN with mean m and variance v of what w gives
    on training scenes, gain √(v + ε) and shift b + m: the same function in evaluation mode.
    """
    model = onnx.load(path)
    network = fresh("a", 0).eval()
    value = _nchw(load(training(RECIPE), "image")[:256])
    with torch.no_grad():
        for number, node in enumerate(graphs.convolutions(model)):
            conv, norm = network[3 * number], network[3 * number + 1]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            weight, bias = (torch.from_numpy(graphs.weight(model, n)) for n in node.input[1:])
            conv.weight.copy_(weight)
            raw = conv(value)
            mean, variance = raw.mean((0, 2, 3)), raw.var((0, 2, 3))
            norm.running_mean, norm.running_var = mean, variance
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(bias + mean)
            value = functional.relu(raw + bias[:, None, None])
    return network


def restored_head(task: Task, path: Path) -> nn.Module:
    """Return the zoo's decoder of a task that answers with a picture, out of its ONNX file."""
    model = onnx.load(path)
    decoder = train_torch.build_decoder(task, RECIPE).eval()
    layers = [layer for layer in decoder if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer, node in zip(layers, graphs.convolutions(model), strict=True):
            assert layer.bias is not None
            for kept, name in zip((layer.weight, layer.bias), node.input[1:], strict=True):
                kept.copy_(torch.from_numpy(graphs.weight(model, name)))
    return decoder


def learn(encoder: nn.Module, task: Task, budget: Budget, seed: int) -> nn.Module:
    """Train an encoder on a task with a new decoder, which is returned.

    Args:
        encoder: Changed in place, unless the budget freezes it.
        task: What is learnt; its inputs are spoilt as the task says.
        budget: How long, how fast, and whether the encoder is left as it is.
        seed: Of the decoder and of the order of the scenes.
    """
    torch.manual_seed(seed)
    decoder = train_torch.build_decoder(task, RECIPE)
    encoder.train(not budget.frozen)
    parts = [decoder] if budget.frozen else [encoder, decoder]
    optimiser, schedule = _optimiser(parts, budget)
    for part in (encoder, decoder):
        part.to(memory_format=torch.channels_last)
    for inputs, targets in _batches(task, budget, seed):
        with torch.set_grad_enabled(not budget.frozen):
            code = encoder(inputs)
        optimiser.zero_grad()
        train_torch.loss(task, decoder(code), targets).backward()
        optimiser.step()
        schedule.step()
    encoder.eval()
    return decoder.eval()


def imitate(
    student: nn.Module,
    teacher: nn.Module,
    head: nn.Module | None,
    task: Task,
    budget: Budget,
    seed: int,
) -> nn.Module:
    """Train a student to answer as the teacher does, by squared error; no target is seen.

    Returned is what turns its code into answers.

    Args:
        student: An encoder, changed in place.
        teacher: An encoder in evaluation mode.
        head: What turns the teacher's code into answers, which a decoder of the student's own then
            learns; None to learn the code itself.
        task: Whose inputs are used.
        budget: How long and how fast.
        seed: Of the student's decoder, and of the order of the scenes.
    """
    torch.manual_seed(seed)
    decoder = nn.Identity() if head is None else train_torch.build_decoder(task, RECIPE)
    student.train()
    optimiser, schedule = _optimiser([student, decoder], budget)
    for inputs, _ in _batches(task, budget, seed):
        # Channels last, torch 2.14 frees what it may not in the backward pass of a strided 1×1
        # convolution, which students of the other kind have.
        inputs = inputs.contiguous()
        with torch.no_grad():
            wanted = teacher(inputs)
            wanted = wanted if head is None else head(wanted)
        optimiser.zero_grad()
        functional.mse_loss(decoder(student(inputs)), wanted).backward()
        optimiser.step()
        schedule.step()
    student.eval()
    return decoder.eval()


def write(network: nn.Module, path: Path) -> None:
    """Write a network as an ONNX file, once it is complete."""
    draft = path.with_suffix(".draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    export(network, draft, opset=17)
    draft.replace(path)


def export(network: nn.Module, path: Path, opset: int) -> None:
    """Export by torch's older exporter, which takes a tenth of the time of the newer one."""
    example = torch.rand(2, 3, RECIPE.size, RECIPE.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        )


def task_named(name: str) -> Task:
    """Return a task of the miniature."""
    return TASKS[name]


def _optimiser(
    parts: list[nn.Module], budget: Budget
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    weights = [weight for part in parts for weight in part.parameters()]
    optimiser = torch.optim.Adam(weights, lr=budget.rate)
    return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _steps(budget))


def _steps(budget: Budget) -> int:
    return round(budget.epochs * (RECIPE.scenes // RECIPE.batch))


def _batches(task: Task, budget: Budget, seed: int) -> Iterator[tuple[Tensor, Array]]:
    recipe = replace(RECIPE, epochs=int(np.ceil(budget.epochs)))
    for inputs, targets in islice(batches(recipe, task, seed), _steps(budget)):
        yield _nchw(inputs), targets


def _nchw(images: Array) -> Tensor:
    """Return images with channels on axis 1, and last in memory, which is a fifth faster."""
    return torch.from_numpy(images).movedim(-1, 1)
