"""What is written beside a model, or into a copy of it, is read back as it was meant."""

import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import onnxattr
from onnxattr.types import ASSUMED, PARTS

SAMPLES = Path(__file__).parents[2] / "samples" / "models"

HEADER = '<ir_version: 8, opset_import: ["" : 17]> '
RGB = (
    "(float[N,3,H,W] x) => (float[N,4,H,W] y) { h = Conv(x, w) r = Relu(h) y = Softmax<axis=1>(r) }"
)
GREY = "(float[N,8,9] x) => (float[N,4,8,9] y) { u = Unsqueeze(x, a) y = Conv(u, w) }"
BYTES = """(uint8[2,8,9,4] x) => (float[2,4,8,9] y) {
    f = Cast<to=1>(x) t = Transpose<perm=[0,3,1,2]>(f) y = Conv(t, w)
}"""


def model(text, channels=3):
    proto = parser.parse_model(HEADER + "g " + text)
    weight = np.random.default_rng(0).normal(size=(4, channels, 1, 1)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    if "(x, a)" in text:
        proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "a"))
    return proto


def odd_names():
    """Names that TOML has to escape, and some of which no terminal may see."""
    proto = model(RGB)
    for old, new in (("x", 'in "put"\\\u202e\x1b[31m\U0001f600'), ("r", "logits'\n#")):
        for node in proto.graph.node:
            node.input[:] = [new if v == old else v for v in node.input]
            node.output[:] = [new if v == old else v for v in node.output]
        for value in proto.graph.input:
            value.name = new if value.name == old else value.name
    return proto


ALL = onnxattr.InputOptions(
    layout="NCHW", size=(48, 64), color="BGR", range=(0.0, 255.0), mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 1 / 3), gamma=2.2, resize="letterbox",
)  # fmt: skip

#: Models, what the user says of them, and what is attributed.
CASES = {
    "all": (model(RGB), ALL, "logits"),
    "names": (odd_names(), ALL, "logits'\n#"),
    "grey": (model(GREY, 1), onnxattr.InputOptions(range=(-1.0, 1.0)), None),
    "bytes": (model(BYTES, 4), onnxattr.InputOptions(color="RGB", resize="crop"), "output"),
    "centred": (
        model(RGB),
        onnxattr.InputOptions(size=(8, 8), color="RGB", mean=(0.5,), std=(0.5,), layout="NCWH"),
        None,
    ),
}


@pytest.fixture
def saved(tmp_path):
    def saved(name):
        proto, options, at = CASES[name]
        onnx.save(proto, tmp_path / "net.onnx")
        return tmp_path / "net.onnx", options, at

    return saved


def inspected(path, **options):
    (found,) = onnxattr.inspect(path, **options).models
    return found


def same(one, other):
    """Whether two models are fed in the same way and attributed at the same tensor."""
    assert replace(one.spec, sources={}) == replace(other.spec, sources={})
    assert one.representation.value == other.representation.value
    return True


@pytest.mark.parametrize("name", CASES)
def test_a_sidecar_is_read_back(saved, name):
    path, options, at = saved(name)
    before = inspected(path, input=options, at=at)

    written = onnxattr.write_spec(path, input=options, at=at)

    assert written == path.with_name("net.toml")
    after = inspected(path)
    assert same(before, after)
    grey = before.spec.channels == 1
    expected = {part: "sidecar" for part in PARTS if not (grey and part == "color")}
    assert {p: after.spec.sources[p] for p in expected} == expected
    assert after.spec.sources["input"] == "sidecar"
    assert after.representation.rule.endswith(", by sidecar")
    assert after.at == (at or "feature")
    text = written.read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("name", CASES)
def test_a_copy_is_read_back(saved, name):
    path, options, at = saved(name)
    before, data = inspected(path, input=options, at=at), path.read_bytes()
    copy = path.with_name("copy.onnx")

    spec = onnxattr.stamp(path, copy, input=options, at=at)

    assert path.read_bytes() == data
    assert spec == before.spec
    after = inspected(copy)
    assert same(before, after)
    grey = before.spec.channels == 1
    expected = {part: "metadata" for part in PARTS if not (grey and part == "color")}
    assert {p: after.spec.sources[p] for p in expected} == expected
    assert after.representation.rule.endswith(", by metadata") is (at is not None)
    onnx.checker.check_model(onnx.load(copy), full_check=True)


def outputs(path, **feeds):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, feeds), session.get_modelmeta().custom_metadata_map


