"""Trains the encoders of Flax on JAX: a small vision transformer (NHWC, RGB in 0..1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from samples.miniature.data import Array, batches, held_out, load, spoilt, step_count
from samples.miniature.tasks import TASKS, Task
from samples.miniature.zoo import RATES, Entry, Recipe

PATCH, WIDTH, HEADS, DEPTH, INNER = 8, 32, 4, 2, 64


class Layer(nnx.Module):
    """Attention and a small network, each behind a layer norm and around a short cut."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norms = nnx.List([nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(2)])
        self.mixed = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs)
        self.joined = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.rise, self.fall = (
            nnx.Linear(*sizes, rngs=rngs) for sizes in ((WIDTH, INNER), (INNER, WIDTH))
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return the tokens after one layer, [image, token, width]."""
        mixed = self.mixed(self.norms[0](tokens))
        mixed = mixed.reshape(-1, tokens.shape[1], 3, HEADS, WIDTH // HEADS)
        query, key, value = (mixed[:, :, k].transpose(0, 2, 1, 3) for k in range(3))
        scores = query @ key.transpose(0, 1, 3, 2) / (WIDTH // HEADS) ** 0.5
        looked = (jax.nn.softmax(scores, axis=-1) @ value).transpose(0, 2, 1, 3)
        tokens = tokens + self.joined(looked.reshape(-1, tokens.shape[1], WIDTH))
        return tokens + self.fall(nnx.gelu(self.rise(self.norms[1](tokens)), approximate=False))


class Encoder(nnx.Module):
    """A vision transformer, float32 [image, 64, 64, 3] → [image, 8, 8, 32]."""

    def __init__(self, recipe: Recipe, rngs: nnx.Rngs) -> None:
        self.side = recipe.size // PATCH
        self.patches = nnx.Conv(3, WIDTH, (PATCH, PATCH), strides=PATCH, rngs=rngs)
        places = 0.02 * jax.random.normal(rngs.params(), (self.side**2, WIDTH))
        self.places = nnx.Param(places)
        self.layers = nnx.List([Layer(rngs) for _ in range(DEPTH)])
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)

    def __call__(self, value: jax.Array) -> jax.Array:
        """Return the code of a batch of images."""
        tokens = self.patches(value).reshape(-1, self.side**2, WIDTH) + self.places[...]
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens).reshape(-1, self.side, self.side, WIDTH)


class Decoder(nnx.Module):
    """What turns the code into the task's answer: a picture, or one row of numbers."""

    def __init__(self, task: Task, recipe: Recipe, rngs: nnx.Rngs) -> None:
        channels = WIDTH
        self.single, convs = task.kind in ("vector", "label"), []
        for width in () if self.single else recipe.decoder:
            convs.append(nnx.Conv(channels, width, (3, 3), rngs=rngs))
            channels = width
        self.convs = nnx.List(convs)
        cells = (recipe.size // 16) ** 2
        self.last = (
            nnx.Linear(channels * cells, task.channels, rngs=rngs)
            if self.single
            else nnx.Conv(channels, task.channels, (3, 3), rngs=rngs)
        )

    def __call__(self, value: jax.Array) -> jax.Array:
        """Return the answers to a batch of codes."""
        if self.single:
            return self.last(nnx.avg_pool(value, (2, 2), (2, 2)).reshape(len(value), -1))
        for conv in self.convs:
            value = nnx.relu(conv(value))
            value = jnp.repeat(jnp.repeat(value, 2, axis=1), 2, axis=2)
        return self.last(value)


def train(entry: Entry, recipe: Recipe, weights: Path) -> dict[str, float]:
    """Train an entry, save its encoder's weights, and return its validation scores."""
    task, rngs = TASKS[entry.task], nnx.Rngs(entry.seed)
    model = nnx.Sequential(Encoder(recipe, rngs), Decoder(task, recipe, rngs))
    rate = recipe.rate * RATES[entry.family]
    schedule = optax.cosine_decay_schedule(rate, step_count(recipe))
    optimiser = nnx.Optimizer(model, optax.adam(schedule), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimiser: Any, inputs: jax.Array, targets: jax.Array) -> None:
        def loss(model: Any) -> jax.Array:
            return _loss(task, model(inputs), targets)

        optimiser.update(model, nnx.grad(loss)(model))

    for inputs, targets in batches(recipe, task, entry.seed):
        step(model, optimiser, jnp.asarray(inputs), jnp.asarray(targets))
    model.eval()
    leaves = jax.tree.leaves(nnx.state(model.layers[0], nnx.Param))
    np.savez(weights, *map(np.asarray, leaves))
    split = held_out(recipe)
    return _scores(task, model, spoilt(split, task), load(split, task.name))


def load_trained(entry: Entry, recipe: Recipe, weights: Path) -> Any:
    """Return an entry's encoder with its trained weights, in evaluation mode."""
    model = Encoder(recipe, nnx.Rngs(entry.seed))
    state = nnx.state(model, nnx.Param)
    stored = np.load(weights)
    leaves = [jnp.asarray(stored[name]) for name in stored.files]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(state), leaves))
    model.eval()
    return model


def _loss(task: Task, answers: jax.Array, targets: jax.Array) -> jax.Array:
    if task.classifies:
        return optax.softmax_cross_entropy_with_integer_labels(answers, targets).mean()
    return jnp.square(answers - targets).mean()


def _scores(task: Task, model: Any, images: Array, targets: Array) -> dict[str, float]:
    answers = jnp.concatenate([model(jnp.asarray(part)) for part in np.array_split(images, 8)])
    scores = {"loss": float(_loss(task, answers, jnp.asarray(targets)))}
    if task.classifies:
        scores["accuracy"] = float((answers.argmax(-1) == targets).mean())
    return scores
