"""Trains the encoders of Keras on TensorFlow: large kernels, no batch norm (NHWC, RGB in 0..1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from samples.miniature.data import Array, batches, held_out, load, spoilt, step_count
from samples.miniature.tasks import TASKS, Task
from samples.miniature.zoo import RATES, Entry, Recipe

LAYERS = ((12, 7, 2), (16, 5, 2), (24, 5, 2), (32, 3, 1))
"""Channels, kernel and stride of the encoder's convolutions."""


def build_encoder(recipe: Recipe) -> Any:
    """Return convolutions with bias and ELU, float32 [image, 64, 64, 3] → [image, 8, 8, 32]."""
    image = keras.Input((recipe.size, recipe.size, 3), name="image")
    value = image
    for width, kernel, stride in LAYERS:
        conv = keras.layers.Conv2D(
            width, kernel, stride, padding="same", kernel_initializer="he_normal"
        )
        value = keras.layers.ELU()(conv(value))
    return keras.Model(image, value, name="encoder")


def build_decoder(task: Task, recipe: Recipe) -> Any:
    """Return what turns the code into the task's answer: a picture, or one row of numbers."""
    if task.kind in ("vector", "label"):
        pool, flat = keras.layers.AveragePooling2D(2), keras.layers.Flatten()
        return keras.Sequential([pool, flat, keras.layers.Dense(task.channels)])
    layers = []
    for width in recipe.decoder:
        layers.append(keras.layers.Conv2D(width, 3, padding="same", activation="relu"))
        layers.append(keras.layers.UpSampling2D(2))
    return keras.Sequential([*layers, keras.layers.Conv2D(task.channels, 3, padding="same")])


def train(entry: Entry, recipe: Recipe, weights: Path) -> dict[str, float]:
    """Train an entry, save its encoder, and return its validation scores."""
    keras.utils.set_random_seed(entry.seed)
    tf.config.experimental.enable_op_determinism()
    task = TASKS[entry.task]
    encoder, decoder = build_encoder(recipe), build_decoder(task, recipe)
    model = keras.Model(encoder.input, decoder(encoder.output))
    rate = recipe.rate * RATES[entry.family]
    schedule = keras.optimizers.schedules.CosineDecay(rate, step_count(recipe))
    loss = (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True) if task.classifies else "mse"
    )
    model.compile(keras.optimizers.Adam(schedule), loss=loss)
    model.fit(
        batches(recipe, task, entry.seed),
        steps_per_epoch=step_count(recipe) // recipe.epochs,
        epochs=recipe.epochs,
        shuffle=False,
        verbose=0,
    )
    encoder.save(weights)
    split = held_out(recipe)
    return _scores(task, model, spoilt(split, task), load(split, task.name))


def load_trained(weights: Path) -> Any:
    """Return the encoder of an entry as it was saved after training."""
    return keras.models.load_model(weights, compile=False)


def _scores(task: Task, model: Any, images: Array, targets: Array) -> dict[str, float]:
    answers = model.predict(images, batch_size=64, verbose=0)
    if not task.classifies:
        return {"loss": float(np.square(answers - targets).mean())}
    peak = answers.max(axis=-1, keepdims=True)
    log_total = peak[..., 0] + np.log(np.exp(answers - peak).sum(axis=-1))
    right = np.take_along_axis(answers, targets[..., None], -1)[..., 0]
    return {
        "loss": float((log_total - right).mean()),
        "accuracy": float((answers.argmax(-1) == targets).mean()),
    }
