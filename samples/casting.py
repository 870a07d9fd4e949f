"""The ray caster: which surface each ray meets first, where, and how it is turned; numpy only.

Every solid is one of three unit shapes (a cube, a ball, an upright cylinder, all within -1..1)
scaled by `half`, turned about the vertical by `yaw` and moved to `centre`. A ray is carried into
the unit frame by the same affine map, which leaves its parameter t as it was; a ray starting at the
camera with unit length along the optical axis therefore has t = depth for every shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samples.textures import Array, Texture, paint

NEAR = 1e-4
"""Metres by which a surface is left before the next hit counts, against self-shadowing."""


@dataclass(frozen=True)
class Part:
    """One solid: a unit shape, its half extents, pose, texture, and how much light it gives."""

    shape: str
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    texture: Texture
    yaw: float = 0.0
    glow: float = 0.0


@dataclass(frozen=True)
class Hits:
    """What each ray met: `t` [ray], `part` number [ray], unit `normals` and `albedo` [3, ray]."""

    t: Array
    part: npt.NDArray[np.int64]
    normals: Array
    albedo: Array


def cast(parts: Sequence[Part], origin: Array, directions: Array) -> Hits:
    """Return the first hit of every ray (t = inf and part = -1 where it meets nothing).

    Args:
        parts: All solids, the walls among them.
        origin: float [3], where all rays start.
        directions: float [3, ray], of any length.
    """
    nearest = np.full(directions.shape[1], np.inf)
    winner = np.full(directions.shape[1], -1, dtype=np.int64)
    squares = (directions * directions).sum(axis=0)
    for number, part in enumerate(parts):
        close = _passing(part, origin, directions, squares)
        enter, leave = interval(part, origin, directions[:, close])
        closer = (enter < leave) & (enter > NEAR) & (enter < nearest[close])
        nearest[close[closer]] = enter[closer]
        winner[close[closer]] = number
    points = origin[:, None] + np.where(winner < 0, 0, nearest) * directions
    return _describe(parts, points, nearest, winner)


def blocked(parts: Sequence[Part], origin: Array, directions: Array) -> npt.NDArray[np.bool_]:
    """Return for each ray whether a solid is met before t = 1; solids that glow do not block."""
    result = np.zeros(directions.shape[1], dtype=bool)
    squares = (directions * directions).sum(axis=0)
    for part in parts:
        if part.glow == 0:
            close = _passing(part, origin, directions, squares)
            enter, leave = interval(part, origin, directions[:, close])
            result[close[(enter < leave) & (leave > 0) & (enter < 1)]] = True
    return result


def interval(part: Part, origin: Array, directions: Array) -> tuple[Array, Array]:
    """Return the t at which each line enters and leaves `part`; enter > leave means a miss."""
    start = _to_unit(part, (origin - np.array(part.centre))[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        return SHAPES[part.shape].interval(start, _to_unit(part, directions))


def rotation(yaw: float) -> Array:
    """Return the 3×3 matrix that turns by `yaw` radians about the vertical (the z axis)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _passing(part: Part, origin: Array, directions: Array, squares: Array) -> npt.NDArray[np.int64]:
    """Return which rays point into the ball around a part: a cheap test that spares most of them.

    Args:
        part: The solid; the ball is that around its bounding box.
        origin: float [3].
        directions: float [3, ray].
        squares: Squared lengths of the directions, float [ray].
    """
    offset = np.array(part.centre) - origin
    beyond = float(offset @ offset) - float(np.sum(np.square(part.half)))
    if beyond <= 0:
        return np.arange(directions.shape[1])
    along = offset @ directions
    return np.flatnonzero((along > 0) & (along * along >= beyond * squares))


def _describe(
    parts: Sequence[Part], points: Array, t: Array, winner: npt.NDArray[np.int64]
) -> Hits:
    normals, albedo = np.zeros_like(points), np.zeros_like(points)
    for number in np.unique(winner[winner >= 0]):
        part, here = parts[number], winner == number
        half, shape = np.array(part.half), SHAPES[part.shape]
        unit = _to_unit(part, points[:, here] - np.array(part.centre)[:, None])
        normal = rotation(part.yaw) @ (shape.normal(unit) / half[:, None])
        normals[:, here] = normal / np.linalg.norm(normal, axis=0)
        albedo[:, here] = paint(part.texture, *shape.surface(unit, half))
    return Hits(t, winner, normals, albedo)


def _to_unit(part: Part, vectors: Array) -> Array:
    if part.yaw:
        vectors = rotation(-part.yaw) @ vectors
    return np.asarray(vectors / np.array(part.half)[:, None])


@dataclass(frozen=True)
class Shape:
    """A unit shape: the interval a line spends inside, its normal and its surface coordinates."""

    interval: Callable[[Array, Array], tuple[Array, Array]]
    normal: Callable[[Array], Array]
    surface: Callable[[Array, Array], tuple[Array, Array]]


def _slab(start: Array, step: Array) -> tuple[Array, Array]:
    first, second = (-1 - start) / step, (1 - start) / step
    return np.minimum(first, second), np.maximum(first, second)


def _round(start: Array, step: Array) -> tuple[Array, Array]:
    """Solve |start + t·step| = 1 over the given axes; no real root gives an empty interval."""
    a, b = (step * step).sum(axis=0), (start * step).sum(axis=0)
    c = (start * start).sum(axis=0) - 1
    root = b * b - a * c
    half = np.sqrt(np.maximum(root, 0)) / a
    # A line along a cylinder's axis never crosses its side: a = 0, and it is always in or out.
    along = (a == 0) & (c < 0)
    enter = np.where(root > 0, -b / a - half, np.where(along, -np.inf, np.inf))
    return enter, np.where(root > 0, -b / a + half, -enter)


def _cube_interval(start: Array, step: Array) -> tuple[Array, Array]:
    enter, leave = _slab(start, step)
    return enter.max(axis=0), leave.min(axis=0)


def _cylinder_interval(start: Array, step: Array) -> tuple[Array, Array]:
    side, caps = _round(start[:2], step[:2]), _slab(start[2], step[2])
    return np.maximum(side[0], caps[0]), np.minimum(side[1], caps[1])


def _cube_normal(unit: Array) -> Array:
    axis = np.abs(unit).argmax(axis=0)
    return np.where(np.arange(3)[:, None] == axis, np.sign(unit), 0.0)


def _cylinder_normal(unit: Array) -> Array:
    cap = np.abs(unit[2]) > np.hypot(unit[0], unit[1])
    upright = np.stack([np.zeros_like(unit[2]), np.zeros_like(unit[2]), np.sign(unit[2])])
    return np.where(cap, upright, unit * np.array([[1.0], [1.0], [0.0]]))


def _cube_surface(unit: Array, half: Array) -> tuple[Array, Array]:
    axis, metres = np.abs(unit).argmax(axis=0), unit * half[:, None]
    return np.where(axis == 0, metres[1], metres[0]), np.where(axis == 2, metres[1], metres[2])


def _wrapped_surface(unit: Array, half: Array) -> tuple[Array, Array]:
    return np.arctan2(unit[1], unit[0]) * half[0], unit[2] * half[2]


SHAPES: dict[str, Shape] = {
    "box": Shape(_cube_interval, _cube_normal, _cube_surface),
    "sphere": Shape(_round, lambda unit: unit, _wrapped_surface),
    "cylinder": Shape(_cylinder_interval, _cylinder_normal, _wrapped_surface),
}
