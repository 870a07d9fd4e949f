"""Procedural surface patterns, each a function of surface coordinates in metres; needs numpy only.

A pattern returns a weight in 0..1 that blends the two colours of a `Texture`. Patterns are data: to
add one, write the function and decorate it with its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Colour: TypeAlias = tuple[float, float, float]
Pattern: TypeAlias = Callable[[Array, Array, int], Array]

PATTERNS: dict[str, Pattern] = {}


@dataclass(frozen=True)
class Texture:
    """Two colours (display values, 0..1), a pattern between them, and its period in metres."""

    first: Colour
    second: Colour
    pattern: str = "plain"
    period: float = 0.5
    seed: int = 0


def paint(texture: Texture, u: Array, v: Array) -> Array:
    """Return the linear albedo, float [3, point], of `texture` at surface points (`u`, `v`)."""
    shift = (texture.seed % 97) / 97
    weight = PATTERNS[texture.pattern](
        u / texture.period + shift, v / texture.period + shift, texture.seed
    )
    first, second = (np.array(colour)[:, None] ** 2.2 for colour in (texture.first, texture.second))
    return first + (second - first) * weight


def pattern(name: str) -> Callable[[Pattern], Pattern]:
    """Register the decorated function as the pattern called `name`."""

    def register(function: Pattern) -> Pattern:
        if name in PATTERNS:
            raise ValueError(f"the pattern `{name}` is registered twice")
        PATTERNS[name] = function
        return function

    return register


def value_noise(u: Array, v: Array, seed: int, octaves: int = 3) -> Array:
    """Return smooth noise in 0..1: hashed lattice values, smoothly blended, `octaves` deep.

    A hash instead of a random generator makes the value at a point independent of which other
    points are asked for, so that a scene looks the same at every image size.
    """
    total = np.zeros_like(u)
    for octave in range(octaves):
        column, row = np.floor(u), np.floor(v)
        across, down = (_smooth(u - column), _smooth(v - row))
        i, j = column.astype(np.int64), row.astype(np.int64)
        salt = seed + 101 * octave
        top = _blend(_hash(i, j, salt), _hash(i + 1, j, salt), across)
        bottom = _blend(_hash(i, j + 1, salt), _hash(i + 1, j + 1, salt), across)
        total += _blend(top, bottom, down) * 0.5 ** (octave + 1)
        u, v = u * 2.03, v * 2.03
    return total / (1 - 0.5**octaves)


@pattern("plain")
def _plain(u: Array, v: Array, seed: int) -> Array:
    return 0.15 * value_noise(u, v, seed, octaves=1)


@pattern("checks")
def _checks(u: Array, v: Array, seed: int) -> Array:
    return (np.floor(u) + np.floor(v)) % 2


@pattern("stripes")
def _stripes(u: Array, v: Array, seed: int) -> Array:
    along = u if seed % 2 else v
    return np.where(along % 1 < 0.5, 0.0, 1.0)


@pattern("tiles")
def _tiles(u: Array, v: Array, seed: int) -> Array:
    grout = (u % 1 < 0.06) | (v % 1 < 0.06)
    shade = 0.25 * _hash(np.floor(u).astype(np.int64), np.floor(v).astype(np.int64), seed)
    return np.where(grout, 1.0, shade)


@pattern("bricks")
def _bricks(u: Array, v: Array, seed: int) -> Array:
    row = np.floor(2 * v)
    return _tiles(u + 0.5 * (row % 2), 2 * v, seed)


@pattern("dots")
def _dots(u: Array, v: Array, seed: int) -> Array:
    radius = np.hypot(u % 1 - 0.5, v % 1 - 0.5)
    return np.where(radius < 0.28, 1.0, 0.0)


@pattern("noise")
def _noise(u: Array, v: Array, seed: int) -> Array:
    return np.clip(2 * value_noise(2 * u, 2 * v, seed) - 0.5, 0, 1)


@pattern("wood")
def _wood(u: Array, v: Array, seed: int) -> Array:
    plank = np.floor(2 * v)
    grain = value_noise(u + 7.3 * plank, 14 * v, seed)
    board = 0.5 * _hash(plank.astype(np.int64), np.zeros_like(plank, dtype=np.int64), seed)
    gap = (2 * v) % 1 < 0.05
    return np.where(gap, 1.0, np.clip(0.9 * grain + board - 0.2, 0, 1))


@pattern("marble")
def _marble(u: Array, v: Array, seed: int) -> Array:
    vein = np.sin(2 * np.pi * (u + 2 * value_noise(u, v, seed)))
    return (1 - np.abs(vein)) ** 2


@pattern("painting")
def _painting(u: Array, v: Array, seed: int) -> Array:
    return np.floor(5 * value_noise(2 * u, 2 * v, seed, octaves=2)) / 4


def _hash(i: npt.NDArray[np.int64], j: npt.NDArray[np.int64], salt: int) -> Array:
    """Return one value in 0..1 for each lattice point: two rounds of integer mixing."""
    mixed = (i * 374761393 + j * 668265263 + salt * 2246822519) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return np.asarray((mixed ^ (mixed >> 16)) & 0xFFFF, dtype=np.float64) / 0xFFFF


def _smooth(fraction: Array) -> Array:
    return fraction * fraction * (3 - 2 * fraction)


def _blend(first: Array, second: Array, weight: Array) -> Array:
    return first + (second - first) * weight
