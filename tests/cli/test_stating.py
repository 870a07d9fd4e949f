"""`inspect --write-spec` and `stamp`, and what else the command line makes of sidecars."""

import re

import onnx
import pytest
import small_models

WRITTEN = """\
# How onnxattr feeds `net`, and what it attributes. Read with the model, from beside it.
# What stands behind `# ` is an assumption, which nobody vouches for: say what is right,
# and take the sign away.

[input]
name = "image"                    # the input
layout = "NCHW"                   # graph: the first Conv reads axis 1 as channels
size = [12, 12]                   # graph
# color = "RGB"                   # assumed
range = [0.0, 255.0]              # option
mean = 0.0                        # option
std = 1.0                         # option
gamma = 1.0                       # default
resize = "stretch"                # default

[output]
at = "feature"                    # features: the output: the graph ends without a head
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.onnx"
    small_models.save(small_models.encoder(1), path)
    return path


def test_write_spec(run, net):
    outcome = run("inspect", net, "--write-spec", "--range", "0", "255")

    assert (outcome.code, outcome.err) == (0, f"wrote `{net.with_suffix('.toml')}`\n")
    assert net.with_suffix(".toml").read_text() == WRITTEN
    shown = run("inspect", net).out
    assert re.search(r"^range +0 to 255  \(sidecar\)$", shown, re.MULTILINE)
    assert "(the output: the graph ends without a head, by sidecar)" in shown


def test_a_sidecar_is_not_written_over_unless_forced(run, net):
    net.with_suffix(".toml").write_text('[input]\ncolor = "BGR"\n')

    outcome = run("inspect", net, "--write-spec")
    assert (outcome.code, outcome.out) == (2, "")  # Before any work was done.
    assert outcome.errors == [f"there is a sidecar already: `{net.with_suffix('.toml')}`"]
    assert outcome.hints == ["--force writes over it"]
    assert net.with_suffix(".toml").read_text() == '[input]\ncolor = "BGR"\n'

    assert run("inspect", net, "--write-spec", "--force").code == 0
    written = net.with_suffix(".toml").read_text().splitlines()
    assert 'color = "BGR"                     # sidecar' in written


def test_a_model_of_which_nothing_is_known(run, net):
    net.write_bytes(b"no model")
    outcome = run("inspect", net, "--write-spec")
    assert outcome.code == 3
    assert outcome.errors == ["net: the file is not an ONNX model"]
    assert not net.with_suffix(".toml").exists()


def test_stamp(run, net):
    copy = net.with_name("copy.onnx")
    outcome = run("stamp", net, "-o", copy, "--layout", "nchw", "--at", "output")

    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.splitlines() == [
        f"wrote `{copy}`: layout, size, gamma, resize",
        "warning: not written, as it is assumed: color, range, mean, std; options of these names "
        "say it",
    ]
    shown = run("inspect", copy).out
    assert re.search(r"^layout +NCHW  \(metadata\)$", shown, re.MULTILINE)
    assert re.search(r"^range +0 to 1  \(assumed\)$", shown, re.MULTILINE)
    assert "(the output, by metadata)" in shown
    assert run("stamp", net, "-o", copy, "-q").err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["{net}"], 2, "missing option '--output'"),
        (["{net}", "-o", "{net}"], 2, "is the model itself"),
        (["{net}", "-o", "/no/such/place/x.onnx"], 2, "there is no directory"),
        (["{net}", "-o", "{new}", "--layout", "NCXW"], 2, "there is no layout `NCXW`"),
        (["{net}", "-o", "{new}", "--layout", "HWC"], 3, "net: the layout HWC (option) has 3 axes"),
        (["{net}", "-o", "{new}", "--at", "nowhere"], 2, "net: `net` has no tensor `nowhere`"),
        (["{new}", "-o", "{new}2"], 3, "new: `{new}` does not exist"),
    ],
)
def test_stamps_that_cannot_be(run, net, arguments, code, error):
    places = {"net": net, "new": net.with_name("new.onnx")}
    outcome = run("stamp", *(a.format(**places) for a in arguments))
    assert outcome.code == code
    (told,) = outcome.errors
    assert error.format(**places) in told
    assert not places["new"].exists()


def test_a_sidecar_that_is_wrong_costs_one_line(run, net):
    net.with_suffix(".toml").write_text("[input]\n'r\x7fnage' = [0, 1]\n", encoding="utf-8")
    outcome = run("inspect", net)
    assert outcome.code == 1
    assert "\x7f" not in outcome.out + outcome.err
    net.with_suffix(".toml").write_text("[input]\nrnage = [0, 1]\n")
    outcome = run("inspect", net)
    assert re.search(
        r"^problem +its sidecar `net.toml`: there is no key `input.rnage`",
        outcome.out,
        re.MULTILINE,
    )


def test_verbose_says_who_said_what(rank, good):
    (good / "depth-keras.toml").write_text('[input]\nrange = [0, 255]\n[output]\nat = "output"\n')
    outcome = rank(good, "-v")
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("depth-keras: ")]
    assert "range: sidecar" in line
    assert "attributed at features: the output, by sidecar" in line
    assert outcome.json["settings"]["at"] == "feature"
    assert "edges-torch" in next(w for w in outcome.warnings if "range" in w)
    outcome = rank(good, "-v", "--at", "features", "--range", "0", "1")
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("depth-keras: ")]
    assert "range: option" in line
    assert "attributed at features: named;" in line


def test_metadata_that_attacks_the_reader(run, net):
    """It is shown as it is not believed, without anything that moves a cursor or reorders."""
    evil = "\x1b[2J\u202e\x9b]0;\n=cmd|x" + "A" * 3000
    proto = onnx.load(net)
    keys = ("layout", "range", "input", "at", evil)
    onnx.helper.set_model_props(proto, {f"onnxattr.{key}": evil for key in keys})
    proto.graph.input[0].type.tensor_type.shape.dim[0].denotation = evil
    onnx.save(proto, net)

    for form in ("table", "json", "csv", "markdown"):
        outcome = run("inspect", net, "-f", form)
        assert outcome.code == 0
        text = outcome.out + outcome.err
        assert not {"\x1b", "\u202e", "\x9b"} & set(text)
        assert "A" * 300 not in text
    shown = " ".join(run("inspect", net).out.split())
    for part in ("range 0 to 1 (assumed; metadata: ignored,", "metadata ignored, there is no key"):
        assert part in shown
    assert run("inspect", net, "--write-spec").code == 0
    assert "\x1b" not in net.with_suffix(".toml").read_text()
