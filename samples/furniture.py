"""What stands in a room: one recipe per semantic class, each a list of solids; needs numpy only.

A recipe builds its object around the origin, front towards -y, standing on z = 0. Shape and look
together make a class. To add a class, write its recipe and decorate it: its semantic id follows
from the order in this file, so new classes go at the end.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from samples.casting import Part, rotation
from samples.textures import Colour, Texture

Recipe: TypeAlias = Callable[[np.random.Generator], list[Part]]


@dataclass(frozen=True)
class Kind:
    """A semantic class: its recipe and where it goes: `floor`, `back` (to a wall) or `wall`."""

    recipe: Recipe
    place: str


KINDS: dict[str, Kind] = {}
SURFACES = ("floor", "ceiling", "wall")


def class_names() -> tuple[str, ...]:
    """Return all semantic classes in the order of their ids: the room's surfaces, then objects."""
    return (*SURFACES, *KINDS)


def kind(name: str, place: str = "floor") -> Callable[[Recipe], Recipe]:
    """Register the decorated recipe as the semantic class called `name`."""

    def register(recipe: Recipe) -> Recipe:
        if name in KINDS or name in SURFACES:
            raise ValueError(f"the class `{name}` is registered twice")
        KINDS[name] = Kind(recipe, place)
        return recipe

    return register


def placed(parts: Sequence[Part], x: float, y: float, z: float, yaw: float) -> list[Part]:
    """Return the parts turned by `yaw` about the origin and then moved to (x, y, z)."""
    moved = []
    for part in parts:
        turned = rotation(yaw) @ np.array(part.centre) + np.array([x, y, z])
        centre = (float(turned[0]), float(turned[1]), float(turned[2]))
        moved.append(replace(part, centre=centre, yaw=part.yaw + yaw))
    return moved


def colour(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0, 1),
    saturation: tuple[float, float] = (0.3, 0.8),
    value: tuple[float, float] = (0.4, 0.9),
) -> Colour:
    """Return a random display colour within the given ranges of hue, saturation and value."""
    return colorsys.hsv_to_rgb(*(float(rng.uniform(*span)) for span in (hue, saturation, value)))


def texture(rng: np.random.Generator, pattern: str, first: Colour, period: float) -> Texture:
    """Return a texture that blends `first` with a lighter or darker colour of the same family."""
    factor = float(rng.choice([0.45, 0.6, 1.5]))
    second = (min(1, first[0] * factor), min(1, first[1] * factor), min(1, first[2] * factor))
    return Texture(first, second, pattern, period, int(rng.integers(1 << 20)))


def wood(rng: np.random.Generator) -> Texture:
    """Return some wood, from pine to walnut."""
    return texture(rng, "wood", colour(rng, (0.06, 0.11), (0.4, 0.7), (0.35, 0.8)), 0.4)


@kind("table")
def _table(rng: np.random.Generator) -> list[Part]:
    x, y, height = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.78)
    look = wood(rng)
    top = Part("box", (0, 0, height - 0.025), (x, y, 0.025), look)
    return [top, *_legs(x - 0.06, y - 0.06, height - 0.05, look)]


@kind("chair")
def _chair(rng: np.random.Generator) -> list[Part]:
    half, seat = rng.uniform(0.2, 0.25), rng.uniform(0.42, 0.5)
    look = texture(rng, "plain", colour(rng, saturation=(0.5, 0.9)), 0.3)
    back = Part("box", (0, half - 0.02, seat + 0.24), (half, 0.025, 0.24), look)
    return [
        Part("box", (0, 0, seat), (half, half, 0.03), look),
        back,
        *_legs(half - 0.03, half - 0.03, seat - 0.03, wood(rng)),
    ]


@kind("sofa", place="back")
def _sofa(rng: np.random.Generator) -> list[Part]:
    x, seat = rng.uniform(0.6, 1.1), rng.uniform(0.35, 0.45)
    pattern = str(rng.choice(["noise", "plain", "stripes"]))
    look = texture(rng, pattern, colour(rng, saturation=(0.15, 0.6), value=(0.3, 0.8)), 0.25)
    arms = [Part("box", (side * (x - 0.1), 0, 0.29), (0.1, 0.42, 0.29), look) for side in (-1, 1)]
    return [
        Part("box", (0, 0, seat / 2), (x - 0.2, 0.4, seat / 2), look),
        Part("box", (0, 0.32, 0.42), (x - 0.2, 0.1, 0.42), look),
        *arms,
    ]


@kind("cabinet", place="back")
def _cabinet(rng: np.random.Generator) -> list[Part]:
    x, y, z = rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.3), rng.uniform(0.4, 1.0)
    white = rng.random() < 0.3
    look = texture(rng, "plain", colour(rng, (0.1, 0.15), (0, 0.1), (0.8, 0.95)), 0.5)
    body = Part("box", (0, 0, z), (x, y, z), look if white else wood(rng))
    knob = Texture((0.15, 0.15, 0.15), (0.3, 0.3, 0.3))
    parts = [body]
    for side in (-1, 1):
        door = Part("box", (side * x / 2, -y, z), (x / 2 - 0.02, 0.015, z - 0.04), body.texture)
        handle = Part("box", (side * 0.05, -y - 0.03, z), (0.012, 0.02, 0.08), knob)
        parts += [door, handle]
    return parts


