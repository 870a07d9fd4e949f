"""The sample tasks: shapes and ranges of their targets, and those whose values are known."""

import numpy as np
import pytest

from samples.scenes import render
from samples.tasks import TASKS, add_noise, task
from samples.zoo import PROBES_FROM, RECIPE, ZOO


@pytest.fixture(scope="module")
def scene():
    return render(21, 32)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_targets_have_the_declared_form(name, scene):
    chosen = TASKS[name]
    target = chosen.target(scene)
    assert np.isfinite(target).all()
    if chosen.kind == "dense":
        assert target.shape == (32, 32, chosen.channels)
        assert target.dtype == np.float32
        assert np.abs(target).max() <= 4
    else:
        assert target.shape == ((32, 32) if chosen.kind == "segment" else ())
        assert 0 <= target.min() <= target.max() < chosen.channels
    assert chosen.loss == ("l1" if chosen.kind == "dense" else "cross-entropy")


def test_edges_are_zero_on_a_flat_picture_and_one_on_a_step(scene):
    import dataclasses

    image = np.zeros((8, 8, 3), np.float32)
    flat = dataclasses.replace(scene, image=image)
    assert TASKS["edge2d"].target(flat).max() == 0
    image = image.copy()
    image[:, 4:] = 1
    step = TASKS["edge2d"].target(dataclasses.replace(scene, image=image))[..., 0]
    np.testing.assert_allclose(step[:, 3:5], 1, atol=1e-6)
    assert step[:, :3].max() == step[:, 5:].max() == 0


def test_depth_is_the_logarithm_of_metres(scene):
    target = TASKS["rgb2depth"].target(scene)
    np.testing.assert_allclose(np.expm1(target[..., 0]), scene.depth, rtol=1e-5)


def test_largest_object_is_counted_by_visible_pixels():
    for seed in range(6):
        scene = render(seed, 32, supersample=1)
        first = len(scene.world.things) - len(scene.world.objects)
        counts = np.bincount(scene.objects.ravel(), minlength=first)[first:]
        answer = int(TASKS["class_object"].target(scene))
        if counts.size and counts.max():
            assert answer == scene.world.things[first + counts.argmax()].class_id
        else:
            assert answer == 2


def test_noise_is_seeded_and_stays_in_range():
    images = np.full((2, 8, 8, 3), 0.5, np.float32)
    first, again = (add_noise(images, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert 0 <= first.min() < 0.5 < first.max() <= 1
    assert first.dtype == np.float32


def test_a_name_cannot_be_registered_twice():
    with pytest.raises(ValueError, match="rgb2depth"):
        task("rgb2depth", "dense", 1)(lambda scene: scene.depth)


def test_zoo_entries_are_distinct_and_know_their_tasks():
    assert len({entry.name for entry in ZOO}) == len({entry.seed for entry in ZOO}) == len(ZOO)
    assert {entry.task for entry in ZOO} <= set(TASKS)


def test_training_validation_and_probe_scenes_are_apart():
    assert RECIPE.scenes <= RECIPE.validation_from
    assert RECIPE.validation_from + RECIPE.validation <= PROBES_FROM