@pytest.mark.parametrize("name", ["rgb2depth-torch", "rgb2depth-keras"])
def test_a_copy_computes_the_same_for_onnx_runtime(tmp_path, name):
    path, copy = SAMPLES / f"{name}.onnx", tmp_path / "copy.onnx"
    onnxattr.stamp(path, copy, input=replace(ALL, layout=None, size=None))

    given = onnx.load(path).graph.input[0]
    shape = [d.dim_value or 2 for d in given.type.tensor_type.shape.dim]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before, _ = outputs(path, **{given.name: x})
    after, metadata = outputs(copy, **{given.name: x})
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert metadata["onnxattr.layout"] == ("NHWC" if "keras" in name else "NCHW")
    assert metadata["onnxattr.mean"] == "123.675 116.28 103.53"
    assert metadata["Image.BitmapPixelFormat"] == "Bgr8"

    proto, stamped = onnx.load(path), onnx.load(copy)
    for one in (proto, stamped):
        del one.metadata_props[:]
        one.graph.input[0].type.denotation = ""
        for dim in one.graph.input[0].type.tensor_type.shape.dim:
            dim.denotation = ""
    assert proto == stamped


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("all", ALL, {"Image.BitmapPixelFormat": "Bgr8", "Image.ColorSpaceGamma": "Linear"}),
        ("grey", {"range": (0.0, 1.0)}, {"Image.BitmapPixelFormat": "Gray8",
            "Image.ColorSpaceGamma": "SRGB", "Image.NominalPixelRange": "Normalized_0_1"}),
        ("bytes", {"color": "BGR"}, {"Image.BitmapPixelFormat": "Bgra8",
            "Image.ColorSpaceGamma": "SRGB", "Image.NominalPixelRange": "NominalRange_0_255"}),
        ("centred", {"color": "RGB", "mean": (0.5,), "std": (0.5,), "gamma": 1.8},
            {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_1_1"}),
        ("all", {"range": (16.0, 235.0)},
            {"Image.ColorSpaceGamma": "SRGB", "Image.NominalPixelRange": "NominalRange_16_235"}),
        ("all", {}, {"Image.ColorSpaceGamma": "SRGB"}),
    ],
)  # fmt: skip
def test_the_standard_keys_that_can_say_it(saved, name, options, expected):
    path, _, _ = saved(name)
    options = options if options is ALL else onnxattr.InputOptions(**options)
    onnxattr.stamp(path, path.with_name("copy.onnx"), input=options)
    proto = onnx.load(path.with_name("copy.onnx"))
    found = {p.key: p.value for p in proto.metadata_props if p.key.startswith("Image.")}
    assert found == expected


def test_denotations_are_onnx_s_own_words(saved):
    path, _, _ = saved("bytes")
    onnxattr.stamp(path, path.with_name("copy.onnx"))
    (value,) = onnx.load(path.with_name("copy.onnx")).graph.input
    assert value.type.denotation == "IMAGE"
    assert [d.denotation for d in value.type.tensor_type.shape.dim] == [
        "DATA_BATCH", "DATA_FEATURE", "DATA_FEATURE", "DATA_CHANNEL",
    ]  # fmt: skip
    # They cannot say that columns come first.
    onnxattr.stamp(path, path.with_name("copy.onnx"), input=onnxattr.InputOptions(layout="NWHC"))
    (value,) = onnx.load(path.with_name("copy.onnx")).graph.input
    assert {d.denotation for d in value.type.tensor_type.shape.dim} == {""}


def test_what_is_assumed_does_not_become_knowledge(saved):
    path, _, _ = saved("all")
    before = inspected(path)
    doubtful = [p for p in PARTS if before.spec.sources[p].startswith(ASSUMED)]
    assert doubtful == ["size", "color", "range", "mean", "std"]

    onnxattr.stamp(path, path.with_name("copy.onnx"))
    onnxattr.write_spec(path)

    for file in (path, path.with_name("copy.onnx")):
        after = inspected(file)
        assert same(before, after)
        assert [p for p in PARTS if after.spec.sources[p].startswith(ASSUMED)] == doubtful
    text = path.with_name("net.toml").read_text()
    assert "\n# range = [0.0, 1.0] " in text
    body = text[text.index("[input]") :].replace("\n# ", "\n")  # Somebody vouches for all of it.
    path.with_name("net.toml").write_text(body)
    after = inspected(path)
    assert same(before, after)
    assert {after.spec.sources[p] for p in PARTS} == {"sidecar"}


