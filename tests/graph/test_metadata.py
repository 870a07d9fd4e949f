"""What a file's own metadata says of its input; a vendor wrote it, so nothing in it may do harm."""

import numpy as np
import onnx
import pytest

from onnxattr.errors import ModelFileError
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.types import ASSUMED

NET = "(float[N,3,H,W] x) => (float[N,4,H,W] y) { y = Conv(x, w) }"
W3 = np.ones((4, 3, 1, 1), np.float32)


@pytest.fixture
def fed(build):
    """`fed(key=value, …)` → the spec of a net with that metadata."""

    def fed(props, text=NET, channels=3):
        proto = build(text, w=np.ones((4, channels, 1, 1), np.float32))
        onnx.helper.set_model_props(proto, props)
        return image_input(load(proto))

    return fed


@pytest.mark.parametrize(
    ("key", "value", "part", "means"),
    [
        ("onnxattr.layout", "ncwh", "layout", "NCWH"),
        ("onnxattr.size", "240x320", "height", 240),
        ("onnxattr.size", "64", "width", 64),
        ("onnxattr.color", "bgr", "color", "BGR"),
        ("onnxattr.range", "0 255", "range", (0.0, 255.0)),
        ("onnxattr.range", " -1, 1 ", "range", (-1.0, 1.0)),
        ("onnxattr.mean", "0.485 0.456 0.406", "mean", (0.485, 0.456, 0.406)),
        ("onnxattr.std", "0.5", "std", (0.5,)),
        ("onnxattr.gamma", "2.2", "gamma", 2.2),
        ("onnxattr.resize", "Letterbox", "resize", "letterbox"),
        ("onnxattr.input", "x", "input", "x"),
        ("Image.BitmapPixelFormat", "Rgb8", "color", "RGB"),
        ("Image.BitmapPixelFormat", "Bgr8", "color", "BGR"),
        ("Image.BitmapPixelFormat", "Rgba8", "color", "RGB"),
        ("IMAGE.BITMAPPIXELFORMAT", "bgra8", "color", "BGR"),
        ("Image.ColorSpaceGamma", "Linear", "gamma", 2.2),
        ("Image.ColorSpaceGamma", "SRGB", "gamma", 1.0),
        ("Image.NominalPixelRange", "NominalRange_0_255", "range", (0.0, 255.0)),
        ("Image.NominalPixelRange", "Normalized_0_1", "range", (0.0, 1.0)),
        ("Image.NominalPixelRange", "Normalized_1_1", "range", (-1.0, 1.0)),
        ("Image.NominalPixelRange", "NominalRange_16_235", "range", (16.0, 235.0)),
    ],
)  # fmt: skip
def test_every_key(fed, key, value, part, means):
    spec = fed({key: value})
    assert getattr(spec, part) == means
    source = spec.sources["size" if part in ("height", "width") else part]
    assert source == ("metadata" if key.startswith("onnxattr.") else f"metadata: {source[10:]}")
    assert source.lower() in ("metadata", f"metadata: {key}".lower())


