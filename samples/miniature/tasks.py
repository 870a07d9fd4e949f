"""The twenty tasks: what is asked about a scene, by a formula; needs numpy only.

Eight are those of the samples. Names are Taskonomy's where they match; `class_object` stands for
ImageNet's classes there, and `class_places` for the kind of place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from samples import tasks as samples
from samples.miniature.inputs import grey, hide
from samples.miniature.segments import colour_steps, layout, segment, surface_steps
from samples.miniature.surfaces import blur, corners, curvatures, folds
from samples.scenes import Scene
from samples.tasks import LUMA, Noise, Target
from samples.worlds import TRAINING

Float32 = npt.NDArray[np.float32]
Kind: TypeAlias = Literal["dense", "segment", "vector", "label"]

PLACES = tuple(
    (wall, floor)
    for wall in sorted(set(TRAINING.wall_patterns))
    for floor in sorted(set(TRAINING.floor_patterns))
)
"""The kinds of places: which pattern is on the walls, and which on the floor."""


@dataclass(frozen=True)
class Task:
    """One thing to learn from a picture.

    Attributes:
        name: Taskonomy's name where there is one.
        target: Scene to float32 [height, width, channels] (dense), int [height, width] (segment),
            float32 [channels] (vector) or an int (label).
        kind: The shape of the answer; it decides the decoder, the readout and the loss, which is
            the mean squared error, or cross-entropy for segment and label. (The absolute error is
            least for zero where most of a target is zero: networks of edges would learn nothing.)
        channels: Output channels, numbers, or classes.
        spoil: What is done to the input, in training and wherever the task is a target.
    """

    name: str
    target: Target
    kind: Kind
    channels: int
    spoil: Noise | None = None

    @property
    def classifies(self) -> bool:
        """Whether the answer is a class (and the loss cross-entropy)."""
        return self.kind in ("segment", "label")


TASKS: dict[str, Task] = {
    name: Task(name, task.target, task.kind, task.channels, task.noise)
    for name, task in samples.TASKS.items()
}


def task(
    name: str, kind: Kind, channels: int, spoil: Noise | None = None
) -> Callable[[Target], Target]:
    """Register the decorated target function as the task called `name`."""

    def register(target: Target) -> Target:
        if name in TASKS:
            raise ValueError(f"the task `{name}` is registered twice")
        TASKS[name] = Task(name, target, kind, channels, spoil)
        return target

    return register


@task("colorization", "dense", 2, spoil=grey)
def _colorization(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the colour that grey leaves out: (R - Y, B - Y) with Y the luminance."""
    return scene.image[..., [0, 2]] - (scene.image @ LUMA)[..., None]


