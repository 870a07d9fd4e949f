"""Probe sets: which files belong to one, in which order, and what it is called."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from onnxattr.errors import ProbeError, UsageError
from onnxattr.probes import load_probes

SIDE = 8


@pytest.fixture
def folder(tmp_path):
    """Five images, written in an order that is not that of their names."""
    folder = tmp_path / "images"
    folder.mkdir()
    for shade in (40, 10, 30, 0, 20):
        Image.new("L", (SIDE, SIDE), shade).save(folder / f"shade{shade:02d}.png")
    return folder


def shades(images):
    return images.images[:, 0, 0, 0].tolist()


def test_a_directory_is_read_in_the_order_of_names(folder):
    images = load_probes([folder], canvas=SIDE)
    errors = images.failures

    assert images.names == tuple(f"shade{s}.png" for s in ("00", "10", "20", "30", "40"))
    assert shades(images) == [0, 10, 20, 30, 40]
    assert images.images.shape == (5, SIDE, SIDE, 3)
    assert images.source == str(folder)
    assert not errors


def test_sources_keep_the_order_they_are_given_in(folder):
    given = [folder / "shade30.png", folder / "shade10.png"]

    assert shades(load_probes(given, canvas=SIDE)) == [30, 10]


def test_only_images_of_the_directory_itself_are_taken(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / "._shade00.png").write_bytes(b"metadata that a file manager left behind")
    (folder / "deeper").mkdir()
    Image.new("L", (SIDE, SIDE), 99).save(folder / "deeper" / "shade99.png")
    Image.new("L", (SIDE, SIDE), 50).save(folder / "SHOUTED.PNG")

    images = load_probes([folder], canvas=SIDE)
    errors = images.failures

    assert sorted(shades(images)) == [0, 10, 20, 30, 40, 50]
    assert not errors


@pytest.mark.parametrize("limit", [1, 3, 5, 100])
def test_a_limit_takes_the_first(folder, limit):
    images = load_probes([folder], limit=limit, canvas=SIDE)

    assert shades(images) == [0, 10, 20, 30, 40][:limit]


def test_a_limit_counts_what_can_be_used(folder):
    (folder / "shade00.png").write_text("no image")

    images = load_probes([folder], limit=2, canvas=SIDE)
    errors = images.failures

    assert shades(images) == [10, 20]
    assert len(errors) == 1
    assert "shade00.png" in errors[0].message


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_positive(folder, limit):
    with pytest.raises(UsageError, match=f"`{limit}`"):
        load_probes([folder], limit=limit)


def test_a_canvas_is_positive(folder):
    with pytest.raises(UsageError, match="`0`"):
        load_probes([folder], canvas=0)


def test_equal_names_are_told_apart(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("L", (SIDE, SIDE), 7).save(other / "shade00.png")

    images = load_probes([folder, other, other / "shade00.png"], canvas=SIDE)

    assert len(set(images.names)) == len(images.names) == 7
    assert images.names[-2:] == ("shade00.png (2)", "shade00.png (3)")


def test_a_number_that_tells_apart_is_not_taken_twice(tmp_path):
    files = [tmp_path / name for name in ("1/a.png (2)", "1/a.png", "2/a.png")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (SIDE, SIDE)).save(file, format="PNG")

    images = load_probes(files, canvas=SIDE)

    assert images.names == ("a.png (2)", "a.png", "a.png (3)")


def test_bad_files_are_told_and_the_others_used(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    missing = tmp_path / ("x" * 300 + ".png")

    images = load_probes([tmp_path / "pipe.png", folder, missing], canvas=SIDE)
    errors = images.failures

    assert len(images.names) == 5
    assert ["regular file" in e.message for e in errors] == [True, True]


def test_no_image_at_all_says_why(tmp_path):
    (tmp_path / "notes.png").write_text("no image")

    with pytest.raises(ProbeError, match=r"no probe images to use: .*notes\.png` is not an image"):
        load_probes([tmp_path])


def test_many_bad_images_are_counted(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_text("no image")

    with pytest.raises(ProbeError, match=r"0\.png` is not an image.*, and 2 more errors"):
        load_probes([tmp_path])


def test_an_empty_directory_lists_what_images_end_in(tmp_path):
    with pytest.raises(ProbeError, match="holds no images") as caught:
        load_probes([tmp_path])

    assert ".jpg" in caught.value.hint
    assert ".webp" in caught.value.hint


def test_an_empty_list_is_no_request_for_the_built_in_set():
    with pytest.raises(ProbeError, match="none is given"):
        load_probes([])


def test_long_lists_of_files_have_a_short_name(folder):
    files = sorted(folder.iterdir())

    assert load_probes(files[:2], canvas=SIDE).source == f"{files[0]}, {files[1]}"
    assert load_probes(files, canvas=SIDE).source == f"{files[0]} and 4 more"


def test_the_hash_is_of_pixels_and_order_alone(folder, tmp_path):
    same = tmp_path / "same"
    same.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        Image.open(file).save(same / f"{number}.bmp")
    files = sorted(folder.iterdir())

    first = load_probes([folder], canvas=SIDE).sha256

    assert load_probes([same], canvas=SIDE).sha256 == first
    assert load_probes(files[::-1], canvas=SIDE).sha256 != first
    assert load_probes([folder], limit=4, canvas=SIDE).sha256 != first
    assert load_probes([folder], canvas=2 * SIDE).sha256 != first


def test_the_hash_does_not_change_between_releases(folder):
    """Whoever kept a result must be able to tell that the probes are the same."""
    pixels = bytes(shade for shade in (0, 10, 20, 30, 40) for _ in range(2 * 2 * 3))

    images = load_probes([folder], canvas=2)

    assert images.sha256 == hashlib.sha256(b"(5, 2, 2, 3)" + pixels).hexdigest()


def test_the_built_in_set():
    images = load_probes(limit=2)
    errors = images.failures
    again = load_probes(limit=2)

    assert images.images.shape == (2, 256, 256, 3)
    assert images.source == "built-in"
    assert images.names == ("000.webp", "001.webp")
    assert images.sha256 == again.sha256
    assert not np.array_equal(images.images[0], images.images[1])
    assert not errors


def test_the_built_in_set_is_bounded_by_default():
    assert len(load_probes(canvas=SIDE).names) == 64
    assert len(load_probes(limit=500, canvas=SIDE).names) == 200