@pytest.mark.parametrize(
    ("key", "value", "part", "says"),
    [
        ("onnxattr.layout", "NCXW", "layout", "there is no layout `NCXW`"),
        ("onnxattr.layout", "CHW", "layout", "the layout CHW has 3 axes, and the input 4"),
        ("onnxattr.layout", "", "layout", "there is no layout ``"),
        ("onnxattr.size", "224x", "size", "it takes HEIGHTxWIDTH"),
        ("onnxattr.size", "99999", "size", "1 to 8192 pixels"),
        ("onnxattr.size", "٣x٣", "size", "it takes HEIGHTxWIDTH"),
        ("onnxattr.color", "GBR", "color", "there is no color order `GBR`"),
        ("onnxattr.range", "0..255", "range", "those are not numbers"),
        ("onnxattr.range", "0 1 2", "range", "it takes two numbers"),
        ("onnxattr.range", "1 0", "range", "does not rise"),
        ("onnxattr.range", "0 inf", "range", "is not finite"),
        ("onnxattr.range", "0 1" + " " * 300, "range", "it is too long"),
        ("onnxattr.mean", "1 2", "mean", "one value or three"),
        ("onnxattr.mean", "nan", "mean", "is not finite"),
        ("onnxattr.std", "0", "std", "is not positive"),
        ("onnxattr.gamma", "", "gamma", "those are not numbers"),
        ("onnxattr.gamma", "1 2", "gamma", "it takes one number"),
        ("onnxattr.resize", "pad", "resize", "there is no resize rule `pad`"),
        ("onnxattr.input", "z", "input", "the input `z` is none of its inputs"),
        ("onnxattr.input", "", "input", "it is empty"),
        ("Image.BitmapPixelFormat", "Rgb16", "color", "did you mean `Rgb8`?"),
        ("Image.ColorSpaceGamma", "2.2", "gamma", "known are SRGB, Linear"),
        ("Image.NominalPixelRange", "NominalRange_0_256", "range", "did you mean"),
        ("model_info resize_type", "fit_to_window", "resize", "did you mean"),
        ("model_info mean_values", "a b c", "mean", "those are not numbers"),
        ("model_info scale_values", "0 0 0", "std", "is not positive"),
    ],
)  # fmt: skip
def test_malformed_values_are_left_out_and_said(fed, key, value, part, says):
    spec, plain = fed({key: value}), fed({})
    known = {k: getattr(spec, k) for k in ("layout", "size", "color", "gamma") if k != "size"}
    assert known == {k: getattr(plain, k) for k in known}
    source = spec.sources[part]
    assert "; metadata: ignored, " in source
    assert says in source
    assert len(source) < 300
    if part in plain.sources and "model_info" not in key:
        assert source.startswith(plain.sources[part])


def test_a_key_of_ours_that_there_is_not(fed):
    assert fed({"onnxattr.rnage": "0 255"}).sources["metadata"] == (
        "ignored, there is no key `onnxattr.rnage`: did you mean `onnxattr.range`?"
    )
    assert "metadata" not in fed({"anything else": "0 255"}).sources


def test_three_values_for_one_channel(fed):
    text = NET.replace("N,3,H", "N,1,H")
    spec = fed({"onnxattr.mean": "1 2 3", "onnxattr.range": "0 9"}, text, channels=1)
    assert (spec.range, spec.mean) == ((0.0, 9.0), (0.0,))
    assert spec.sources["mean"] == (
        "metadata; metadata: ignored, the mean 1 2 3 has three values, and the input one channel"
    )
    spec = fed({"onnxattr.mean": "1 2 3"}, text, channels=1)
    assert spec.sources["range"] == ASSUMED  # What is not believed states nothing beside it.


YOLO = {"stride": "32", "names": "{0: 'person'}", "imgsz": "[640, 480]", "task": "detect"}


@pytest.mark.parametrize(
    ("props", "fed_as"),
    [
        (YOLO, ("RGB", (0.0, 1.0), "letterbox", 640, 480)),
        ({**YOLO, "task": "classify"}, ("RGB", (0.0, 1.0), "crop", 640, 480)),
        ({"stride": "32", "names": "['person']"}, ("RGB", (0.0, 1.0), "letterbox", 224, 224)),
    ],
)
def test_ultralytics(fed, props, fed_as):
    spec = fed(props)
    assert (spec.color, spec.range, spec.resize, spec.height, spec.width) == fed_as
    for part in ("color", "range", "mean", "std", "resize"):
        assert spec.sources[part] == "metadata: Ultralytics"


@pytest.mark.parametrize("changed", [{"stride": "many"}, {"names": "person"}, {"stride": ""}])
def test_what_is_not_of_ultralytics(fed, changed):
    assert fed({**YOLO, **changed}).sources["range"] == ASSUMED


def test_a_size_of_ultralytics_that_is_none(fed):
    spec = fed({**YOLO, "imgsz": "[640, 480, 3]"})
    assert (spec.height, spec.color) == (224, "RGB")
    assert "metadata: ignored, `imgsz` is `[640, 480, 3]`" in spec.sources["size"]


def test_openvino(fed):
    spec = fed({"model_info mean_values": "123.675 116.28 103.53",
                "model_info scale_values": "[58.395, 57.12, 57.375]",
                "model_info reverse_input_channels": "YES",
                "model_info resize_type": "fit_to_window_letterbox"})  # fmt: skip
    assert (spec.range, spec.mean) == ((0.0, 255.0), (123.675, 116.28, 103.53))
    assert (spec.std, spec.color, spec.resize) == ((58.395, 57.12, 57.375), "RGB", "letterbox")
    assert {spec.sources[k] for k in ("range", "mean", "std", "color", "resize")} == {
        "metadata: OpenVINO"
    }