@kind("lamp")
def _lamp(rng: np.random.Generator) -> list[Part]:
    height, radius = rng.uniform(0.9, 1.6), rng.uniform(0.14, 0.24)
    metal = Texture((0.12, 0.12, 0.13), (0.35, 0.33, 0.3))
    cloth = texture(rng, "plain", colour(rng, (0.08, 0.16), (0.1, 0.45), (0.9, 1)), 0.2)
    return [
        Part("cylinder", (0, 0, 0.02), (0.15, 0.15, 0.02), metal),
        Part("cylinder", (0, 0, height / 2), (0.02, 0.02, height / 2), metal),
        Part("cylinder", (0, 0, height), (radius, radius, 0.17), cloth, glow=1.1),
    ]


@kind("ball")
def _ball(rng: np.random.Generator) -> list[Part]:
    radius = rng.uniform(0.15, 0.4)
    pattern = str(rng.choice(["stripes", "checks", "dots"]))
    first, second = (colour(rng, saturation=(0.6, 1), value=(0.6, 1)) for _ in range(2))
    look = Texture(first, second, pattern, radius * 0.7, int(rng.integers(1 << 20)))
    return [Part("sphere", (0, 0, radius), (radius, radius, radius), look)]


@kind("plant")
def _plant(rng: np.random.Generator) -> list[Part]:
    pot, radius = rng.uniform(0.15, 0.3), rng.uniform(0.12, 0.2)
    clay = texture(rng, "plain", colour(rng, (0.02, 0.08), (0.4, 0.7), (0.4, 0.8)), 0.2)
    leaves = texture(rng, "noise", colour(rng, (0.24, 0.38), (0.5, 0.8), (0.3, 0.6)), 0.12)
    parts = [Part("cylinder", (0, 0, pot), (radius, radius, pot), clay)]
    for _ in range(4):
        x, y = rng.normal(0, 0.1, size=2)
        size = rng.uniform(0.14, 0.28)
        z = 2 * pot + rng.uniform(0.05, 0.5)
        parts.append(Part("sphere", (x, y, z), (size, size, 1.3 * size), leaves))
    return parts


@kind("column")
def _column(rng: np.random.Generator) -> list[Part]:
    radius = rng.uniform(0.12, 0.25)
    stone = texture(rng, "marble", colour(rng, (0, 1), (0, 0.15), (0.6, 0.95)), 0.8)
    foot = Part("box", (0, 0, 0.1), (1.35 * radius, 1.35 * radius, 0.1), stone)
    return [foot, Part("cylinder", (0, 0, 2.5), (radius, radius, 2.5), stone)]


@kind("rug")
def _rug(rng: np.random.Generator) -> list[Part]:
    pattern = str(rng.choice(["stripes", "checks", "dots", "noise"]))
    first, second = (colour(rng, value=(0.3, 0.9)) for _ in range(2))
    look = Texture(first, second, pattern, rng.uniform(0.15, 0.5), int(rng.integers(1 << 20)))
    half = (rng.uniform(0.6, 1.3), rng.uniform(0.5, 0.9), 0.008)
    return [Part(str(rng.choice(["box", "cylinder"])), (0, 0, 0.008), half, look)]


@kind("picture", place="wall")
def _picture(rng: np.random.Generator) -> list[Part]:
    x, z = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.45)
    first, second = colour(rng, value=(0.2, 0.6)), colour(rng, value=(0.6, 1))
    canvas = Texture(first, second, "painting", x, int(rng.integers(1 << 20)))
    middle = rng.uniform(1.3, 1.7)
    return [
        Part("box", (0, 0, middle), (x + 0.05, 0.02, z + 0.05), wood(rng)),
        Part("box", (0, -0.01, middle), (x, 0.02, z), canvas),
    ]


@kind("window", place="wall")
def _window(rng: np.random.Generator) -> list[Part]:
    x, z, middle = rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.6), rng.uniform(1.4, 1.6)
    frame = Texture((0.92, 0.92, 0.9), (0.8, 0.8, 0.8))
    sky = Texture(colour(rng, (0.53, 0.6), (0.05, 0.3), (0.9, 1)), (0.98, 0.98, 1), "noise", 1.0)
    return [
        Part("box", (0, 0, middle), (x + 0.07, 0.03, z + 0.07), frame),
        Part("box", (0, -0.01, middle), (x, 0.03, z), sky, glow=1.3),
        Part("box", (0, -0.015, middle), (0.025, 0.035, z), frame),
        Part("box", (0, -0.015, middle), (x, 0.035, 0.02), frame),
    ]


@kind("door", place="wall")
def _door(rng: np.random.Generator) -> list[Part]:
    x, z = rng.uniform(0.38, 0.5), rng.uniform(1.0, 1.1)
    leaf = wood(rng) if rng.random() < 0.5 else Texture(colour(rng, value=(0.5, 0.95)), (1, 1, 1))
    frame = Texture((0.85, 0.83, 0.8), (0.7, 0.7, 0.7))
    knob = Texture((0.75, 0.65, 0.35), (0.5, 0.4, 0.2))
    return [
        Part("box", (0, 0, z), (x + 0.07, 0.02, z + 0.07), frame),
        Part("box", (0, -0.01, z), (x, 0.025, z), leaf),
        Part("sphere", (x - 0.08, -0.06, z), (0.04, 0.04, 0.04), knob),
    ]


def _legs(x: float, y: float, height: float, look: Texture) -> list[Part]:
    corners = [(sx * x, sy * y, height / 2) for sx in (-1, 1) for sy in (-1, 1)]
    return [Part("box", corner, (0.03, 0.03, height / 2), look) for corner in corners]
