"""The renderer against plain geometry: what the sample models are taught must be true."""

import dataclasses

import numpy as np
import pytest

from samples.casting import Part, cast
from samples.furniture import SURFACES, class_names
from samples.scenes import GAMMA, draw, pixel_rays, render
from samples.textures import PATTERNS, Texture, paint
from samples.worlds import PROBES, Light, Thing, World, aim, room_surfaces

GREY = Texture((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FOV = np.radians(60)
SIZE = 65  # odd, so that one pixel's centre is on the optical axis
MIDDLE = SIZE // 2


@pytest.fixture(scope="module")
def empty_room():
    """A grey room 4 × 6 × 3 m, seen from 1 m in front of one wall towards the opposite one."""
    camera = aim((2, 1, 1.5), (2, 6, 1.5), roll=0, fov=FOV)
    return World((4, 6, 3), room_surfaces((4, 6, 3), [GREY] * 6), camera, (Light((2, 3, 2.5), 2),))


def with_part(world, part):
    return dataclasses.replace(world, things=(*world.things, Thing("ball", (part,))))


def test_far_wall_has_one_depth_and_faces_the_camera(empty_room):
    scene = draw(empty_room, SIZE)
    wall = scene.objects == 3
    assert wall[MIDDLE, MIDDLE]
    np.testing.assert_allclose(scene.depth[wall], 5, rtol=1e-6)
    np.testing.assert_allclose(scene.normals[wall] - [0, 0, -1], 0, atol=1e-6)


def test_floor_depth_follows_the_pinhole(empty_room):
    scene = draw(empty_room, SIZE)
    rows = np.arange(SIZE)[scene.classes[:, MIDDLE] == SURFACES.index("floor")]
    below_axis = (rows - MIDDLE) / (0.5 * SIZE / np.tan(FOV / 2))
    np.testing.assert_allclose(scene.depth[rows, MIDDLE], 1.5 / below_axis, rtol=1e-5)
    np.testing.assert_allclose(scene.normals[rows, MIDDLE] - [0, -1, 0], 0, atol=1e-6)


def test_sphere_depth_and_normals_are_analytic(empty_room):
    centre, radius = np.array([0.3, -0.2, 3.0]), 0.7  # camera frame
    part = Part("sphere", (2.3, 4, 1.7), (radius,) * 3, GREY)
    scene = draw(with_part(empty_room, part), SIZE)
    mask = scene.objects == 6
    assert 100 < mask.sum() < SIZE * SIZE
    focal = 0.5 * SIZE / np.tan(FOV / 2)
    for row, column in np.argwhere(mask)[::37]:
        ray = np.array([(column - MIDDLE) / focal, (row - MIDDLE) / focal, 1])
        a, b, c = ray @ ray, ray @ centre, centre @ centre - radius**2
        depth = (b - np.sqrt(b * b - a * c)) / a
        assert scene.depth[row, column] == pytest.approx(depth, rel=1e-5)
        np.testing.assert_allclose(
            scene.normals[row, column], (depth * ray - centre) / radius, atol=1e-5
        )


@pytest.mark.parametrize("yaw", [0.0, 0.4, -1.1])
def test_turned_box_is_hit_where_its_front_is(yaw):
    box = Part("box", (0, 5, 0), (1, 0.5, 1), GREY, yaw=yaw)
    hits = cast([box], np.zeros(3), np.array([[0.0], [1.0], [0.0]]))
    assert hits.t[0] == pytest.approx(5 - 0.5 / np.cos(yaw)) or abs(np.tan(yaw)) > 1 / 0.5
    front = np.array([np.sin(yaw), -np.cos(yaw), 0])
    side = np.array([-np.cos(yaw), -np.sin(yaw), 0])
    nearest = min(np.linalg.norm(hits.normals[:, 0] - n) for n in (front, side, -side))
    assert nearest == pytest.approx(0, abs=1e-9)


def test_cylinder_has_a_round_side_and_flat_caps():
    cylinder = Part("cylinder", (0, 0, 0), (1, 1, 2), GREY)
    side = cast([cylinder], np.array([-5, 0.6, 0.3]), np.array([[1.0], [0], [0]]))
    assert side.t[0] == pytest.approx(5 - 0.8)
    np.testing.assert_allclose(side.normals[:, 0], [-0.8, 0.6, 0], atol=1e-12)
    cap = cast([cylinder], np.array([0.5, 0, 9]), np.array([[0.0], [0], [-1]]))
    assert cap.t[0] == pytest.approx(7)
    np.testing.assert_allclose(cap.normals[:, 0], [0, 0, 1], atol=1e-12)


def test_a_ray_that_meets_nothing_says_so():
    ball = Part("sphere", (0, 9, 0), (1, 1, 1), GREY)
    hits = cast([ball], np.zeros(3), np.array([[0.0], [-1.0], [0.0]]))
    assert hits.part[0] == -1
    assert np.isinf(hits.t[0])


@pytest.mark.parametrize("seed", range(4))
def test_normals_agree_with_differences_of_the_points(seed):
    scene = render(seed, 96, supersample=1)
    rays = pixel_rays(scene.world, 96).T.reshape(96, 96, 3) @ scene.world.camera.axes
    points = scene.depth[..., None] * rays
    right, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    measured = np.cross(down, right)
    measured /= np.linalg.norm(measured, axis=-1, keepdims=True)
    normals = scene.normals[1:-1, 1:-1]
    flat = np.ones((94, 94), dtype=bool)
    for shift in ((1, 0), (1, 2), (0, 1), (2, 1)):
        other = scene.normals[shift[0] : shift[0] + 94, shift[1] : shift[1] + 94]
        same_thing = scene.objects[shift[0] : shift[0] + 94, shift[1] : shift[1] + 94]
        flat &= np.allclose(other, normals, atol=1e-5) | (np.abs(other - normals).max(-1) < 1e-5)
        flat &= same_thing == scene.objects[1:-1, 1:-1]
    assert flat.mean() > 0.3
    cosine = (measured * normals).sum(-1)[flat]
    # A few pixels straddle two parallel faces of one object, such as a drawer and its cabinet.
    assert np.quantile(cosine, 0.03) > 0.999


@pytest.mark.parametrize("variety", ["training", "probes"])
@pytest.mark.parametrize("seed", [5, 6])
def test_arrays_are_consistent(variety, seed):
    scene = render(seed, 48) if variety == "training" else render(seed, 48, variety=PROBES)
    assert scene.image.shape == scene.normals.shape == scene.albedo.shape == (48, 48, 3)
    assert scene.image.dtype == scene.depth.dtype == scene.shading.dtype == np.float32
    assert 0 <= scene.image.min() <= scene.image.max() <= 1
    assert scene.depth.min() > 0
    assert np.isfinite(scene.shading).all()
    np.testing.assert_allclose(np.linalg.norm(scene.normals, axis=-1), 1, atol=1e-5)
    rays = pixel_rays(scene.world, 48).T.reshape(48, 48, 3) @ scene.world.camera.axes
    assert ((scene.normals * rays).sum(-1) < 1e-5).all(), "a surface is seen from behind"
    class_of = np.array([thing.class_id for thing in scene.world.things])
    np.testing.assert_array_equal(scene.classes, class_of[scene.objects])
    assert scene.classes.max() < len(class_names())


def test_image_is_albedo_times_shading(empty_room):
    scene = draw(empty_room, 32, supersample=1)
    expected = np.clip(scene.albedo * scene.shading[..., None], 0, 1) ** GAMMA
    np.testing.assert_allclose(scene.image, expected, atol=1e-5)


def test_the_same_seed_gives_the_same_scene_and_another_another():
    first, again, other = render(7, 32), render(7, 32), render(8, 32)
    for field in ("image", "depth", "normals", "objects", "classes", "albedo", "shading"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.image, render(7, 32, variety=PROBES).image)


def test_a_thing_between_light_and_floor_throws_a_shadow(empty_room):
    plate = Part("box", (2, 3, 1.2), (0.4, 0.4, 0.02), GREY)
    bare, shaded = draw(empty_room, 64), draw(with_part(empty_room, plate), 64)
    floor = (bare.objects == 0) & (shaded.objects == 0)
    ratio = shaded.shading[floor] / bare.shading[floor]
    assert ratio.min() < 0.6
    assert np.quantile(ratio, 0.9) > 0.8


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_patterns_blend_the_two_colours(name):
    rng = np.random.default_rng(0)
    albedo = paint(Texture((0, 0, 0), (1, 1, 1), name, 0.5, 3), *rng.uniform(-9, 9, (2, 500)))
    assert albedo.shape == (3, 500)
    assert 0 <= albedo.min() < albedo.max() <= 1
