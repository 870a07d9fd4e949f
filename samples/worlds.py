"""Random little rooms: what stands where, who looks at it and what lights it; needs numpy only.

Metres, x and y along the walls, z up, one corner of the room at the origin. Camera frame: x to the
right, y down, z along the optical axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samples.casting import Part
from samples.furniture import KINDS, SURFACES, class_names, colour, placed, texture
from samples.textures import Array, Texture

Point = tuple[float, float, float]
SIDES: tuple[float, ...] = (0.0, np.pi, -np.pi / 2, np.pi / 2)
"""Yaw of something whose back is against the wall at y = depth, y = 0, x = width, x = 0."""
SLAB = 0.25
"""Half the thickness of floor, ceiling and walls; nothing sees their outside."""


@dataclass(frozen=True)
class Camera:
    """A pinhole: `axes` has the right, down and forward directions as columns; `fov` in radians."""

    position: Point
    axes: Array
    fov: float


@dataclass(frozen=True)
class Light:
    """A small ball of light that shines equally in all directions."""

    position: Point
    power: float
    radius: float = 0.12


@dataclass(frozen=True)
class Thing:
    """One object (or one surface of the room), made of solids, with its semantic class."""

    name: str
    parts: tuple[Part, ...]

    @property
    def class_id(self) -> int:
        """The semantic id: the place of the class in `class_names()`."""
        return class_names().index(self.name)


@dataclass(frozen=True)
class World:
    """Everything that a picture needs; `room` is (width, depth, height) in metres."""

    room: Point
    things: tuple[Thing, ...]
    camera: Camera
    lights: tuple[Light, ...]
    ambient: float = 0.35
    exposure: float = 0.7
    tint: Point = (1.0, 1.0, 1.0)

    @property
    def objects(self) -> tuple[Thing, ...]:
        """The things that are not surfaces of the room; the surfaces come first in `things`."""
        return tuple(thing for thing in self.things if thing.name not in SURFACES)


@dataclass(frozen=True)
class Variety:
    """How much scenes differ: ranges to draw from, and which random stream to draw with."""

    stream: int
    fov_degrees: tuple[float, float] = (60, 90)
    objects: tuple[int, int] = (4, 8)
    lights: tuple[int, int] = (1, 2)
    side: tuple[float, float] = (3, 6.5)
    ambient: tuple[float, float] = (0.25, 0.5)
    exposure: tuple[float, float] = (0.6, 0.8)
    pitch: tuple[float, float] = (-0.35, 0.05)
    roll: float = 0.03
    close_ups: float = 0.1
    wall_patterns: tuple[str, ...] = ("plain", "plain", "stripes", "bricks")
    floor_patterns: tuple[str, ...] = ("wood", "wood", "tiles", "checks", "noise")


TRAINING = Variety(stream=1)
PROBES = Variety(
    stream=2,
    fov_degrees=(35, 110),
    objects=(3, 14),
    lights=(1, 3),
    side=(2.4, 9),
    ambient=(0.12, 0.6),
    exposure=(0.35, 0.95),
    pitch=(-0.6, 0.2),
    roll=0.1,
    close_ups=0.3,
    wall_patterns=("plain", "stripes", "bricks", "noise", "dots", "checks", "marble", "wood"),
    floor_patterns=("wood", "tiles", "checks", "noise", "marble", "bricks", "stripes", "plain"),
)


def compose(seed: int, variety: Variety = TRAINING) -> World:
    """Return the world number `seed` of a variety; the same numbers give the same world."""
    rng = np.random.default_rng([variety.stream, seed])
    width, depth = rng.uniform(*variety.side, size=2)
    room = (float(width), float(depth), float(rng.uniform(2.3, 3.3)))
    camera = _look_across(rng, variety, room)
    things = _furnish(rng, variety, room, camera)
    if rng.random() < variety.close_ups:
        camera = _look_closely(rng, room, things, camera)
    warm = float(rng.uniform(-0.12, 0.12))
    return World(
        room=room,
        things=(*_surfaces(rng, variety, room), *things),
        camera=camera,
        lights=_lights(rng, variety, room, things),
        ambient=float(rng.uniform(*variety.ambient)),
        exposure=float(rng.uniform(*variety.exposure)),
        tint=(1 + warm, 1.0, 1 - warm),
    )


def aim(position: npt.ArrayLike, target: npt.ArrayLike, roll: float, fov: float) -> Camera:
    """Return a camera at `position` that looks at `target`, turned by `roll` about that line."""
    start = np.asarray(position, dtype=float)
    forward = np.asarray(target, dtype=float) - start
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    turned = np.cos(roll) * right + np.sin(roll) * down
    axes = np.stack([turned, np.cross(forward, turned), forward], axis=1)
    return Camera((float(start[0]), float(start[1]), float(start[2])), axes, fov)


def room_surfaces(room: Point, looks: Sequence[Texture]) -> tuple[Thing, ...]:
    """Return floor, ceiling and four walls (y = 0, y = depth, x = 0, x = width) as thick slabs."""
    names = ("floor", "ceiling", "wall", "wall", "wall", "wall")
    things = []
    for number, (name, look) in enumerate(zip(names, looks, strict=True)):
        axis, far = 2 - number // 2, number % 2
        centre = [side / 2 for side in room]
        half = [side / 2 + 2 * SLAB for side in room]
        centre[axis], half[axis] = (room[axis] + SLAB if far else -SLAB), SLAB
        part = Part(
            "box", (centre[0], centre[1], centre[2]), (half[0], half[1], half[2]), texture=look
        )
        things.append(Thing(name, (part,)))
    return tuple(things)


def _surfaces(rng: np.random.Generator, variety: Variety, room: Point) -> tuple[Thing, ...]:
    tone = colour(rng, saturation=(0, 0.35), value=(0.65, 0.95))
    paper = texture(rng, str(rng.choice(variety.wall_patterns)), tone, rng.uniform(0.25, 0.8))
    pattern = str(rng.choice(variety.floor_patterns))
    hue = (0.05, 0.12) if pattern == "wood" else (0.0, 1.0)
    ground = colour(rng, hue, (0.1, 0.6), (0.35, 0.85))
    floor = texture(rng, pattern, ground, rng.uniform(0.4, 0.9))
    white = Texture((0.95, 0.95, 0.93), (0.88, 0.88, 0.88))
    return room_surfaces(room, [floor, white, paper, paper, paper, paper])


def _look_across(rng: np.random.Generator, variety: Variety, room: Point) -> Camera:
    """Return a camera near one side of the room that looks roughly at the other."""
    angle = rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(angle), np.sin(angle)])
    half = np.array(room[:2]) / 2
    place = half + out * (half - 0.35) * rng.uniform(0.6, 1)
    yaw = angle + np.pi + rng.normal(0, 0.3)
    pitch = rng.uniform(*variety.pitch)
    height = rng.uniform(0.9, min(1.9, room[2] - 0.4))
    ahead = [np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)]
    position = np.array([place[0], place[1], height])
    fov = np.radians(rng.uniform(*variety.fov_degrees))
    return aim(position, position + np.array(ahead), rng.normal(0, variety.roll), float(fov))


def _look_closely(
    rng: np.random.Generator, room: Point, things: Sequence[Thing], camera: Camera
) -> Camera:
    """Return the camera moved up to one of the objects; it stays where that is impossible."""
    if not things:
        return camera
    thing = things[int(rng.integers(len(things)))]
    middle = np.mean([part.centre for part in thing.parts], axis=0)
    away = np.array(camera.position) - middle
    distance = _reach(thing.parts) + rng.uniform(0.5, 0.9)
    if distance > 0.9 * np.linalg.norm(away):
        return camera
    position = middle + away / np.linalg.norm(away) * distance
    position = np.clip(position, 0.3, np.array(room) - 0.3)
    crowd = [other for other in things if other is not thing]
    if any(_gap(other, position) < 0.25 for other in crowd):
        return camera
    return aim(position, middle, 0.0, camera.fov)


def _furnish(
    rng: np.random.Generator, variety: Variety, room: Point, camera: Camera
) -> tuple[Thing, ...]:
    """Return objects that overlap neither each other nor the camera; crowded ones are dropped."""
    things: list[Thing] = []
    names = list(KINDS)
    for _ in range(int(rng.integers(variety.objects[0], variety.objects[1] + 1))):
        name = names[rng.integers(len(names))]
        parts = KINDS[name].recipe(rng)
        for _attempt in range(6):
            x, y, yaw = _spot(rng, parts, KINDS[name].place, room, camera)
            thing = Thing(name, tuple(placed(parts, x, y, 0, yaw)))
            near = [other for other in things if _compete(thing, other)]
            free = all(_gap(other, np.array([x, y])) > _reach(parts) for other in near)
            if free and _gap(thing, np.array(camera.position)) > 0.3:
                things.append(thing)
                break
    return tuple(things)


def _spot(
    rng: np.random.Generator, parts: Sequence[Part], place: str, room: Point, camera: Camera
) -> tuple[float, float, float]:
    """Return x, y and yaw of a random spot: along a wall, or free on the floor, mostly in view."""
    reach = min(_reach(parts), 0.45 * min(room[:2]))
    if place != "floor":
        wall = int(rng.integers(4))
        back = max(part.centre[1] + part.half[1] for part in parts) if place == "back" else 0.0
        along = rng.uniform(reach, room[wall // 2] - reach)
        across = (room[1 - wall // 2] - back, back)[wall % 2]
        x, y = (along, across) if wall < 2 else (across, along)
        return float(x), float(y), SIDES[wall]
    low, high = np.array([reach, reach]), np.array(room[:2]) - reach
    spot = rng.uniform(low, high)
    if rng.random() < 0.7:
        forward = camera.axes[:2, 2] / np.linalg.norm(camera.axes[:2, 2])
        ahead, aside = rng.uniform(1.2, 4), rng.uniform(-0.45, 0.45)
        beside = np.array([forward[1], -forward[0]])
        spot = np.array(camera.position[:2]) + ahead * (forward + aside * beside)
        spot = np.clip(spot, low, high)
    return float(spot[0]), float(spot[1]), float(rng.uniform(0, 2 * np.pi))


def _lights(
    rng: np.random.Generator, variety: Variety, room: Point, things: Sequence[Thing]
) -> tuple[Light, ...]:
    """Return lights below the ceiling, and one inside every lamp's shade."""
    lights = []
    for _ in range(int(rng.integers(variety.lights[0], variety.lights[1] + 1))):
        x, y = rng.uniform(0.15, 0.85, size=2) * np.array(room[:2])
        height = float(rng.uniform(0.75, 0.95)) * room[2]
        lights.append(Light((float(x), float(y), height), float(rng.uniform(1.5, 4))))
    shades = [part for thing in things if thing.name == "lamp" for part in thing.parts if part.glow]
    return (*lights, *(Light(shade.centre, 0.6) for shade in shades))


def _compete(first: Thing, second: Thing) -> bool:
    """Return whether two things could stand in each other: both upright, or both on a wall."""
    if "rug" in (first.name, second.name):
        return first.name == second.name
    return (KINDS[first.name].place == "wall") == (KINDS[second.name].place == "wall")


def _reach(parts: Sequence[Part]) -> float:
    """Return the radius of the upright cylinder around the origin that holds an unplaced object.

    For an object in its place, the same about its own middle.
    """
    middle = np.mean([part.centre[:2] for part in parts], axis=0)
    spans = [np.hypot(*(np.array(p.centre[:2]) - middle)) + max(p.half[:2]) for p in parts]
    return float(max(spans))


def _gap(thing: Thing, spot: Array) -> float:
    """Return how far a place on the floor is from the circle around a thing's footprint."""
    middle = np.mean([part.centre[:2] for part in thing.parts], axis=0)
    return float(np.hypot(*(spot[:2] - middle)) - _reach(thing.parts))
