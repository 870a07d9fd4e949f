"""What is said of good and bad sets of probes."""

import numpy as np
import pytest

from onnxattr.probes import load_probes
from onnxattr.space.probe_set import FEW, NOISE, _exponents, faults


def fractal(count: int, exponent: float, seed: int = 0, side: int = 64) -> np.ndarray:
    """Images whose power falls with that exponent of the frequency, [probe, y, x, 3]."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(count, side, side))) * frequency ** (-exponent / 2)
    images = np.fft.ifft2(spectrum).real
    images = 127 + 40 * images / images.std(axis=(1, 2), keepdims=True)
    return np.clip(images, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=3)


def kinds(values: np.ndarray, images: bool = True) -> list[str]:
    return [fault.kind for fault in faults(values, images=images)]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_exponents_are_found(exponent: float) -> None:
    assert np.median(_exponents(fractal(40, exponent))) == pytest.approx(exponent, abs=0.3)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_natural_images_have_no_fault(exponent: float) -> None:
    assert kinds(fractal(FEW, exponent)) == []


def test_nor_have_the_built_in_ones() -> None:
    assert faults(load_probes(limit=200).images) == ()


def test_noise() -> None:
    (fault,) = faults(fractal(60, 0.0))
    assert (fault.kind, fault.limit) == ("noise", NOISE)
    assert abs(fault.value) < 0.2


def test_few() -> None:
    (fault,) = faults(fractal(FEW - 1, 2.0))
    assert (fault.kind, fault.value, fault.probes) == ("few", FEW - 1, ())
    assert kinds(fractal(1, 2.0)) == ["few"]
    assert kinds(fractal(0, 2.0)) == ["few"]


def test_copies_do_not_count() -> None:
    images = fractal(FEW, 2.0)
    images[7], images[9] = images[3], images[3] + 1
    few, copies = faults(images)
    assert (few.kind, few.value) == ("few", FEW - 2)
    assert (copies.kind, copies.probes) == ("copies", (7, 9))


def test_a_brighter_image_is_no_copy() -> None:
    images = fractal(FEW, 2.0) // 2
    images[7] = images[3] + 60
    assert kinds(images) == []


def test_blank_images() -> None:
    images = fractal(FEW + 10, 2.0)
    images[4], images[8] = 255, 0
    (fault,) = faults(images)
    assert (fault.kind, fault.probes) == ("blank", (4, 8))
    assert kinds(np.zeros((60, 32, 32, 3), np.uint8)) == ["few", "blank", "copies"]


def test_frames_of_one_film_are_uniform() -> None:
    scene = fractal(1, 3.0).astype(float)
    frames = 0.8 * scene + 0.2 * fractal(60, 2.0, seed=1)
    (fault,) = faults(frames.astype(np.uint8))
    assert fault.kind == "uniform"
    assert 0.7 < fault.value < 1


def test_arrays_have_no_neighbours() -> None:
    rng = np.random.default_rng(0)
    assert kinds(rng.normal(size=(60, 30)), images=False) == []
    # A row of one number each is blank, and blank rows of other numbers are no copies.
    flat = np.arange(60.0)[:, None] * np.ones(30)
    assert kinds(flat, images=False) == ["blank"]


def test_of_very_many_probes_some_are_looked_at() -> None:
    values = np.random.default_rng(0).normal(size=(1500, 8))
    values[1:] = values[0]
    few, uniform, copies = faults(values, images=False)
    assert (few.kind, few.value) == ("few", 2)
    assert uniform.kind == "uniform"
    assert len(copies.probes) == 999
