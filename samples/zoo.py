"""What is trained and how, fixed before any model was trained: tasks, seeds, sizes, schedule.

The choices here were made without looking at any similarity between models, and are not to be
changed to please one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
MODELS = HERE / "models"
CACHE = HERE / ".cache"
SCORES = HERE / "scores.json"


@dataclass(frozen=True)
class Recipe:
    """One set of hyper-parameters for all models of all frameworks.

    Attributes:
        size: Pixels a side of the input.
        widths: Output channels of the encoder's six 3×3 convolutions.
        strides: Their strides; three halvings take 64×64 to 8×8.
        decoder: Output channels of the decoder's convolutions; it is thrown away after training.
        scenes: How many training scenes (numbers 0, 1, …).
        validation: How many held-out scenes (numbers from `validation_from`).
        rate: Adam's first learning rate; a cosine takes it to zero.
    """

    size: int = 64
    widths: tuple[int, ...] = (24, 32, 48, 48, 64, 32)
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 1)
    decoder: tuple[int, ...] = (64, 32, 16)
    scenes: int = 6144
    validation: int = 512
    validation_from: int = 1_000_000
    batch: int = 32
    epochs: int = 8
    rate: float = 2e-3


@dataclass(frozen=True)
class Entry:
    """One model of the zoo."""

    task: str
    framework: Literal["torch", "keras", "jax"]
    seed: int
    second: bool = False

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.task}-{self.framework}" + ("-seed2" if self.second else "")


RECIPE = Recipe()
QUICK = Recipe(scenes=64, validation=32, epochs=1)
"""For trying the machinery; its models are worthless."""

ZOO = (
    Entry("autoencoder", "torch", seed=11),
    Entry("edge2d", "torch", seed=12),
    Entry("rgb2depth", "torch", seed=13),
    Entry("rgb2sfnorm", "torch", seed=14),
    Entry("rgb2sfnorm", "torch", seed=15, second=True),
    Entry("class_object", "torch", seed=16),
    Entry("denoise", "keras", seed=17),
    Entry("rgb2depth", "keras", seed=18),
    Entry("segmentsemantic", "keras", seed=19),
    Entry("reshade", "keras", seed=20),
    Entry("edge2d", "jax", seed=21),
)

NEEDS = {
    "torch": ("torch", "onnxscript"),
    "keras": ("keras", "tensorflow", "tf2onnx"),
    "jax": ("jax", "flax", "jax2onnx"),
}
"""Packages that training and exporting need, by framework."""

PROBE_COUNT = 200
PROBE_SIZE = 256
PROBES_FROM = 2_000_000
"""Number of the first probe scene; the probes also use a stream of their own."""
