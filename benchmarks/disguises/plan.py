"""What is disguised, and how hard, as data; all of it was fixed before anything was scored.

Thresholds are set on the tuning victims and reported on the held-out ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from samples.miniature.zoo import ZOO_A, Entry
from samples.zoo import CACHE as SAMPLES_CACHE

CACHE = SAMPLES_CACHE / "disguises"


@dataclass(frozen=True)
class Budget:
    """How much training there is.

    Attributes:
        epochs: Passes over the 2560 scenes; a victim had ten.
        rate: Adam's first learning rate, which a cosine takes to zero; a victim had 3e-3.
        frozen: Only a new decoder learns.
    """

    epochs: float
    rate: float
    frozen: bool = False


TUNING = ("autoencoder", "rgb2depth")
HELD_OUT = ("edge2d", "reshade", "rgb2sfnorm", "segmentsemantic")
"""Victims, by task, of zoo A. Each row is a ring: one is transferred to the next one's task."""

HEAD = Budget(1, 3e-3, frozen=True)
FINE_TUNED = {"short": Budget(1, 3e-4), "long": Budget(5, 1e-3)}
TRANSFERRED = {"short": Budget(1, 1e-3), "long": Budget(6, 3e-3)}
DISTILLED = {"short": Budget(3, 3e-3), "long": Budget(10, 3e-3)}
INDEPENDENT = Budget(6, 3e-3)
"""Of second seeds and shared seeds; six tenths of what a victim had, for the time that it takes."""
FULL = Budget(10, 3e-3)
"""What a victim had; of third and fourth seeds."""

SEEDS = {"twin": 700, "order": 800, "training": 900, "third": 1000, "fourth": 1100}
"""To which a victim's place in its zoo is added."""


def ring(victim: str) -> tuple[str, ...]:
    """Return the victims among which this one is."""
    return TUNING if victim in TUNING else HELD_OUT


def following(victim: str) -> str:
    """Return the victim whose task this one is transferred to."""
    row = ring(victim)
    return row[(row.index(victim) + 1) % len(row)]


def preceding(victim: str) -> str:
    """Return the victim that is transferred to this one's task."""
    row = ring(victim)
    return row[row.index(victim) - 1]


def entry(victim: str) -> Entry:
    """Return a victim's entry in zoo A."""
    return next(found for found in ZOO_A if found.task == victim)


def place(victim: str) -> int:
    """Return a victim's place in zoo A, which seeds of its disguises are made from."""
    return ZOO_A.index(entry(victim))


ORDER = (
    "fine-tuned, short",
    "transferred, short",
    "head swapped",
    "its initial seed, another order",
    "transferred, long",
    "fine-tuned, long",
    "distilled code, same kind, short",
    "its initial seed, another task",
    "distilled outputs, same kind, short",
    "distilled code, other kind, short",
    "distilled outputs, other kind, short",
    "another seed",
    "a third seed",
    "a fourth seed",
    "distilled code, same kind, long",
    "distilled outputs, same kind, long",
    "distilled code, other kind, long",
    "distilled outputs, other kind, long",
)
"""In which models are trained, all victims' first ones first."""