@task("inpainting_whole", "dense", 3, spoil=hide)
def _inpainting_whole(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the whole picture, hidden square included."""
    return scene.image


@task("edge3d", "dense", 1)
def _edge3d(scene: Scene) -> npt.NDArray[np.generic]:
    """Return where one surface hides another (`folds` of the depth), blurred by a 5×5 binomial."""
    return _float32(blur(folds(scene.depth.astype(np.float64))))[..., None]


@task("keypoint2d", "dense", 1)
def _keypoint2d(scene: Scene) -> npt.NDArray[np.generic]:
    """Return 8 times the strength of corners in the luminance."""
    return _float32(8 * corners((scene.image @ LUMA)[..., None].astype(np.float64)))[..., None]


@task("keypoint3d", "dense", 1)
def _keypoint3d(scene: Scene) -> npt.NDArray[np.generic]:
    """Return 8 times the strength of corners in normals and log depth, whatever is painted.

    Both are known at pixel centres only, and are blurred first, or slanting edges would be dotted.
    """
    geometry = np.concatenate([scene.normals, np.log(scene.depth)[..., None]], axis=-1)
    return _float32(8 * corners(blur(geometry.astype(np.float64))))[..., None]


@task("curvature", "dense", 2)
def _curvature(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the squashed principal curvatures, as `curvatures` defines them."""
    normals, depth = scene.normals.astype(np.float64), scene.depth.astype(np.float64)
    return _float32(curvatures(normals, depth, focal(scene)))


@task("rgb2mist", "dense", 1)
def _rgb2mist(scene: Scene) -> npt.NDArray[np.generic]:
    """Return log(1 + metres from the eye), along the ray and not along the axis."""
    length = np.linalg.norm(_rays(scene), axis=-1)
    return _float32(np.log1p(scene.depth * length))[..., None]


@task("segment2d", "dense", 3)
def _segment2d(scene: Scene) -> npt.NDArray[np.generic]:
    """Return middle and size of each pixel's segment of like colour (slightly blurred)."""
    steps = colour_steps(blur(scene.image.astype(np.float64)))
    return layout(segment(steps, scale=0.5, smallest=20))


@task("segment25d", "dense", 3)
def _segment25d(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the same for segments that are smooth surfaces, whatever is painted on them."""
    points = scene.depth[..., None] * _rays(scene)
    steps = surface_steps(scene.normals.astype(np.float64), points)
    return layout(segment(steps, scale=0.5, smallest=20))


@task("room_layout", "vector", 9)
def _room_layout(scene: Scene) -> npt.NDArray[np.generic]:
    """Return where the room's six sides are, and how the camera is turned in it.

    log(1 + metres) to the wall ahead (the one whose direction is nearest to that of the camera), to
    those behind, left and right, to floor and ceiling; then the camera's yaw from the wall ahead
    (positive: turned left), its pitch (positive: up) and roll, in radians.
    """
    world = scene.world
    quarter, yaw = _facing(scene)
    place, room = np.array(world.camera.position), np.array(world.room)
    distances = []
    for turn in (0, 2, 1, 3):
        way = np.round([np.cos((quarter + turn) * np.pi / 2), np.sin((quarter + turn) * np.pi / 2)])
        distances.append(np.maximum(way, 0) @ (room - place)[:2] + np.maximum(-way, 0) @ place[:2])
    distances += [place[2], room[2] - place[2]]
    right, _, forward = world.camera.axes.T
    angles = [yaw, np.arcsin(forward[2]), np.arcsin(right[2])]
    return _float32(np.array([*np.log1p(distances), *angles]))


@task("vanishing_point", "vector", 9)
def _vanishing_point(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the directions ahead, left and up of the room, as unit vectors in the camera's frame.

    Lines along each of them meet at its vanishing point (x / z, y / z). Ahead is the wall whose
    direction is nearest to that of the camera.
    """
    angle = _facing(scene)[0] * np.pi / 2
    ahead = np.array([np.cos(angle), np.sin(angle), 0])
    left = np.array([-np.sin(angle), np.cos(angle), 0])
    directions = np.stack([ahead, left, [0, 0, 1]])
    return _float32(directions @ scene.world.camera.axes).ravel()


@task("class_places", "label", len(PLACES))
def _class_places(scene: Scene) -> npt.NDArray[np.generic]:
    """Return the kind of place, by the patterns of walls and floor."""
    floor, _, wall, *_ = (thing.parts[0].texture.pattern for thing in scene.world.things)
    return np.array(PLACES.index((wall, floor)))


def focal(scene: Scene) -> float:
    """Return the focal length in pixels."""
    return float(0.5 * scene.depth.shape[0] / np.tan(scene.world.camera.fov / 2))


def _rays(scene: Scene) -> npt.NDArray[np.float64]:
    """Return each pixel's ray in the camera's frame, of unit length along the axis."""
    size = scene.depth.shape[0]
    steps = (np.arange(size) + 0.5 - size / 2) / focal(scene)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def _facing(scene: Scene) -> tuple[int, float]:
    """Return the wall that is faced, in quarter turns from the x axis, and the rest of the yaw."""
    forward = scene.world.camera.axes[:, 2]
    yaw = float(np.arctan2(forward[1], forward[0]))
    quarter = round(yaw / (np.pi / 2))
    return quarter, yaw - quarter * np.pi / 2


def _float32(values: npt.NDArray[np.floating]) -> Float32:
    return values.astype(np.float32)
