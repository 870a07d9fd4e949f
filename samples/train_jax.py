"""Trains one sample model in Flax on JAX (NHWC, RGB in 0..1); hands back what is exported.

The hyper-parameters are those of the other frameworks' models. What differs is what differs between
the frameworks themselves: how padding="SAME" pads a stride of two, and the initial weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from samples.data import Array, batches, step_count, validation
from samples.tasks import TASKS, Task
from samples.zoo import Entry, Recipe


class Encoder(nnx.Module):
    """Conv-BN-ReLU blocks, float32 [image, 64, 64, 3] → [image, 8, 8, 32]."""

    def __init__(self, recipe: Recipe, rngs: nnx.Rngs) -> None:
        convs, norms = [], []
        channels = 3
        for width, stride in zip(recipe.widths, recipe.strides, strict=True):
            convs.append(
                nnx.Conv(channels, width, (3, 3), strides=stride, use_bias=False, rngs=rngs)
            )
            # PyTorch's defaults, so that all frameworks train alike.
            norms.append(nnx.BatchNorm(width, momentum=0.9, epsilon=1e-5, rngs=rngs))
            channels = width
        self.convs, self.norms = nnx.List(convs), nnx.List(norms)

    def __call__(self, value: jax.Array) -> jax.Array:
        """Return the code of a batch of images."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            value = nnx.relu(norm(conv(value)))
        return value


class Decoder(nnx.Module):
    """What turns the code into the task's answer: a picture, or one row of logits."""

    def __init__(self, task: Task, recipe: Recipe, rngs: nnx.Rngs) -> None:
        channels = recipe.widths[-1]
        self.label, convs = task.kind == "label", []
        for width in () if self.label else recipe.decoder:
            convs.append(nnx.Conv(channels, width, (3, 3), rngs=rngs))
            channels = width
        self.convs = nnx.List(convs)
        self.last = (
            nnx.Linear(channels, task.channels, rngs=rngs)
            if self.label
            else nnx.Conv(channels, task.channels, (3, 3), rngs=rngs)
        )

    def __call__(self, value: jax.Array) -> jax.Array:
        """Return the answers to a batch of codes."""
        if self.label:
            return self.last(value.mean((1, 2)))
        for conv in self.convs:
            value = nnx.relu(conv(value))
            value = jnp.repeat(jnp.repeat(value, 2, axis=1), 2, axis=2)
        return self.last(value)


def train(entry: Entry, recipe: Recipe, weights: Path) -> dict[str, float]:
    """Train an entry, save the exported module's weights, and return its validation scores."""
    task, rngs = TASKS[entry.task], nnx.Rngs(entry.seed)
    model = nnx.Sequential(Encoder(recipe, rngs), Decoder(task, recipe, rngs))
    schedule = optax.cosine_decay_schedule(recipe.rate, step_count(recipe))
    optimiser = nnx.Optimizer(model, optax.adam(schedule), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimiser: Any, inputs: jax.Array, targets: jax.Array) -> None:
        def loss(model: Any) -> jax.Array:
            return _loss(task, model(inputs), targets)

        optimiser.update(model, nnx.grad(loss)(model))

    for inputs, targets in batches(recipe, task, entry.seed):
        step(model, optimiser, jnp.asarray(inputs), jnp.asarray(targets))
    model.eval()
    exported = model if task.kind == "label" else model.layers[0]
    leaves = jax.tree.leaves(nnx.state(exported, (nnx.Param, nnx.BatchStat)))
    np.savez(weights, *map(np.asarray, leaves))
    return _scores(task, model, *validation(recipe, task))


def load_trained(entry: Entry, recipe: Recipe, weights: Path) -> Any:
    """Return the exported module of an entry with its trained weights, in evaluation mode."""
    task, rngs = TASKS[entry.task], nnx.Rngs(entry.seed)
    encoder = Encoder(recipe, rngs)
    model = encoder
    if task.kind == "label":
        model = nnx.Sequential(encoder, Decoder(task, recipe, rngs))
    state = nnx.state(model, (nnx.Param, nnx.BatchStat))
    stored = np.load(weights)
    leaves = [jnp.asarray(stored[name]) for name in stored.files]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(state), leaves))
    model.eval()
    return model


def _loss(task: Task, answers: jax.Array, targets: jax.Array) -> jax.Array:
    if task.loss == "l1":
        return jnp.abs(answers - targets).mean()
    return optax.softmax_cross_entropy_with_integer_labels(answers, targets).mean()


def _scores(task: Task, model: Any, images: Array, targets: Array) -> dict[str, float]:
    parts = np.array_split(images, 8)
    answers = jnp.concatenate([model(jnp.asarray(part)) for part in parts])
    scores = {"loss": float(_loss(task, answers, jnp.asarray(targets)))}
    if task.loss == "cross-entropy":
        scores["accuracy"] = float((answers.argmax(-1) == targets).mean())
    return scores
