"""Probes that cannot be read, from the command line."""

import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        picture = Image.radial_gradient("L").resize((16, 16))
        picture.transpose(list(Image.Transpose)[number]).save(folder / f"{number}.png")
        Image.effect_noise((16, 16), 60 + number).save(folder / f"noise{number}.png")
    return folder


def rank_on(run, good, *probes):
    options = [part for probe in probes for part in ("-p", probe)]
    return run("rank", good, "-f", "json", *options)


def test_probes_of_the_user(run, good, images):
    outcome = rank_on(run, good, images)

    assert outcome.code == 0
    probes = outcome.json["settings"]["probes"]
    assert (probes["source"], probes["count"]) == (str(images), 6)


def test_an_unreadable_probe_costs_itself_alone(run, good, images):
    (images / "broken.png").write_text("no image")

    outcome = rank_on(run, good, images)

    message = f"the probe `{images / 'broken.png'}` is not an image in a known format"
    assert outcome.code == 1
    assert outcome.errors == [message]
    assert [(f["name"], f["message"]) for f in outcome.json["failures"]] == [("", message)]
    assert outcome.json["settings"]["probes"]["count"] == 6


def test_no_readable_probe(run, good, tmp_path):
    (tmp_path / "broken.png").write_text("no image")

    outcome = rank_on(run, good, tmp_path / "broken.png")

    assert outcome.code == 3
    assert outcome.out == ""
    (error,) = outcome.errors
    assert error.startswith("there are no probe images to use: ")
    assert f"`{tmp_path / 'broken.png'}` is not an image in a known format" in error


def test_probes_that_do_not_exist(run, good, tmp_path):
    outcome = rank_on(run, good, tmp_path / "gone")

    assert outcome.code == 3
    (error,) = outcome.errors
    assert f"`{tmp_path / 'gone'}` does not exist" in error


def test_one_probe(run, good, images):
    outcome = rank_on(run, good, images / "0.png")

    assert outcome.code == 2
    assert outcome.errors == ["centred maps need at least two probes, and there is one"]


def test_one_probe_is_enough_without_centring(run, good, images):
    outcome = run("rank", good, "-f", "json", "--paper", "-p", images / "noise0.png")

    assert outcome.code == 0
    assert outcome.json["settings"]["probes"]["count"] == 1
