"""Pictures of random rooms with their exact geometry: what the sample tasks are learnt from.

One call gives one scene; the same seed, size and variety give the same arrays. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samples.casting import Hits, Part, blocked, cast
from samples.textures import Array
from samples.worlds import TRAINING, Light, Variety, World, compose

Float32 = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
GAMMA = 1 / 2.2
CORNER_REACH = 0.35
"""Metres over which ambient light fades towards the room's edges, where it is partly hidden."""


@dataclass(frozen=True)
class Scene:
    """A picture and everything that is known about it, sampled at the pixel centres.

    Attributes:
        image: float32 [height, width, 3], display values in 0..1.
        depth: float32 [height, width], metres along the optical axis (not along the ray).
        normals: float32 [height, width, 3], unit, camera frame (x right, y down, z forward).
        objects: int [height, width], index of the visible thing in `world.things`.
        classes: int [height, width], index of its class in `class_names()`.
        albedo: float32 [height, width, 3], linear reflectance, averaged over the pixel.
        shading: float32 [height, width], light received, averaged over the pixel, exposed so that
            image = clip(albedo · shading · tint) ** GAMMA where a pixel holds one surface.
        world: room, camera, lights and things that were drawn.
    """

    image: Float32
    depth: Float32
    normals: Float32
    objects: Ids
    classes: Ids
    albedo: Float32
    shading: Float32
    world: World


def render(
    seed: int, size: int = 64, *, variety: Variety = TRAINING, supersample: int = 2
) -> Scene:
    """Return scene number `seed` of a variety at `size` × `size` pixels.

    Example:
        >>> render(3, 16).image.shape
        (16, 16, 3)
    """
    return draw(compose(seed, variety), size, supersample=supersample)


def draw(world: World, size: int, *, supersample: int = 2) -> Scene:
    """Return the picture of a given world, with `supersample`² rays a pixel for the colours."""
    parts = [part for thing in world.things for part in thing.parts]
    owner = np.array([n for n, thing in enumerate(world.things) for _ in thing.parts])
    class_of = np.array([thing.class_id for thing in world.things])
    origin = np.array(world.camera.position)
    centre = cast(parts, origin, pixel_rays(world, size))
    objects = owner[centre.part]
    colours, albedo, shading = _look(world, parts, size, supersample)
    exposure = world.exposure / max(float(np.quantile(colours.mean(axis=0), 0.95)), 1e-6)
    tinted = colours * exposure * np.array(world.tint)[:, None]

    def grid(values: Array) -> Float32:
        return np.moveaxis(values.reshape(-1, size, size), 0, -1).astype(np.float32)

    return Scene(
        image=grid(np.clip(tinted, 0, 1) ** GAMMA),
        depth=grid(centre.t)[..., 0],
        normals=grid(world.camera.axes.T @ centre.normals),
        objects=objects.reshape(size, size),
        classes=class_of[objects].reshape(size, size),
        albedo=grid(albedo),
        shading=grid(shading * exposure)[..., 0],
        world=world,
    )


def pixel_rays(world: World, size: int, shift: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Return one ray a pixel, float [3, size·size], row by row, of unit length along the axis.

    Args:
        world: Holds the camera.
        size: Pixels a side.
        shift: Where in the pixel the ray passes, in pixels from its centre (right, down).
    """
    focal = 0.5 * size / np.tan(world.camera.fov / 2)
    steps = np.arange(size) + 0.5 - size / 2
    y, x = np.meshgrid((steps + shift[1]) / focal, (steps + shift[0]) / focal, indexing="ij")
    rays = np.stack([x.ravel(), y.ravel(), np.ones(size * size)])
    return np.asarray(world.camera.axes @ rays)


def _look(
    world: World, parts: Sequence[Part], size: int, supersample: int
) -> tuple[Array, Array, Array]:
    """Return linear colours [3, pixel], albedo [3, pixel] and shading [1, pixel], averaged.

    Every sub-sample sees the lights from another of their points, which softens the shadows at no
    further cost.
    """
    origin = np.array(world.camera.position)
    offsets = (np.arange(supersample) + 0.5) / supersample - 0.5
    count = supersample**2
    sums = [np.zeros((channels, size * size)) for channels in (3, 3, 1)]
    for number in range(count):
        shift = (float(offsets[number % supersample]), float(offsets[number // supersample]))
        rays = pixel_rays(world, size, shift)
        hits = cast(parts, origin, rays)
        points = origin[:, None] + hits.t * rays
        light = _shade(world, parts, hits, points, number / count)
        for total, part in zip(sums, (hits.albedo * light, hits.albedo, light), strict=True):
            total += part / count
    return sums[0], sums[1], sums[2]


def _shade(world: World, parts: Sequence[Part], hits: Hits, points: Array, turn: float) -> Array:
    """Return the light on each point, [1, point]: ambient, every lamp's share, and own glow."""
    room = np.array(world.room)[:, None]
    edge = np.minimum(points, room - points)
    open_air = np.prod(1 - 0.3 * np.exp(-np.maximum(edge, 0) / CORNER_REACH), axis=0)
    total = world.ambient * open_air / 0.7 * (0.8 + 0.2 * hits.normals[2])
    blockers = [part for thing in world.objects for part in thing.parts]
    lifted = points + 1e-3 * hits.normals  # so that a surface does not shadow itself
    for light in world.lights:
        lamp = _light_point(light, turn)
        ray = lifted - lamp[:, None]
        square = (ray * ray).sum(axis=0)
        cosine = np.maximum(-(ray * hits.normals).sum(axis=0), 0) / np.sqrt(square)
        lit = ~blocked(blockers, lamp, ray)
        total = total + light.power * cosine * lit / (1 + square)
    glow = np.array([part.glow for part in parts])[hits.part]
    return np.asarray(np.where(glow > 0, glow, total))[None]


def _light_point(light: Light, turn: float) -> Array:
    """Return one of the points of a light: `turn` of the way around it, on its equator."""
    angle = 2 * np.pi * turn
    return np.array(light.position) + light.radius * np.array([np.cos(angle), np.sin(angle), 0])
