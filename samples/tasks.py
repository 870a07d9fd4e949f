"""What the sample models learn, as data: a task is a name, a target made from a scene, and a loss.

Names are Taskonomy's where they match. To add a task, decorate its target function. Needs numpy
only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from samples.furniture import SURFACES, class_names
from samples.scenes import Scene

Kind: TypeAlias = Literal["dense", "segment", "label"]
Target: TypeAlias = Callable[[Scene], npt.NDArray[np.generic]]
Noise: TypeAlias = Callable[[npt.NDArray[np.float32], np.random.Generator], npt.NDArray[np.float32]]

TASKS: dict[str, Task] = {}
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
NOISE_LEVEL = 0.15


@dataclass(frozen=True)
class Task:
    """One thing to learn from a picture.

    Attributes:
        name: Taskonomy's name where there is one.
        target: Scene to float32 [height, width, channels] (dense), int [height, width] (segment)
            or an int (label).
        kind: The shape of the answer; it decides the decoder.
        channels: Output channels, or the number of classes.
        loss: `l1`, or `cross-entropy` for classes.
        noise: What is done to the input at every training step, if anything.
    """

    name: str
    target: Target
    kind: Kind
    channels: int
    loss: Literal["l1", "cross-entropy"]
    noise: Noise | None = None


def task(
    name: str, kind: Kind, channels: int, noise: Noise | None = None
) -> Callable[[Target], Target]:
    """Register the decorated target function as the task called `name`."""

    def register(target: Target) -> Target:
        if name in TASKS:
            raise ValueError(f"the task `{name}` is registered twice")
        loss: Literal["l1", "cross-entropy"] = "l1" if kind == "dense" else "cross-entropy"
        TASKS[name] = Task(name, target, kind, channels, loss, noise)
        return target

    return register


def add_noise(images: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the images with Gaussian noise of standard deviation 0.15, clipped to 0..1."""
    noise = rng.standard_normal(images.shape, dtype=np.float32) * np.float32(NOISE_LEVEL)
    return np.clip(images + noise, 0, 1)


@task("autoencoder", "dense", 3)
def _autoencoder(scene: Scene) -> npt.NDArray[np.generic]:
    return scene.image


@task("denoise", "dense", 3, noise=add_noise)
def _denoise(scene: Scene) -> npt.NDArray[np.generic]:
    return scene.image


@task("edge2d", "dense", 1)
def _edge2d(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the length of the Sobel gradient of the luminance, a step from 0 to 1 giving 1."""
    grey = np.pad(scene.image @ LUMA, 1, mode="edge")
    smooth_rows = grey[:-2] + 2 * grey[1:-1] + grey[2:]
    smooth_columns = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    across = smooth_rows[:, 2:] - smooth_rows[:, :-2]
    down = smooth_columns[2:] - smooth_columns[:-2]
    return np.asarray(np.hypot(across, down) / 4, dtype=np.float32)[..., None]


@task("rgb2depth", "dense", 1)
def _rgb2depth(scene: Scene) -> npt.NDArray[np.generic]:
    """Return log(1 + metres), in which near and far errors weigh alike."""
    return np.log1p(scene.depth)[..., None]


@task("rgb2sfnorm", "dense", 3)
def _rgb2sfnorm(scene: Scene) -> npt.NDArray[np.generic]:
    return scene.normals


@task("reshade", "dense", 1)
def _reshade(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the light that arrives, not counting the glow of lamps and windows beyond white."""
    return np.clip(scene.shading, 0, 1.5)[..., None]


@task("segmentsemantic", "segment", len(class_names()))
def _segmentsemantic(scene: Scene) -> npt.NDArray[np.generic]:
    return scene.classes


@task("class_object", "label", len(class_names()))
def _class_object(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the class of the object that covers most pixels; of the walls where there is none."""
    things, pixels = np.unique(scene.objects, return_counts=True)
    objects = things >= len(scene.world.things) - len(scene.world.objects)
    if not objects.any():
        return np.array(SURFACES.index("wall"))
    largest = things[objects][pixels[objects].argmax()]
    return np.array(scene.world.things[largest].class_id)
