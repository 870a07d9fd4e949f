"""What is trained, measured and how, as data: tasks, seeds, scene numbers, sizes, schedules.

All of it was fixed before any similarity between these models was computed. Zoo B is a second set
of twenty, kept for one last evaluation. Nothing here is to be changed to please a measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from samples.zoo import CACHE as SAMPLES_CACHE

HERE = Path(__file__).parent
MODELS = HERE / "models"
HEADS = HERE / "heads"
SCORES = HERE / "scores.json"
CACHE = SAMPLES_CACHE / "miniature"

Family: TypeAlias = Literal["a", "b", "residual", "large", "vit", "untrained"]

TASK_NAMES = (
    "autoencoder",
    "class_object",
    "class_places",
    "colorization",
    "curvature",
    "denoise",
    "edge2d",
    "edge3d",
    "inpainting_whole",
    "keypoint2d",
    "keypoint3d",
    "reshade",
    "rgb2depth",
    "rgb2mist",
    "rgb2sfnorm",
    "room_layout",
    "segment25d",
    "segment2d",
    "segmentsemantic",
    "vanishing_point",
)
SIX_TASKS = ("autoencoder", "edge2d", "reshade", "rgb2depth", "rgb2sfnorm", "segmentsemantic")
"""Those that other architectures learn, too: one or two of each kind of knowledge."""


@dataclass(frozen=True)
class Recipe:
    """One set of sizes and hyper-parameters for all models of all frameworks.

    Attributes:
        size: Pixels a side of the input; answers have half of it.
        widths: Output channels of the common encoder's six 3×3 convolutions.
        strides: Their strides; three halvings take 64×64 to 8×8.
        decoder: Output channels of the decoder's convolutions; it is thrown away after training.
        scenes: How many training scenes (numbers 0, 1, …).
        validation: How many held-out scenes (numbers from `validation_from`).
        rate: Adam's first learning rate (times that of `RATES`); a cosine takes it to zero.
    """

    size: int = 64
    widths: tuple[int, ...] = (12, 16, 20, 24, 32, 32)
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 1)
    decoder: tuple[int, ...] = (32, 16)
    scenes: int = 2560
    validation: int = 256
    validation_from: int = 1_000_000
    batch: int = 32
    epochs: int = 10
    rate: float = 3e-3


@dataclass(frozen=True)
class Transfer:
    """How transfer is measured: on which scenes, and with what budget.

    Attributes:
        images: Scenes that a readout learns from (numbers from `images_from`).
        tests: Scenes that it is judged on (numbers from `tests_from`).
        hidden: Channels or units of the readout's first layer.
        side: Cells a side of a readout's dense answer; targets are averaged to it.
        seeds: Of the readouts: initial weights and order of the images.
        rate: Adam's first learning rate; a cosine takes it to zero.
    """

    images: int = 1000
    images_from: int = 3_000_000
    tests: int = 500
    tests_from: int = 3_100_000
    hidden: int = 32
    side: int = 16
    seeds: tuple[int, ...] = (1, 2)
    batch: int = 50
    epochs: int = 8
    rate: float = 1e-2


@dataclass(frozen=True)
class Entry:
    """One model: a task, learnt by a family of encoders from a seed."""

    task: str
    family: Family
    seed: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.family if self.family == "untrained" else f"{self.task}-{self.family}"

    @property
    def framework(self) -> Literal["torch", "keras", "jax"]:
        """What it is trained in and exported from."""
        if self.family == "large":
            return "keras"
        return "jax" if self.family == "vit" else "torch"


RECIPE = Recipe()
TRANSFER = Transfer()
QUICK = Recipe(scenes=64, validation=32, epochs=1)
QUICK_TRANSFER = Transfer(images=60, tests=20, batch=20, epochs=1)
"""For trying the machinery; what comes out is worthless."""

RATES: dict[Family, float] = {"large": 1 / 3, "vit": 2 / 3}
"""Share of the recipe's rate for families without batch norm: smaller steps, not tuned."""

ZOO_A = tuple(Entry(task, "a", 101 + n) for n, task in enumerate(TASK_NAMES))
ZOO_B = tuple(Entry(task, "b", 201 + n) for n, task in enumerate(TASK_NAMES))
RESIDUAL = tuple(Entry(task, "residual", 301 + n) for n, task in enumerate(SIX_TASKS))
LARGE = tuple(Entry(task, "large", 401 + n) for n, task in enumerate(SIX_TASKS))
VIT = tuple(Entry(task, "vit", 501 + n) for n, task in enumerate(SIX_TASKS))
CONTROL = Entry("autoencoder", "untrained", 601)
"""The common encoder with its initial weights; its task is never learnt."""

OTHERS = (*RESIDUAL, *LARGE, *VIT, CONTROL)
ZOO = (*ZOO_A, *OTHERS, *ZOO_B)

PROBES_FROM = 4_000_000
PROBE_COUNT = 200
"""Probe images for `make evaluate`: scenes of the training variety that nothing else has seen."""