def test_openvino_without_arithmetic_says_nothing_of_the_range(fed):
    spec = fed({"model_info labels": "a b", "model_info mean_values": "",
                "model_info reverse_input_channels": "False"})  # fmt: skip
    assert (spec.sources["range"], spec.sources["color"]) == (ASSUMED, ASSUMED)


def test_openvino_with_other_intensities(fed):
    props = {"model_info mean_values": "0.5", "model_info intensity_mode": "scale_to_unit"}
    assert fed(props).range == (0.0, 1.0)
    spec = fed({**props, "model_info intensity_mode": "window"})
    assert spec.sources["range"].startswith(
        "assumed; metadata: ignored, `model_info intensity_mode`"
    )
    assert spec.mean == (0.0,)


AXES = "metadata: denotations of its axes"
DENOTED = {"N": "DATA_BATCH", "C": "DATA_CHANNEL", "H": "DATA_FEATURE", "W": "DATA_FEATURE"}


@pytest.mark.parametrize(
    ("dims", "words", "layout", "source"),
    [
        ("N,3,3,3", [DENOTED[k] for k in "NHWC"], "NHWC", AXES),
        ("N,3,3,3", [DENOTED[k].lower() for k in "NCHW"], "NCHW", AXES),
        ("N,3,3,3", [DENOTED[k] for k in "CHWN"], "CHWN", AXES),
        ("N,3,8,9", [DENOTED[k] for k in "NCH"] + [""], "NCHW",
         "graph: axis 1 has size 3; metadata: ignored, `denotation` is `DATA_BATCH DATA_CHANNEL "
         "DATA_FEATURE `: those are not the axes of an image"),
        ("N,3,8,9", ["DATA_TIME"] * 4, "NCHW",
         "graph: axis 1 has size 3; metadata: ignored, `denotation` is `DATA_TIME DATA_TIME "
         "DATA_TIME DATA_TIME`: those are not the axes of an image"),
        ("N,3,8,9", [DENOTED[k] for k in "NHCW"], "NCHW",
         "graph: axis 1 has size 3; metadata: ignored, the layout NHCW gives its input `x` "
         "float32[N,3,8,9] 8 channels, and an image has 1, 3 or 4"),
    ],
)  # fmt: skip
def test_denotations(build, dims, words, layout, source):
    proto = build(f"(float[{dims}] x) => (float[N,k] y) {{ y = Flatten(x) }}")
    for dim, word in zip(proto.graph.input[0].type.tensor_type.shape.dim, words, strict=True):
        dim.denotation = word
    spec = image_input(load(proto))
    assert (spec.layout, spec.sources["layout"]) == (layout, source)


@pytest.mark.parametrize("seed", range(40))
def test_any_bytes_in_any_value(fed, seed):
    """Whatever stands there: a spec that makes sense, and sources that are short."""
    random = np.random.default_rng(seed)
    own = ("layout", "size", "range", "mean", "gamma", "input", "x")
    others = ("Image.NominalPixelRange", "stride", "names", "imgsz")
    info = ("mean_values", "scale_values", "resize_type")
    keys = (*(f"onnxattr.{k}" for k in own), *others, *(f"model_info {k}" for k in info))
    letters = [*"0123456789.,x[]{}() -+eEinfa_\x1b\u202e\n\t'\"NCHW×", "32", "1e999"]
    props = {k: "".join(random.choice(letters, random.integers(0, 12))) for k in keys}
    spec = fed({**props, "names": "[" + props["names"], "stride": "32"})
    assert set("HW") <= set(spec.layout) <= set("NCHW")
    assert np.isfinite([*spec.range, *spec.mean, *spec.std, spec.gamma]).all()
    assert all(len(source) < 2000 for source in spec.sources.values())


def test_many_and_long_keys(fed):
    spec = fed({f"onnxattr.k{i}": "v" * 1000 for i in range(20_000)})
    assert len(spec.sources["metadata"]) < 300
    assert len(fed({"onnxattr.range": "9" * 10**6}).sources["range"]) < 300


def test_keys_that_are_there_twice(build):
    proto = build(NET, w=W3)
    for value in ("0 1", "0 255"):
        proto.metadata_props.add(key="onnxattr.range", value=value)
    with pytest.raises(ModelFileError, match="duplicate keys"):
        load(proto)
