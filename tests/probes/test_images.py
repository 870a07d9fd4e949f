"""One image at a time: every format and colour model becomes RGB on a square canvas."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from onnxattr import probes
from onnxattr.errors import ProbeError
from onnxattr.probes import read_image

SIDE = 16
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(size: int = SIDE) -> Image.Image:
    """Red, green, blue and white, from the top left; its orientation can be told."""
    half = size // 2
    image = Image.new("RGB", (size, size), WHITE)
    for corner, colour in (((0, 0), RED), ((half, 0), GREEN), ((0, half), BLUE)):
        image.paste(colour, (*corner, corner[0] + half, corner[1] + half))
    return image


def corners(array):
    """The colours near the four corners, where no filter mixes them."""
    return [tuple(int(v) for v in array[y, x]) for y in (1, -2) for x in (1, -2)]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff", ".tif"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    file = tmp_path / f"image{suffix}"
    quarters().save(file, **({"lossless": True} if suffix == ".webp" else {}))

    assert np.array_equal(read_image(file, SIDE), np.asarray(quarters()))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_come_close(tmp_path, suffix):
    file = tmp_path / f"image{suffix}"
    quarters(64).save(file, quality=95, **({} if suffix == ".webp" else {"subsampling": 0}))

    distance = np.abs(read_image(file, 64).astype(int) - np.asarray(quarters(64)))

    assert distance.mean() < 4


def test_format_is_told_by_content_not_by_suffix(tmp_path):
    file = tmp_path / "in_truth_a.png"
    quarters().save(file, format="BMP")

    assert np.array_equal(read_image(file, SIDE), np.asarray(quarters()))


def test_other_formats_are_refused_whatever_they_are_called(tmp_path):
    file = tmp_path / "animation.png"
    quarters().save(file, format="GIF")

    with pytest.raises(ProbeError, match="not an image in a known format") as caught:
        read_image(file)

    assert "JPEG, PNG, WebP, BMP, TIFF" in caught.value.hint


def test_grey_becomes_three_equal_channels(tmp_path):
    file = tmp_path / "grey.png"
    Image.linear_gradient("L").resize((SIDE, SIDE)).save(file)

    result = read_image(file, SIDE)

    assert (result[..., 0] == result[..., 1]).all()
    assert (result[..., 1] == result[..., 2]).all()
    assert result[0, 0, 0] < 20 < 230 < result[-1, -1, 0]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    file = tmp_path / f"deep{suffix}"
    values = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    Image.fromarray(values).save(file)

    assert np.array_equal(read_image(file, SIDE)[..., 0], values >> 8)


def test_big_endian_sixteen_bits(tmp_path):
    values = np.arange(SIDE * SIDE, dtype=">u2").reshape(SIDE, SIDE) * 257
    tags = [(256, SIDE), (257, SIDE), (258, 16), (259, 1), (262, 1), (273, 200)]
    tags += [(277, 1), (278, SIDE), (279, values.nbytes)]
    directory = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    header = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + directory + bytes(4)
    file = tmp_path / "deep.tif"
    file.write_bytes(header.ljust(200, b"\0") + values.tobytes())

    assert np.array_equal(read_image(file, SIDE)[..., 0], values >> 8)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_black_and_white_are_refused(tmp_path, mode):
    file = tmp_path / "measured.tif"
    Image.new(mode, (SIDE, SIDE), 70000).save(file)

    with pytest.raises(ProbeError, match="32-bit values") as caught:
        read_image(file)

    assert caught.value.hint


def test_palette(tmp_path):
    file = tmp_path / "palette.png"
    quarters().quantize(4).save(file)

    assert corners(read_image(file, SIDE)) == [RED, GREEN, BLUE, WHITE]


def test_palette_with_transparency_is_laid_on_white(tmp_path):
    file = tmp_path / "palette.png"
    picture = quarters().quantize(4)
    picture.save(file, transparency=picture.getpixel((0, 0)))

    assert corners(read_image(file, SIDE)) == [WHITE, GREEN, BLUE, WHITE]


def test_alpha_is_laid_on_white(tmp_path):
    file = tmp_path / "glass.png"
    picture = quarters().convert("RGBA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, SIDE // 2, SIDE // 2))
    alpha.paste(128, (SIDE // 2, 0, SIDE, SIDE // 2))
    picture.putalpha(alpha)
    picture.save(file)

    hidden, half, blue, white = corners(read_image(file, SIDE))

    assert hidden == WHITE
    assert half == (127, 255, 127)
    assert (blue, white) == (BLUE, WHITE)


def test_grey_with_alpha_is_laid_on_white(tmp_path):
    file = tmp_path / "glass.png"
    Image.new("LA", (SIDE, SIDE), (0, 0)).save(file)

    assert (read_image(file, SIDE) == 255).all()


def test_cmyk(tmp_path):
    file = tmp_path / "print.tif"
    quarters().convert("CMYK").save(file)

    assert corners(read_image(file, SIDE)) == [RED, GREEN, BLUE, WHITE]


def test_one_bit(tmp_path):
    file = tmp_path / "fax.tif"
    Image.new("1", (SIDE, SIDE), 1).save(file)

    assert (read_image(file, SIDE) == 255).all()


@pytest.mark.parametrize(
    ("orientation", "undone"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_orientation_is_followed(tmp_path, orientation, undone):
    file = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters().transpose(undone).save(file, exif=exif)

    assert np.array_equal(read_image(file, SIDE), np.asarray(quarters()))


def test_orientation_comes_before_the_crop(tmp_path):
    """A portrait stored as a landscape: the crop is of the upright picture."""
    file = tmp_path / "portrait.png"
    stored = Image.new("RGB", (3 * SIDE, SIDE), RED)
    stored.paste(BLUE, (SIDE, 0, 2 * SIDE, SIDE))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(file, exif=exif)

    assert (read_image(file, SIDE) == BLUE).all()


def test_nonsense_in_exif_does_not_cost_the_image(tmp_path, recwarn):
    file = tmp_path / "odd.jpg"
    quarters().save(file, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 40)

    assert read_image(file, SIDE).shape == (SIDE, SIDE, 3)
    assert not recwarn.list


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3), (3000, 20)])
def test_any_size_and_shape_fits_the_canvas(tmp_path, size):
    file = tmp_path / "plain.png"
    Image.new("RGB", size, (10, 20, 30)).save(file)

    result = read_image(file, SIDE)

    assert result.dtype == np.uint8
    assert result.shape == (SIDE, SIDE, 3)
    assert (result == (10, 20, 30)).all()


@pytest.mark.parametrize("size", [(3 * SIDE, SIDE), (SIDE, 3 * SIDE)])
def test_the_middle_is_kept(tmp_path, size):
    file = tmp_path / "wide.png"
    picture = Image.new("RGB", size, RED)
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    picture.paste(BLUE, (left, top, left + SIDE, top + SIDE))
    picture.save(file)

    assert (read_image(file, SIDE) == BLUE).all()


def test_shrinking_averages_what_it_drops(tmp_path):
    """A fine chequerboard becomes even grey; picking single pixels would leave a pattern."""
    file = tmp_path / "chequered.png"
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(file)

    middle = read_image(file, SIDE)[2:-2, 2:-2].astype(int)

    assert abs(middle - 127).max() <= 2


def test_more_pixels_than_the_limit_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "large.png"
    quarters(SIDE).save(file)
    monkeypatch.setattr(probes, "_MAX_PIXELS", SIDE * SIDE - 1)

    with pytest.raises(ProbeError, match=rf"has {SIDE}×{SIDE} pixels, over the limit") as caught:
        read_image(file)

    assert "smaller" in caught.value.hint


def test_a_bomb_is_called_too_large_and_is_never_decoded(tmp_path, monkeypatch):
    file = tmp_path / "bomb.png"
    quarters(SIDE).save(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIDE)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))

    with pytest.raises(ProbeError, match="over the limit"):
        read_image(file)


def test_text_under_an_image_s_name(tmp_path):
    file = tmp_path / "notes.png"
    file.write_text("not an image\n")

    with pytest.raises(ProbeError, match="not an image in a known format"):
        read_image(file)


def test_empty_file(tmp_path):
    file = tmp_path / "empty.png"
    file.touch()

    with pytest.raises(ProbeError, match="not an image in a known format"):
        read_image(file)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_truncated_images_are_refused_not_half_shown(tmp_path, suffix):
    file = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:]))
    file.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])

    with pytest.raises(
        ProbeError, match=r"cannot be decoded: .|is not an image in a known"
    ) as caught:
        read_image(file)

    assert "\n" not in caught.value.message
    assert str(file) in caught.value.message


def test_a_decoder_that_breaks_costs_one_image(tmp_path, monkeypatch):
    file = tmp_path / "cursed.png"
    quarters().save(file)

    def fall_over(*_):
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(probes.ImageOps, "exif_transpose", fall_over)

    with pytest.raises(ProbeError, match="cannot be decoded: unpack requires"):
        read_image(file)
