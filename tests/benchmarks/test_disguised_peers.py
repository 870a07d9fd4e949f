"""The methods that ours is held against do what their papers say, in the plainest cases."""

import numpy as np
import pytest
import torch

from benchmarks.disguises import modeldiff, zest


@pytest.fixture
def images():
    return np.random.default_rng(1).random((3, 3, 64, 64)).astype(np.float32)


@pytest.mark.exporters  # They install scikit-learn.
def test_coefficients_are_those_of_a_weighted_ridge(images):
    from sklearn.linear_model import Ridge

    seen = zest.masks(0)

    def answers(batch):
        return np.stack([batch.mean((1, 2, 3)), (batch[:, 0] ** 2).mean((1, 2))], axis=1)

    found = zest.signature(answers, images, seen)
    assert found.shape == (3, 64, 2)
    # Ribeiro's: weights of the cosine distance to the whole image, ridge of 1, an intercept.
    cosines = seen.sum(1) / (np.sqrt((seen**2).sum(1)) * np.sqrt(64))
    weights = np.sqrt(np.exp(-((1 - cosines) ** 2) / 0.25**2))
    image = images[1]
    grey = image.reshape(3, 8, 8, 8, 8).mean((2, 4)).repeat(8, 1).repeat(8, 2)
    shown = seen.reshape(-1, 1, 8, 8).repeat(8, 2).repeat(8, 3)
    outputs = answers(np.where(shown > 0, image, grey))
    ridge = Ridge(alpha=1.0).fit(seen, outputs, sample_weight=weights)
    assert np.abs(found[1] - ridge.coef_.T).max() <= 1e-3 * np.abs(ridge.coef_).max()


def test_masks_begin_with_the_whole_image():
    seen = zest.masks(3)
    assert seen[0].all()
    assert 0.45 < seen[1:].mean() < 0.55


def test_matched_signatures_do_not_see_the_order_and_scale_of_outputs():
    rng = np.random.default_rng(2)
    one = rng.normal(size=(3, 64, 5))
    other = one[:, :, rng.permutation(5)] * rng.uniform(0.5, 2, 5)
    assert zest.plain(one, one) == pytest.approx(1)
    assert zest.plain(one, other) < 0.9
    assert zest.matched(one, other) == pytest.approx(1)
    assert zest.matched(one, rng.normal(size=(3, 64, 4))) < 0.3
    assert np.isnan(zest.plain(one, one[:, :, :4]))


def test_distances_are_cosines_of_answers():
    def answers(batch):
        return batch[:, :2, 0, 0]

    one, other = np.zeros((2, 3, 4, 4), np.float32), np.zeros((2, 3, 4, 4), np.float32)
    one[:, 0] = 1
    other[0, 1] = 1
    other[1, :2] = 1
    found = modeldiff.distances(answers, one, other)
    assert found == pytest.approx([1, 1 - 2**-0.5], abs=1e-6)
    assert modeldiff.compare(found, 3 * found) == pytest.approx(1)


def test_twins_are_near_in_pixels_and_far_in_answers(images):
    torch.manual_seed(0)
    victim = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    others = modeldiff.twins(victim, images, seed=0)
    noise = np.random.default_rng(3).uniform(-1, 1, images.shape) * modeldiff.EPSILON

    def moved(batch):
        with torch.no_grad():
            return (
                (
                    victim(torch.from_numpy(batch.astype(np.float32)))
                    - victim(torch.from_numpy(images))
                )
                .square()
                .sum((1, 2, 3))
            )

    assert np.abs(others - images).max() <= modeldiff.EPSILON + 1e-6
    assert others.min() >= 0
    assert others.max() <= 1
    assert (moved(others) > 3 * moved(np.clip(images + noise, 0, 1))).all()
