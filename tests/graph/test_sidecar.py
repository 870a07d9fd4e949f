"""The file beside a model: what it may hold, and that nothing in it can do harm."""

import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxattr.errors import ModelInputError
from onnxattr.graph.load import load
from onnxattr.graph.sidecar import MAX_BYTES, read_sidecar, said_beside, sidecar_path
from onnxattr.types import Sidecar

EVERYTHING = """
[input]
name = "x"
layout = "nhwc"
size = [240, 320]
color = "bgr"
range = [0, 255]
mean = [123.675, 116.28, 103.53]
std = 58
gamma = 2.2
resize = "Crop"

[output]
at = "logits"

[fixed]
scale = 1
"the other one" = -0.5
"""


def said(text):
    return said_beside(Sidecar("net.toml", text), "net")


def test_every_key():
    found = said(EVERYTHING)
    assert (found.who, found.input, found.at) == ("sidecar", "x", "logits")
    assert found.fixed == {"scale": 1.0, "the other one": -0.5}
    options = found.options
    assert (options.layout, options.size, options.color) == ("NHWC", (240, 320), "BGR")
    assert (options.range, options.mean, options.std) == (
        (0.0, 255.0), (123.675, 116.28, 103.53), (58.0,),
    )  # fmt: skip
    assert (options.gamma, options.resize) == (2.2, "crop")


def test_an_empty_one_says_nothing():
    found = said("")
    assert (found.input, found.at, found.fixed) == (None, None, {})
    assert set(vars(found.options).values()) == {None}
    assert said("[input]\nsize = 64").options.size == (64, 64)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[inptu]\n", "there is no table `inptu`", "did you mean `input`?"),
        ("[input]\nrnage = [0, 1]", "there is no key `input.rnage`", "did you mean `range`?"),
        ("[output]\nta = 'logits'", "there is no key `output.ta`", "did you mean `at`?"),
        ("input = 3", "`input` is a table, `[input]`, and not `3`", ""),
        ("[[input]]\n", "`input` is a table", ""),
        ("[input]\nname = 3", "`input.name` takes a name, not `3`", ""),
        ("[input]\nname = ''", "`input.name` takes a name, not ``", ""),
        ("[output]\nat = ['a']", "`output.at` takes a name", ""),
        ("[input]\nlayout = 4", "`input.layout` takes a word in quotes, not `4`", ""),
        ("[input]\nlayout = 'NCWX'", "there is no layout `NCWX`", "did you mean `NCHW`?"),
        ("[input]\ncolor = 'GBR'", "there is no color order `GBR`", "valid are `BGR`, `RGB`"),
        ("[input]\nresize = 'fit'", "there is no resize rule `fit`", "valid are `crop`"),
        ("[input]\nsize = 1.5", "`input.size` takes pixels, or [height, width], not `1.5`", ""),
        ("[input]\nsize = true", "`input.size` takes pixels", ""),
        ("[input]\nsize = [1, 2, 3]", "`input.size` takes pixels", ""),
        ("[input]\nsize = 0", "a size is a height and a width of 1 to 8192 pixels, not `0x0`", ""),
        ("[input]\nrange = 255", "`input.range` takes two numbers, [low, high], not `255`", ""),
        ("[input]\nrange = [1, 0]", "the range `1 0` does not rise", ""),
        ("[input]\nrange = [0, '1']", "`input.range` takes a finite number, not `1`", ""),
        ("[input]\nrange = [false, true]", "`input.range` takes a finite number, not `False`", ""),
        ("[input]\nmean = [1, 2]", "`input.mean` takes one number, or [r, g, b]", ""),
        ("[input]\nmean = nan", "`input.mean` takes a finite number, not `nan`", ""),
        ("[input]\nstd = [1, 0, 1]", "the std `1 0 1` is not positive", ""),
        ("[input]\ngamma = -1", "the gamma `-1` is not a positive number", ""),
        ("[input]\ngamma = 1" + "0" * 400, "`input.gamma` takes a finite number", ""),
        ("[input]\ngamma = 2001-01-01", "`input.gamma` takes a finite number, not `2001-", ""),
        ("[fixed]\nz = 'one'", "`fixed.z` takes a finite number, not `one`", ""),
        ("[fixed.z]\na = 1", "`fixed.z` takes a finite number", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense(text, says, hint):
    with pytest.raises(ModelInputError) as caught:
        said(text)
    assert caught.value.message.startswith(f"its sidecar `net.toml`: {says}")
    assert hint in caught.value.hint
    assert caught.value.hint
    assert (caught.value.model, "\n" in caught.value.message) == ("net", False)


@pytest.mark.parametrize(
    "text",
    [
        "[input",
        "a = " + "[" * 60_000,
        "a = 1" + "0" * 60_000,
        "[" + ".".join("a" * 30_000) + "]",
        "a." * 30_000 + "a = 1",
        "\n".join("a." * 4000 + f"a{i} = 1" for i in range(8)),
        "\x00",
        "[input]\nlayout = 'NCHW'\nlayout = 'NHWC'",
        "a = " + "{a=" * 20_000,
        "[input]\n" + "\n".join(f"k{i} = 1" for i in range(6000)),
        "[input]\nlayout = '" + "N" * 60_000 + "'",
    ],
    ids=range(11),
)
def test_hostile_ones_end_in_one_short_line(text):
    assert len(text.encode()) <= MAX_BYTES
    started = time.process_time()
    with pytest.raises(ModelInputError) as caught:
        said(text)
    assert len(caught.value.message) < 300
    assert "\n" not in caught.value.message
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("model", "sidecar"),
    [("a.onnx", "a.toml"), ("a.ONNX", "a.toml"), ("v1.12", "v1.12.toml"), ("a.pb", "a.pb.toml")],
)
def test_where_it_is(model, sidecar):
    assert sidecar_path(Path("models") / model) == Path("models") / sidecar


def test_files_that_are_none(tmp_path):
    model, sidecar = tmp_path / "net.onnx", tmp_path / "net.toml"
    assert read_sidecar(model, "net") is None

    def refused():
        with pytest.raises(ModelInputError, match=r"its sidecar `net\.toml` ") as caught:
            read_sidecar(model, "net")
        sidecar.rmdir() if sidecar.is_dir() and not sidecar.is_symlink() else sidecar.unlink()
        return caught.value.message.removeprefix("its sidecar `net.toml` ")

    sidecar.mkdir()
    assert refused() == "is not a regular file"
    os.mkfifo(sidecar)
    assert refused() == "is not a regular file"
    (tmp_path / "secret").write_text("password = 1")
    sidecar.symlink_to(tmp_path / "secret")
    assert refused() == "is a link"
    sidecar.write_bytes(b"#" * (MAX_BYTES + 1))
    assert refused() == "is longer than 64 KiB"
    sidecar.write_bytes(b"# \xff")
    assert refused() == "is not UTF-8"
    sidecar.write_bytes(b"#" * MAX_BYTES)
    assert len(read_sidecar(model, "net").text) == MAX_BYTES


def test_it_is_read_with_the_model(build, tmp_path):
    text = "(float[N,3,8,8] x) => (float[N,4,8,8] y) { y = Conv(x, w) }"
    proto = build(text, w=np.ones((4, 3, 1, 1), np.float32))
    onnx.save(proto, tmp_path / "net.onnx")
    assert load(tmp_path / "net.onnx").sidecar is None
    (tmp_path / "net.toml").write_text("[input]\n")
    assert load(tmp_path / "net.onnx").sidecar == Sidecar("net.toml", "[input]\n")
    assert load(proto).sidecar is None
