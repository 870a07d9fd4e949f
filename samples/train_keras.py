"""Trains one sample model in Keras on TensorFlow (NHWC, RGB in 0..1); hands back what is exported.

The hyper-parameters are those of the PyTorch models. What differs is what differs between the
frameworks themselves: the layout, how padding="same" pads a stride of two, and the initial weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from samples.data import Array, batches, step_count, validation
from samples.tasks import TASKS, Task
from samples.zoo import Entry, Recipe


def build_encoder(recipe: Recipe) -> Any:
    """Return conv–BN–ReLU blocks, float32 [image, 64, 64, 3] → [image, 8, 8, 32]."""
    image = keras.Input((recipe.size, recipe.size, 3), name="image")
    value = image
    for width, stride in zip(recipe.widths, recipe.strides, strict=True):
        value = keras.layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(value)
        # PyTorch's defaults, so that both frameworks train alike.
        value = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(value)
        value = keras.layers.ReLU()(value)
    return keras.Model(image, value, name="encoder")


def build_decoder(task: Task, recipe: Recipe) -> Any:
    """Return what turns the code into the task's answer: a picture, or one row of logits."""
    if task.kind == "label":
        return keras.Sequential(
            [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(task.channels)]
        )
    layers = []
    for width in recipe.decoder:
        layers.append(keras.layers.Conv2D(width, 3, padding="same", activation="relu"))
        layers.append(keras.layers.UpSampling2D(2))
    return keras.Sequential([*layers, keras.layers.Conv2D(task.channels, 3, padding="same")])


def train(entry: Entry, recipe: Recipe, weights: Path) -> dict[str, float]:
    """Train an entry, save the exported model, and return its validation scores."""
    keras.utils.set_random_seed(entry.seed)
    tf.config.experimental.enable_op_determinism()
    task = TASKS[entry.task]
    encoder, decoder = build_encoder(recipe), build_decoder(task, recipe)
    model = keras.Model(encoder.input, decoder(encoder.output))
    schedule = keras.optimizers.schedules.CosineDecay(recipe.rate, step_count(recipe))
    model.compile(
        keras.optimizers.Adam(schedule),
        loss="mae"
        if task.loss == "l1"
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    steps = step_count(recipe) // recipe.epochs
    model.fit(
        batches(recipe, task, entry.seed),
        steps_per_epoch=steps,
        epochs=recipe.epochs,
        shuffle=False,
        verbose=0,
    )
    (model if task.kind == "label" else encoder).save(weights)
    return _scores(task, model, *validation(recipe, task))


def load_trained(weights: Path) -> Any:
    """Return the exported model of an entry as it was saved after training."""
    return keras.models.load_model(weights, compile=False)


def _scores(task: Task, model: Any, images: Array, targets: Array) -> dict[str, float]:
    answers = model.predict(images, batch_size=64, verbose=0)
    if task.loss == "l1":
        return {"loss": float(np.abs(answers - targets).mean())}
    peak = answers.max(axis=-1, keepdims=True)
    log_total = peak[..., 0] + np.log(np.exp(answers - peak).sum(axis=-1))
    right = np.take_along_axis(answers, targets[..., None], -1)[..., 0]
    return {
        "loss": float((log_total - right).mean()),
        "accuracy": float((answers.argmax(-1) == targets).mean()),
    }
