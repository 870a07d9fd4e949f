"""Colours of maps, against colour science as textbooks have it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxattr.drawing import palette

WHITE = [255, 255, 255]

#: What a person sees who lacks one kind of cone, in linear sRGB (Machado et al. 2009, severity 1).
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colours):
    share = np.asarray(colours, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB under D65 of linear sRGB."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    scaled = np.clip(rgb, 0, 1) @ np.array(to_xyz).T / [0.9505, 1.0, 1.0890]
    root = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("signed", [True, False])
def test_zero_is_white(signed):
    zero = np.zeros((2, 3), np.float32)

    assert (palette.colour(zero, 1.0, signed=signed) == WHITE).all()
    assert (palette.colour(-zero, 0.0, signed=signed) == WHITE).all()
    assert (palette.palette(signed) == WHITE).all(axis=1).sum() == 1


@pytest.mark.parametrize("signed", [True, False])
def test_lightness_falls_evenly_with_the_size_of_a_value(signed):
    """So a grey print shows sizes, and equal steps look equal."""
    table = palette.palette(signed)
    light = lab(linear(table))[:, 0]
    sides = [light[palette.STEPS :], light[palette.STEPS :: -1]] if signed else [light]

    for side in sides:
        assert side[0] == pytest.approx(100, abs=0.01)
        steps = np.diff(side)
        assert (steps < 0.2).all()
        assert np.abs(side - np.linspace(side[0], side[-1], len(side))).max() < 1.5
        assert side[-1] < 25


def test_both_signs_are_as_dark():
    light = lab(linear(palette.palette(True)))[:, 0]

    assert np.abs(light - light[::-1]).max() < 1.5


@pytest.mark.parametrize("kind", BLINDNESS)
def test_signs_are_told_apart_by_people_who_lack_a_kind_of_cone(kind):
    table = palette.palette(True)
    seen = lab(linear(table) @ np.array(BLINDNESS[kind]).T)
    apart = np.linalg.norm(seen - seen[::-1], axis=1)
    sizes = np.abs(np.arange(len(table)) - palette.STEPS) / palette.STEPS

    # A difference of 10 is seen at once, side by side or not.
    assert apart[(sizes > 0.25) & (sizes < 0.9)].min() > 15
    assert apart[0] > 10


@given(
    values=arrays.arrays(np.float32, 20, elements=st.floats(-(2**20), 2**20, width=32)),
    limit=st.floats(2**-20, 2**20),
)
def test_colours_of_opposite_values_mirror_each_other(values, limit):
    steps = {tuple(colour): step for step, colour in enumerate(palette.palette(True).tolist())}

    def places(these):
        colours = palette.colour(these, limit, signed=True)
        return np.array([steps[tuple(colour)] for colour in colours.tolist()]) - palette.STEPS

    assert len(steps) == 2 * palette.STEPS + 1
    assert (places(values) == -places(-values)).all()
    assert (np.sign(places(values)) * np.sign(values) >= 0).all()


def test_colours_end_at_the_limit():
    table = palette.palette(True)
    values = np.array([-9, -2, -1, 1, 2, 9], np.float32)

    colours = palette.colour(values, 2.0, signed=True)

    assert (colours[[0, 1]] == table[0]).all()
    assert (colours[[4, 5]] == table[-1]).all()
    # Half of 255 steps, away from zero.
    assert (colours[[2, 3]] == table[[palette.STEPS - 128, palette.STEPS + 128]]).all()


def test_unsigned_values_below_zero_are_zero():
    assert (palette.colour(np.array([-1], np.float32), 1.0, signed=False) == WHITE).all()


def test_what_is_not_finite_is_grey():
    values = np.array([np.nan, np.inf, -np.inf], np.float32)

    for signed in (True, False):
        assert (palette.colour(values, 1.0, signed=signed) == palette.NOT_FINITE).all()
        assert list(palette.NOT_FINITE) not in palette.palette(signed).tolist()


def test_the_limit_is_a_percentile_of_sizes():
    values = np.arange(-100, 101, dtype=np.float32)

    assert palette.limit_of(values, 100) == 100
    assert palette.limit_of(values, 50) == pytest.approx(50, abs=0.5)
    assert palette.limit_of(-values, 99) == palette.limit_of(values, 99)


def test_the_limit_of_a_map_with_few_values_is_its_largest():
    values = np.zeros(1000, np.float32)
    values[3] = -7

    assert palette.limit_of(values) == 7
    assert palette.limit_of(np.zeros(4, np.float32)) == 0
    assert palette.limit_of(np.array([np.nan, np.inf], np.float32)) == 0
    assert palette.limit_of(np.array([np.nan, 2], np.float32)) == 2