def test_a_sidecar_says_what_decided_each_value(saved):
    path, _, _ = saved("all")
    options = onnxattr.InputOptions(range=(0, 255), size=(32, 32))
    text = onnxattr.write_spec(path, input=options, at="logits").read_text()
    assert tomllib.loads(text) == {
        "input": {"name": "x", "layout": "NCHW", "size": [32, 32], "range": [0, 255], "mean": 0,
                  "std": 1, "gamma": 1, "resize": "stretch"},
        "output": {"at": "logits"},
    }  # fmt: skip
    lines = {line.split(" = ")[0]: line.split("  # ")[-1] for line in text.splitlines()}
    assert lines["layout"] == "graph: the first Conv reads axis 1 as channels"
    assert (lines["range"], lines["# color"]) == ("option", "assumed")
    assert lines["at"] == "r: the input of the final Softmax"


def test_fixed_values_are_kept(tmp_path):
    text = "(float[N,3,8,8] x, float[1] s) => (float[N,4,8,8] y) { h = Conv(x, w) y = Mul(h, s) }"
    onnx.save(model(text), tmp_path / "net.onnx")
    (tmp_path / "net.toml").write_text('[input]\nname = "x"\n[fixed]\ns = 0.5\n')
    (found,) = onnxattr.inspect(tmp_path / "net.onnx").models
    assert found.fixed == {"s": 0.5}


def test_a_second_stamp_replaces_the_first(saved):
    path, options, at = saved("all")
    copy = path.with_name("copy.onnx")
    onnxattr.stamp(path, copy, input=options, at=at)
    other = replace(options, mean=(0.0,), std=(1.0,), color="RGB", gamma=1.7)
    onnxattr.stamp(copy, copy.with_name("again.onnx"), input=other, at="feature")
    proto = onnx.load(copy.with_name("again.onnx"))
    found = {p.key: p.value for p in proto.metadata_props}
    assert len(found) == len(proto.metadata_props)
    assert "onnxattr.at" not in found
    assert "Image.ColorSpaceGamma" not in found  # Nothing of it can say 1.7.
    assert found["Image.NominalPixelRange"] == "NominalRange_0_255"
    assert (found["Image.BitmapPixelFormat"], found["onnxattr.gamma"]) == ("Rgb8", "1.7")


def test_other_metadata_stays(saved):
    path, _, _ = saved("all")
    proto = onnx.load(path)
    onnx.helper.set_model_props(
        proto, {"license": "CC0", "image.bitmappixelformat": "Bgr8", "onnxattr.colour": "BGR"}
    )
    onnx.save(proto, path)
    onnxattr.stamp(path, path.with_name("copy.onnx"), input=onnxattr.InputOptions(color="RGB"))
    found = {p.key: p.value for p in onnx.load(path.with_name("copy.onnx")).metadata_props}
    assert (found["license"], found["Image.BitmapPixelFormat"]) == ("CC0", "Rgb8")
    assert not {"image.bitmappixelformat", "onnxattr.colour"} & found.keys()


def test_external_data(saved, tmp_path):
    path, options, _ = saved("all")
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="net.bin", size_threshold=0
    )
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(onnxattr.UsageError, match="second file, which is not copied") as caught:
        onnxattr.stamp(path, tmp_path / "elsewhere" / "copy.onnx", input=options)
    assert str(tmp_path) in caught.value.hint
    assert os.listdir(tmp_path / "elsewhere") == []

    onnxattr.stamp(path, tmp_path / "copy.onnx", input=options)

    assert inspected(tmp_path / "copy.onnx").spec.sources["range"] == "metadata"
    np.testing.assert_array_equal(
        outputs(path, x=x)[0][0], outputs(tmp_path / "copy.onnx", x=x)[0][0]
    )


def test_the_original_is_never_the_copy(saved):
    path, _, _ = saved("all")
    data = path.read_bytes()
    path.with_name("link.onnx").symlink_to(path)
    path.with_name("hard.onnx").hardlink_to(path)
    for output in (path, path.with_name("link.onnx"), path.with_name("hard.onnx")):
        with pytest.raises(onnxattr.UsageError, match="is the model itself"):
            onnxattr.stamp(path, output)
    assert path.read_bytes() == data


