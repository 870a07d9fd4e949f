"""The twenty targets of the miniature: their form, and values that are known by geometry."""

import dataclasses

import numpy as np
import pytest

from samples.casting import Part
from samples.miniature.inputs import grey, hide
from samples.miniature.segments import colour_steps, layout, segment, surface_steps
from samples.miniature.surfaces import corners, curvatures, folds
from samples.miniature.tasks import PLACES, TASKS, focal, task
from samples.miniature.zoo import TASK_NAMES
from samples.scenes import draw, pixel_rays, render
from samples.tasks import LUMA
from samples.textures import Texture
from samples.worlds import Light, Thing, World, aim, room_surfaces

SIZE = 65  # odd, so that one pixel's centre is on the optical axis
MIDDLE = SIZE // 2
GREY = Texture((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RANGES = {
    "autoencoder": (0, 1),
    "colorization": (-1, 1),
    "curvature": (-1, 1),
    "denoise": (0, 1),
    "edge2d": (0, 2),
    "edge3d": (0, 1),
    "inpainting_whole": (0, 1),
    "keypoint2d": (0, 8),
    "keypoint3d": (0, 16),
    "reshade": (0, 1.5),
    "rgb2depth": (0, 3),
    "rgb2mist": (0, 3),
    "rgb2sfnorm": (-1, 1),
    "room_layout": (-np.pi / 2, 3),
    "segment25d": (-1, 1),
    "segment2d": (-1, 1),
    "vanishing_point": (-1, 1),
}


def room(looking_at, floor="wood", walls="bricks"):
    """A room 4 × 6 × 3 m, seen from 1 m in front of the wall y = 0, 1.5 m above the floor."""
    look, paper = (dataclasses.replace(GREY, pattern=name) for name in (floor, walls))
    surfaces = room_surfaces((4, 6, 3), [look, GREY, *[paper] * 4])
    camera = aim((2, 1, 1.5), looking_at, roll=0, fov=np.radians(60))
    return World((4, 6, 3), surfaces, camera, (Light((2, 3, 2.5), 2),))


@pytest.fixture(scope="module")
def scene():
    return render(21, 64)


@pytest.fixture(scope="module")
def empty():
    return draw(room((2, 6, 1.5)), SIZE, supersample=1)


def test_there_are_the_twenty_tasks():
    assert len(TASK_NAMES) == 20
    assert sorted(TASKS) == list(TASK_NAMES)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_targets_have_the_declared_form(name, scene):
    chosen = TASKS[name]
    target = np.asarray(chosen.target(scene))
    form = {"dense": (64, 64, chosen.channels), "segment": (64, 64), "vector": (chosen.channels,)}
    assert target.shape == form.get(chosen.kind, ())
    if chosen.classifies:
        assert target.dtype.kind == "i"
        assert 0 <= target.min() <= target.max() < chosen.channels
    else:
        low, high = RANGES[name]
        assert target.dtype == np.float32
        assert low <= target.min() <= target.max() <= high
        assert target.std() > 0.01


@pytest.mark.parametrize("name", TASK_NAMES)
def test_targets_are_the_same_again(name, scene):
    np.testing.assert_array_equal(TASKS[name].target(scene), TASKS[name].target(render(21, 64)))


def test_a_name_cannot_be_registered_twice():
    with pytest.raises(ValueError, match="rgb2mist"):
        task("rgb2mist", "dense", 1)(lambda scene: scene.depth)


def test_colour_and_luminance_make_the_picture_again(scene):
    chroma = TASKS["colorization"].target(scene)
    luminance = scene.image @ LUMA
    np.testing.assert_allclose(chroma + luminance[..., None], scene.image[..., [0, 2]], atol=1e-6)


def test_distance_is_that_along_the_ray(empty):
    rays = pixel_rays(empty.world, SIZE).T.reshape(SIZE, SIZE, 3)
    expected = np.log1p(np.linalg.norm(rays * empty.depth[..., None], axis=-1))
    target = TASKS["rgb2mist"].target(empty)[..., 0]
    np.testing.assert_allclose(target, expected, rtol=1e-5)
    assert target[MIDDLE, MIDDLE] == pytest.approx(np.log(6), rel=1e-5)


def test_occlusion_edges_are_where_something_stands_before_the_wall(empty):
    # The room's creases alone are faint, on planes there is nothing.
    assert folds(empty.depth.astype(float)).max() < 0.2
    steep = 1 / (0.2 + 0.002 * np.arange(40.0)[:, None] + 0.001 * np.arange(30.0))
    assert folds(steep).max() < 1e-10
    step = np.full((9, 9), 4.0)
    step[:, 5:] = 2.0
    np.testing.assert_allclose(folds(step)[4], [0, 0, 0, 0, 1, 0.5, 0, 0, 0])


def test_corners_are_neither_flat_parts_nor_straight_edges():
    values = np.zeros((21, 21, 1))
    values[:, 10:] = 1
    assert corners(values).max() == 0
    values[:10] = 0
    strength = corners(values)
    row, column = np.unravel_index(strength.argmax(), strength.shape)
    assert {row, column} <= {9, 10}
    assert strength[3, 3] == strength[20, 9] == 0


def test_a_ball_is_curved_by_one_over_its_radius():
    world = room((2, 6, 1.5))
    ball = Part("sphere", (2, 3, 1.5), (0.5,) * 3, GREY)
    scene = draw(dataclasses.replace(world, things=(*world.things, Thing("ball", (ball,)))), SIZE)
    target = TASKS["curvature"].target(scene)
    np.testing.assert_allclose(target[MIDDLE, MIDDLE], 0.2 / 1.2, rtol=0.01)  # k = 2, r = 0.1
    wall = scene.objects == 3
    inner = wall & np.roll(wall, 1, 0) & np.roll(wall, -1, 0) & np.roll(wall, 1, 1)
    inner &= np.roll(wall, -1, 1)
    assert np.abs(target[inner]).max() < 1e-6


def test_hollow_corners_are_curved_the_other_way(empty):
    target = TASKS["curvature"].target(empty)
    column = target[:, MIDDLE]
    crease = np.flatnonzero(np.diff(empty.objects[:, MIDDLE]))
    assert (column[crease, 1] < -0.2).all()
    np.testing.assert_allclose(column[crease, 0], 0, atol=1e-6)


def test_curvature_of_a_cylinder_is_along_one_axis():
    # Seen from afar: normals turn with x only, depth nearly constant.
    x = (np.arange(41) - 20) * 0.01
    normals = np.stack([x / 0.5, 0 * x, -np.sqrt(1 - (x / 0.5) ** 2)], axis=-1)
    both = curvatures(np.tile(normals, (41, 1, 1)), np.full((41, 41), 10.0), focal=1000.0)
    np.testing.assert_allclose(both[20, 1:-1], [[0.2 / 1.2, 0]] * 39, atol=1e-9)


def test_segments_of_two_colours_and_their_places():
    image = np.zeros((8, 8, 3))
    image[:, 4:] = 1
    image[0, 0] = 0.9  # too small to be one of its own
    segments = segment(colour_steps(image), scale=0.5, smallest=4)
    np.testing.assert_array_equal(segments, np.repeat([[0] * 4 + [1] * 4], 8, axis=0))
    places = layout(segments)
    np.testing.assert_allclose(places[2, 1], [-0.5, 0, np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_allclose(places[5, 6], [0.5, 0, np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_array_equal(places, layout(1 - segments))


def test_segments_grow_only_over_edges_lighter_than_both_allow():
    # Pixels 0, .1, .5: the first pair joins at .1 ≤ .2; then min(.1 + .2 / 2, .2) = .2 < .4.
    steps = (np.array([[0.1, 0.4]]), np.zeros((0, 3)))
    np.testing.assert_array_equal(segment(steps, scale=0.2, smallest=1), [[0, 0, 1]])
    np.testing.assert_array_equal(segment(steps, scale=0.5, smallest=1), [[0, 0, 1]])
    np.testing.assert_array_equal(segment(steps, scale=0.7, smallest=1), [[0, 0, 0]])


def test_a_steep_plane_is_one_surface(empty):
    steps = np.arange(SIZE) - MIDDLE
    y, x = np.meshgrid(steps / focal(empty), steps / focal(empty), indexing="ij")
    points = empty.depth[..., None] * np.stack([x, y, np.ones_like(x)], axis=-1)
    across, _ = surface_steps(empty.normals.astype(float), points)
    floor = empty.objects == 0
    assert across[floor[:, 1:] & floor[:, :-1]].max() < 1e-4
    # Floor, ceiling, far wall and two side walls, each in one piece.
    assert len(np.unique(TASKS["segment25d"].target(empty).reshape(-1, 3), axis=0)) == 5


@pytest.mark.parametrize(
    ("looking_at", "distances", "yaw"),
    [
        ((2, 6, 1.5), (5, 1, 2, 2), 0),
        ((4, 1, 1.5), (2, 2, 5, 1), 0),
        ((2, 0, 1.5), (1, 5, 2, 2), 0),
        ((1, 1, 1.5), (2, 2, 1, 5), 0),
        ((2 - np.tan(0.2), 2, 1.5), (5, 1, 2, 2), 0.2),
    ],
)
def test_room_layout_is_the_distance_to_each_side(looking_at, distances, yaw):
    target = TASKS["room_layout"].target(draw(room(looking_at), 8, supersample=1))
    np.testing.assert_allclose(np.expm1(target[:6]), (*distances, 1.5, 1.5), rtol=1e-5)
    np.testing.assert_allclose(target[6:], [yaw, 0, 0], atol=1e-6)


def test_room_layout_knows_pitch_and_roll():
    world = room((2, 2, 1.5 + np.tan(0.3)))
    target = TASKS["room_layout"].target(draw(world, 8, supersample=1))
    np.testing.assert_allclose(target[6:], [0, 0.3, 0], atol=1e-6)
    rolled = dataclasses.replace(world, camera=aim((2, 1, 1.5), (2, 2, 1.5), 0.1, 1.0))
    right = rolled.camera.axes[:, 0]
    target = TASKS["room_layout"].target(draw(rolled, 8, supersample=1))
    assert target[8] == pytest.approx(np.arcsin(right[2]), abs=1e-6)
    assert abs(target[8]) == pytest.approx(0.1, abs=1e-6)


def test_vanishing_points_are_the_rooms_axes_in_the_cameras_frame(empty):
    target = TASKS["vanishing_point"].target(empty).reshape(3, 3)
    np.testing.assert_allclose(target, [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-6)
    turned = draw(room((2 - np.tan(0.2), 2, 1.5)), 8, supersample=1)
    target = TASKS["vanishing_point"].target(turned).reshape(3, 3)
    np.testing.assert_allclose(target[0], [np.sin(0.2), 0, np.cos(0.2)], atol=1e-6)
    np.testing.assert_allclose(target @ target.T, np.eye(3), atol=1e-6)


def test_a_place_is_its_walls_and_floor():
    for wall, floor in PLACES:
        scene = draw(room((2, 6, 1.5), floor, wall), 4, supersample=1)
        assert PLACES[int(TASKS["class_places"].target(scene))] == (wall, floor)


def test_grey_keeps_the_luminance(scene):
    inputs = grey(scene.image[None], np.random.default_rng(0))
    np.testing.assert_allclose(inputs[0] @ LUMA, scene.image @ LUMA, atol=1e-6)
    assert np.ptp(inputs, axis=-1).max() == 0


def test_the_hidden_square_is_grey_and_the_rest_untouched():
    images = np.random.default_rng(1).random((5, 64, 64, 3), dtype=np.float32)
    first, again = (hide(images, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    changed = (first != images).any(axis=-1)
    np.testing.assert_array_equal(changed.sum(axis=(1, 2)), 24 * 24)
    assert (first[changed] == 0.5).all()
    assert len({tuple(np.argwhere(one)[0]) for one in changed}) == 5
