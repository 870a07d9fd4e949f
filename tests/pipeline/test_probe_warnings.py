"""What is said of a doubtful set of probes, and that nothing is of a good one."""

import numpy as np
import pytest

from onnxattr.pipeline.probe_warnings import FEW_PROBES, probe_warnings
from onnxattr.probes import load_probes
from onnxattr.types import ARRAY, TOKENS, Probes


def probes(values, kind="image"):
    names = tuple(f"p{number}.png" for number in range(len(values)))
    return Probes(values, names, "0" * 64, "test", kind=kind)


@pytest.fixture(scope="module")
def good():
    return load_probes(limit=64, canvas=64).values


def test_nothing_is_wrong_with_the_built_in_ones(good):
    assert probe_warnings(probes(good)) == []


def test_few(good):
    assert probe_warnings(probes(good[:30])) == [
        "30 probes are few: with fewer than 50 most rankings stay undecided"
    ]
    assert probe_warnings(probes(good[: FEW_PROBES - 1])) == []


def test_copies(good):
    values = good.copy()
    values[[9, 20, 33, 40, 41]] = values[3]
    assert probe_warnings(probes(values)) == [
        "5 probes are no more than a copy of another: `p9.png`, `p20.png`, `p33.png` and 2 more"
    ]
    values = good[:50].copy()
    values[7] = values[6]
    assert probe_warnings(probes(values)) == [
        "49 probes that are no copies of others are few: with fewer than 50 most rankings stay "
        "undecided",
        "1 probe is no more than a copy of another: `p7.png`",
    ]


def test_blank(good):
    values = good.copy()
    values[5] = 90
    assert probe_warnings(probes(values)) == ["1 probe is of one value everywhere: `p5.png`"]


def test_noise():
    values = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    (line,) = probe_warnings(probes(values))
    assert line.startswith("the probes look like noise: their power falls with the frequency to")


def test_frames_of_one_film(good):
    film = good[:1].astype(float) + np.random.default_rng(0).normal(size=(60, 64, 64, 3)) * 12
    lines = probe_warnings(probes(np.clip(film, 0, 255).astype(np.uint8)))
    assert any(line.startswith("the probes are much alike") for line in lines)


def test_arrays_and_tokens_are_no_images():
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(60, 5000)).astype(np.float32)
    assert probe_warnings(probes(arrays, ARRAY)) == []
    ids = np.sort(rng.integers(0, 1000, (60, 12)), axis=1)
    assert probe_warnings(probes(ids, TOKENS)) == []
    ids[4] = ids[2]
    assert probe_warnings(probes(ids, TOKENS)) == [
        "1 probe is no more than a copy of another: `p4.png`"
    ]