def test_nothing_is_left_of_a_copy_that_fails(saved):
    path, _, _ = saved("all")
    target = path.with_name("copy.onnx")
    target.write_text("before")
    path.with_name("bad.onnx").write_bytes(path.read_bytes()[:-30])
    with pytest.raises(onnxattr.ModelFileError):
        onnxattr.stamp(path.with_name("bad.onnx"), target)
    with pytest.raises(onnxattr.UsageError, match="no tensor `nowhere`"):
        onnxattr.stamp(path, target, at="nowhere")
    with pytest.raises(onnxattr.ModelInputError, match="3 axes"):
        onnxattr.stamp(path, target, input=onnxattr.InputOptions(layout="CHW"))
    with pytest.raises(onnxattr.UsageError, match="cannot be written"):
        onnxattr.stamp(path, path.parent / "no" / "copy.onnx")
    assert target.read_text() == "before"
    assert sorted(os.listdir(path.parent)) == ["bad.onnx", "copy.onnx", "net.onnx"]


def test_no_sidecar_is_written_over(saved):
    path, _, _ = saved("all")
    sidecar = path.with_name("net.toml")
    sidecar.write_text('[input]\ncolor = "BGR"\nrange = [0, 255]\n')
    with pytest.raises(onnxattr.UsageError, match="there is a sidecar already") as caught:
        onnxattr.write_spec(path)
    assert "--force" in caught.value.hint
    assert "range = [0, 255]\n" in sidecar.read_text()

    onnxattr.write_spec(path, force=True, input=onnxattr.InputOptions(color="RGB"))

    # What it said is kept, but for what an argument says.
    assert tomllib.loads(sidecar.read_text())["input"]["range"] == [0, 255]
    assert tomllib.loads(sidecar.read_text())["input"]["color"] == "RGB"
    sidecar.unlink()
    sidecar.symlink_to(path.with_name("nowhere"))
    with pytest.raises(onnxattr.UsageError, match="there is a sidecar already"):
        onnxattr.write_spec(path)


def test_models_of_which_nothing_can_be_written(tmp_path):
    with pytest.raises(onnxattr.UsageError, match="is no file"):
        onnxattr.write_spec(tmp_path)
    (tmp_path / "net.onnx").write_text("no model")
    with pytest.raises(onnxattr.ModelInputError, match="not an ONNX model"):
        onnxattr.write_spec(tmp_path / "net.onnx")
    onnx.save(parser.parse_model(HEADER + "g (float[N,K] x) => (float[N,K] y) { y = Relu(x) }"),
              tmp_path / "net.onnx")  # fmt: skip
    with pytest.raises(onnxattr.ModelInputError, match="no sidecar was written: its input `x`"):
        onnxattr.write_spec(tmp_path / "net.onnx")
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_maps_follow_the_sidecar(tmp_path):
    """A ranking, and maps of a model that was loaded with its sidecar, are those of the options."""
    path = tmp_path / "net.onnx"
    shutil.copy(SAMPLES / "edge2d-torch.onnx", path)
    options = onnxattr.Options(limit=2, device="cpu", store=None)
    plain = onnxattr.attribute(path, options=options).values
    said = onnxattr.InputOptions(range=(0.0, 4.0), color="BGR", gamma=2.2)
    asked = onnxattr.attribute(path, options=replace(options, input=said, at="output")).values
    (tmp_path / "net.toml").write_text(
        '[input]\nrange = [0, 4]\ncolor = "BGR"\ngamma = 2.2\n[output]\nat = "output"\n'
    )

    for source in (path, onnxattr.load(path)):
        np.testing.assert_array_equal(onnxattr.attribute(source, options=options).values, asked)
    assert np.abs(plain - asked).max() > 0

    ranking = onnxattr.rank([path, SAMPLES / "rgb2depth-torch.onnx"], options=options)
    (net,) = [m for m in ranking.models if m.name == "net"]
    assert net.spec.sources["range"] == "sidecar"
    assert net.representation.rule == "the output, by sidecar"


def test_a_broken_sidecar_costs_its_own_model_only(tmp_path):
    for name in ("edge2d-torch", "rgb2depth-torch", "autoencoder-torch"):
        shutil.copy(SAMPLES / f"{name}.onnx", tmp_path)
    (tmp_path / "rgb2depth-torch.toml").write_text("[input]\nrnage = [0, 1]\n")
    ranking = onnxattr.rank(tmp_path, options=onnxattr.Options(limit=2, device="cpu"))
    assert [m.name for m in ranking.models] == ["autoencoder-torch", "edge2d-torch"]
    (failure,) = ranking.failures
    assert failure.message == "its sidecar `rgb2depth-torch.toml`: there is no key `input.rnage`"
    assert failure.hint.startswith("did you mean `range`?")
