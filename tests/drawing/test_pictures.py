"""Pictures of maps: what they show is what the map holds, and what they say is true."""

import io

import numpy as np
import pytest
from PIL import Image

from onnxattr.drawing import palette, tiles
from onnxattr.report import lettering, pictures
from onnxattr.report.pictures import Look

SIGNED = Look("grad-input", signed=True)
UNSIGNED = Look("saliency", signed=False)


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == "PNG"
    return image


def one_map(size=8, seed=0):
    return np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)


def probe(size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def draw(values, look=SIGNED, given=None, **more):
    limit = pictures.limits([values[np.newaxis]], look)[0][0]
    names = {"model": "m", "probe": "p.png", **more}
    return opened(pictures.picture(values, look, limit, given=given, **names))


def test_each_pixel_of_a_small_map_is_a_block_of_its_colour():
    values = np.array([[0, 1], [-1, 0.5]], np.float32)

    tile = np.asarray(tiles.draw_map(values, 1.0, (64, 64), signed=True))

    blocks = tile.reshape(2, 32, 2, 32, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    expected = palette.colour(values, 1.0, signed=True)
    assert (blocks[:, 0, :, 0] == expected).all()
    assert (blocks[0, 0, 0, 0] == 255).all()


def test_a_large_map_is_shown_by_means():
    values = np.tile(np.array([[1, -1], [-1, 1]], np.float32), (64, 64))

    tile = np.asarray(tiles.draw_map(values, 1.0, (32, 32), signed=True))

    assert (tile == 255).all()


def test_the_probe_is_grey_under_the_map_and_zero_shows_it():
    given = probe()
    values = np.zeros((8, 8), np.float32)
    values[0, 0] = 1

    tile = np.asarray(tiles.draw_map(values, 1.0, (32, 32), signed=True, probe=given), int)

    under = tile[8:]
    assert (under == under[..., :1]).all()
    grey = np.asarray(Image.fromarray(given).convert("L"), int)[8:]
    order = np.corrcoef(grey.ravel(), under[..., 0].ravel())[0, 1]
    assert order > 0.999
    red, green, blue = tile[:4, :4].reshape(-1, 3).mean(0)
    assert red > 2 * max(green, blue)


def test_a_picture_shows_probe_map_and_both_and_states_its_colours():
    values = one_map()

    image = draw(values, given=probe())

    limit = np.percentile(np.abs(values.astype(np.float64)), 99.5)
    text = image.text
    assert text["Title"] == "grad-input of m on p.png"
    assert text["Software"] == "onnxattr"
    assert text["onnxattr:signed"] == "yes"
    assert text["onnxattr:scale"] == "map"
    assert text["onnxattr:clip"] == "99.5"
    assert float(text["onnxattr:limit"]) == pytest.approx(limit, rel=1e-6)
    assert (
        f"Colours end at ±{limit:.2e}, the 99.5th percentile of |value| of the map"
        in (text["Description"])
    )
    assert "1.56% of the values" in text["Description"]  # One of 64.
    strongest = palette.palette(True)[[0, -1]].tolist()
    pixels = {tuple(c) for c in np.asarray(image).reshape(-1, 3).tolist()}
    assert {tuple(c) for c in strongest} <= pixels
    assert image.width > 3 * 200


@pytest.mark.parametrize(
    ("scale", "says"),
    [("map", "of the map"), ("model", "of all maps of the model"), ("all", "of all models")],
)
def test_what_shares_a_scale_is_stated(scale, says):
    image = draw(one_map(), Look("saliency", False, scale, 100.0))

    assert (
        f"the largest |value| {'of all maps ' * (scale == 'all')}{says}"
        in (image.text["Description"])
    )
    assert "clipped, is nothing" in image.text["Description"]


def test_limits_follow_the_scale():
    small, large = np.stack([one_map(seed=1), one_map(seed=2)]), 10 * one_map(seed=3)[np.newaxis]
    largest = [[float(np.abs(m).max()) for m in maps] for maps in (small, large)]

    def limits(scale):
        return pictures.limits([small, large], Look("m", True, scale, 100.0))

    assert limits("map") == largest
    assert limits("model") == [[max(largest[0])] * 2, largest[1]]
    assert limits("all") == [[largest[1][0]] * 2, largest[1]]


def test_a_map_of_zeros_and_one_that_is_not_finite():
    zeros = draw(np.zeros((8, 8), np.float32))
    assert "Every value is 0." in zeros.text["Description"]
    broken = one_map()
    broken[2, 3] = np.nan

    image = draw(broken)

    assert "In grey: 1 values that are not finite." in image.text["Description"]
    grey = np.asarray(image).reshape(-1, 3)
    assert (grey == palette.NOT_FINITE).all(axis=1).sum() >= 28 * 28


def test_names_of_vendors_are_cleaned():
    name = "a\x1b[31m\u202e" + "x" * 600

    image = draw(one_map(), model=name, probe=name)

    for text in image.text.values():
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert len(text) < 1200
    assert image.width < 1000


def test_bars_of_one_axis_are_as_long_as_their_values():
    values = np.array([1, -1, 0.5, 0], np.float32)

    tile = np.asarray(tiles.draw_map(values, 1.0, (40, 41), signed=True), int)

    drawn = (tile != 255).any(-1) & (tile != 170).any(-1)
    columns = drawn.reshape(41, 4, 10).any(axis=2)
    assert columns[:20].sum(0).tolist() == [20, 0, 10, 0]
    assert columns[21:].sum(0).tolist() == [0, 20, 0, 0]


def test_many_values_in_a_column_show_their_extremes():
    values = np.zeros(1000, np.float32)
    values[500], values[501] = 1, -1

    tile = np.asarray(tiles.draw_map(values, 1.0, (100, 41), signed=True), int)

    column = tile[:, 50]
    assert ((column != 255).any(-1)).all()
    assert ((tile[:, 49] != 255).any(-1)).sum() == 1


@pytest.mark.parametrize("axes", [0, 3, 4])
def test_maps_of_other_axes_are_refused(axes):
    assert not tiles.can_draw(axes)
    with pytest.raises(ValueError, match=f"a map of {axes} axes cannot be drawn"):
        pictures.picture(np.zeros((2,) * axes, np.float32), SIGNED, 1.0, model="m", probe="p")


def sheet(models, probes, look=UNSIGNED, given=None):
    maps = [np.abs(np.stack([one_map(seed=i) for i in range(probes)])) for _ in range(models)]
    rows = [(f"model{i}", values) for i, values in enumerate(maps)]
    names = [f"{i}.png" for i in range(probes)]
    ends = pictures.limits(maps, look)
    return opened(pictures.contact_sheet(rows, look, ends, probes=names, given=given))


def test_a_sheet_grows_by_a_row_a_model_and_a_column_a_probe():
    given = np.stack([probe(seed=i) for i in range(6)])
    image, wider, higher = (
        sheet(*size, given=given[: size[1]]) for size in ((2, 4), (2, 6), (4, 4))
    )

    assert wider.width - image.width == 2 * 128
    assert (higher.height - image.height) % 2 == 0
    assert higher.height - image.height >= 2 * 120
    assert image.text["onnxattr:method"] == "saliency"
    assert "the value below each map" in image.text["Description"]


def test_a_sheet_shows_the_probes_in_the_first_row_and_the_maps_in_the_others():
    given = np.zeros((3, 16, 16, 3), np.uint8)
    given[:, ..., 1] = 200

    pixels = np.asarray(sheet(2, 3, given=given), int)

    green = (pixels == [0, 200, 0]).all(-1)
    rows, columns = np.nonzero(green)
    assert green.sum() == 3 * 120 * 120
    assert rows.max() - rows.min() == 119
    for start in sorted(set(columns))[:: 3 * 40]:
        # The strongest colour is below each probe, once a model and more.
        strip = pixels[rows.max() :, start : start + 120]
        assert (strip == palette.palette(False)[-1]).all(-1).any()


def test_a_sheet_says_what_it_leaves_out():
    image = sheet(62, 14, Look("saliency", False, "all"))

    says = image.text["Description"]
    assert "The first 60 of 62 models. The first 12 of 14 probes." in says
    assert "Colours end at 2." in says or "Colours end at 3." in says


def test_a_sheet_of_nothing_is_refused():
    for models in ([], [("m", np.zeros((1, 2, 2, 2), np.float32))]):
        with pytest.raises(ValueError, match="there are no maps"):
            pictures.contact_sheet(models, SIGNED, [], probes=["p"])


def test_the_same_maps_give_the_same_bytes():
    def data():
        return pictures.picture(one_map(), SIGNED, 1.0, model="m", probe="p", given=probe())

    assert data() == data()


def test_long_names_keep_both_ends():
    name = "vit_base_patch16_clip_quickgelu_384.laion2b_ft_in12k_in1k"

    short = lettering.shortened(name, 150, 13)

    front, back = short.split("…")
    assert name.startswith(front)
    assert name.endswith(back)
    assert 100 < lettering.font(13).getlength(short) <= 150
    assert lettering.shortened("short", 150, 13) == "short"


def test_words_are_wrapped_and_none_is_lost():
    text = "Colours end at the value below each map, and so on and on. " + "x" * 300

    lines = lettering.wrapped(text, 200, 13)

    assert " ".join(lines[:-1]) == text.rsplit(" ", 1)[0]
    assert all(lettering.font(13).getlength(line) <= 200 for line in lines)
