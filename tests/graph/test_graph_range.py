"""What a graph does first to its input tells the range that it wants."""

import numpy as np
import pytest

from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.graph.range import shown_range

W = np.ones((4, 3, 1, 1), np.float32)


def channels(*values):
    return np.array(values, np.float32).reshape(-1, 1, 1)


UNIT, BYTES, SIGNED = (0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)

#: What comes before the first layer, its constants, and the range and the colours that it shows.
BEGINNINGS = {
    "divided": ("h = Div(x, k)", {"k": np.float32(255)}, BYTES, None),
    "multiplied": ("h = Mul(k, x)", {"k": np.float32(1 / 255)}, BYTES, None),
    "to −1…1": (
        "a = Mul(x, k) h = Add(a, o)",
        {"k": np.float32(1 / 127.5), "o": np.float32(-1)}, BYTES, None,
    ),
    "of one to −1…1": (
        "a = Mul(x, k) h = Sub(a, o)", {"k": np.float32(2), "o": np.float32(1)}, UNIT, None,
    ),
    "of −1…1 to one": (
        "a = Add(x, o) h = Mul(a, k)", {"k": np.float32(0.5), "o": np.float32(1)}, SIGNED, None,
    ),
    "ImageNet": (
        "a = Sub(x, m) h = Div(a, s)",
        {"m": channels(0.485, 0.456, 0.406), "s": channels(0.229, 0.224, 0.225)}, UNIT, "RGB",
    ),
    "ImageNet of bytes": (
        "c = Cast<to = 1>(x) a = Sub(c, m) h = Div(a, s)",
        {"m": channels(123.675, 116.28, 103.53), "s": channels(58.4, 57.12, 57.38)}, BYTES, "RGB",
    ),
    "Caffe": ("h = Sub(x, m)", {"m": channels(103.939, 116.779, 123.68)}, BYTES, "BGR"),
    "one mean": ("h = Add(x, m)", {"m": np.float32(-127.5)}, BYTES, None),
    "ImageScaler": (
        "h = ImageScaler<scale = 0.00392157, bias = [0.0, 0.0, 0.0]>(x)", {}, BYTES, None,
    ),
    "batch normalisation": (
        "h = BatchNormalization(x, g, b, m, v)",
        {"g": np.full(3, 2, np.float32), "b": np.full(3, 7, np.float32),
         "m": np.array([120, 110, 100], np.float32), "v": np.full(3, 3600, np.float32)},
        BYTES, None,
    ),
    "kept": ("h = Clip(x, k, o)", {"k": np.float32(0), "o": np.float32(1)}, UNIT, None),
    "quantised": (
        "q = QuantizeLinear(x, s, z) h = DequantizeLinear(q, s, z)",
        {"s": np.float32(1 / 255), "z": np.uint8(0)}, UNIT, None,
    ),
    "quantised with a sign": (
        "q = QuantizeLinear(x, s, z) h = DequantizeLinear(q, s, z)",
        {"s": np.float32(1 / 255), "z": np.int8(-128)}, UNIT, None,
    ),
}  # fmt: skip

#: Beginnings that tell nothing.
SILENT = {
    "nothing": ("h = Identity(x)", {}),
    "half of it": ("h = Mul(x, k)", {"k": np.float32(0.5)}),
    "standardised already": ("h = BatchNormalization(x, g, b, m, v)", {
        "g": np.ones(3, np.float32), "b": np.zeros(3, np.float32),
        "m": np.zeros(3, np.float32), "v": np.ones(3, np.float32)}),
    "a layer first": ("a = Relu(x) h = Div(a, k)", {"k": np.float32(255)}),
    "two readers": ("a = Div(x, k) h = Mul(a, x)", {"k": np.float32(255)}),
    "a constant of pixels": ("h = Sub(x, k)", {"k": np.full((3, 8, 8), 120, np.float32)}),
    "infinite": ("h = Div(x, k)", {"k": np.float32(0)}),
    "no number": ("h = Sub(x, k)", {"k": np.float32(np.nan)}),
}  # fmt: skip


def model(build, body, weights):
    text = f"(float[N,3,8,8] x) => (float[N,4,8,8] y) {{ {body} y = Conv(h, w) }}"
    opset = 1 if "ImageScaler" in body else 17
    return load(build(text, w=W, opset=opset, **weights))


@pytest.mark.parametrize("name", BEGINNINGS)
def test_beginnings(build, name):
    body, weights, expected, color = BEGINNINGS[name]
    spec = image_input(model(build, body, weights))
    assert spec.range == expected
    assert spec.sources["range"].startswith("graph: ")
    assert spec.sources["color"].startswith("graph: " if color else "assumed")
    assert spec.color == (color or "RGB")


@pytest.mark.parametrize("name", SILENT)
def test_beginnings_that_tell_nothing(build, name):
    body, weights = SILENT[name]
    spec = image_input(model(build, body, weights))
    assert (spec.range, spec.sources["range"]) == (UNIT, "assumed")


def test_what_is_said_goes_before(build):
    body, weights, *_ = BEGINNINGS["divided"]
    spec = image_input(model(build, body, weights), InputOptions(range=(0, 1)))
    assert (spec.range, spec.sources["range"]) == (UNIT, "option")


def test_a_long_beginning_ends(build):
    body = " ".join(f"a{i + 1} = Add(a{i}, k)" for i in range(200))
    graph = model(build, f"a0 = Identity(x) {body} h = Identity(a200)", {"k": np.float32(1)})
    assert shown_range(graph.proto.graph, "x") is None


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_of_channels_last_too(build, layout):
    dims, mean = ("3,8,8", channels(103.9, 116.8, 123.7))
    body = "h = Sub(x, m)"
    if layout == "NHWC":
        dims, mean = "8,8,3", mean.reshape(-1)
        body = "t = Sub(x, m) h = Transpose<perm=[0,3,1,2]>(t)"
    text = f"(float[N,{dims}] x) => (float[N,4,8,8] y) {{ {body} y = Conv(h, w) }}"
    spec = image_input(load(build(text, w=W, m=mean)))
    assert (spec.layout, spec.range, spec.color) == (layout, BYTES, "BGR")
