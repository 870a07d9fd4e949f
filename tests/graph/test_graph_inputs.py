"""How a probe is fed: layout by axis tracking, sizes by shape, the user's word above both."""

import numpy as np
import pytest

from onnxattr.errors import ModelInputError, UsageError
from onnxattr.graph.inputs import FREE_SIZE, image_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import shape
from onnxattr.graph.options import InputOptions

CONV = "(float[{dims}] x) => (float[a,b,c,d] y) {{ {before} y = Conv(h, w) }}"
W3 = np.ones((4, 3, 1, 1), np.float32)


def spec_of(build, before, dims="N,3,8,9", options=None, **weights):
    weights = {"w": W3, **weights}
    return image_input(load(build(CONV.format(dims=dims, before=before), **weights)), options)


CHANNEL = np.ones((1, 3, 1, 1), np.float32)
BN = {k: np.ones(3, np.float32) for k in ("s", "o", "m", "v")}


@pytest.mark.parametrize(
    ("before", "weights"),
    [
        ("h = Identity(x)", {}),
        ("h = Mul(x, k)", {"k": CHANNEL}),
        ("a1 = Sub(x, k) h = Div(a1, k)", {"k": CHANNEL}),
        ("a1 = Add(k, x) h = Relu(a1)", {"k": CHANNEL}),
        ("h = Cast<to = 1>(x)", {}),
        ("h = Pad(x, p)", {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
        ("h = BatchNormalization(x, s, o, m, v)", BN),
        ("a1 = Transpose<perm=[0,2,3,1]>(x) h = Transpose<perm=[0,3,1,2]>(a1)", {}),
        ("a1 = Transpose<perm=[0,2,3,1]>(x) a2 = Mul(a1, k) a3 = Pad(a2, p) "
         "h = Transpose<perm=[0,3,1,2]>(a3)",
         {"k": np.ones(3, np.float32), "p": np.array([0, 1, 1, 0, 0, 1, 1, 0])}),
    ],
)  # fmt: skip
def test_channels_first_is_tracked(build, before, weights):
    spec = spec_of(build, before, **weights)
    assert (spec.layout, spec.height, spec.width) == ("NCHW", 8, 9)
    assert spec.sources["layout"].startswith("graph: the first ")
    assert spec.sources["size"] == "graph"


@pytest.mark.parametrize(
    ("before", "weights"),
    [
        ("h = Transpose<perm=[0,3,1,2]>(x)", {}),
        ("a1 = Cast<to = 1>(x) h = Transpose<perm=[0,3,1,2]>(a1)", {}),
        ("a1 = Mul(x, k) a2 = Add(a1, k) a3 = Pad(a2, p) h = Transpose<perm=[0,3,1,2]>(a3)",
         {"k": np.ones(3, np.float32), "p": np.array([0, 1, 1, 0, 0, 1, 1, 0])}),
    ],
)  # fmt: skip
def test_channels_last_is_tracked(build, before, weights):
    spec = spec_of(build, before, dims="N,8,9,3", **weights)
    assert (spec.layout, spec.height, spec.width) == ("NHWC", 8, 9)
    assert "axis 3" in spec.sources["layout"]


@pytest.mark.parametrize(
    ("before", "dims", "layout"),
    [
        ("h = Identity(x)", "N,3,3,3", "NCHW"),
        ("h = Transpose<perm=[0,3,1,2]>(x)", "N,3,3,3", "NHWC"),
        ("h = Transpose<perm=[0,3,1,2]>(x)", "N,3,8,3", "NHWC"),
        ("h = Transpose<perm=[0,3,1,2]>(x)", "N,H,W,C", "NHWC"),
    ],
)
def test_tracking_settles_what_sizes_do_not(build, before, dims, layout):
    assert spec_of(build, before, dims=dims).layout == layout


SILENT = "(float[{dims}] x) => (float[N,k] y) {{ y = Flatten(x) }}"


@pytest.mark.parametrize(("dims", "layout"), [("N,3,8,8", "NCHW"), ("N,8,8,3", "NHWC")])
def test_sizes_settle_what_the_graph_does_not(build, dims, layout):
    spec = image_input(load(build(SILENT.format(dims=dims))))
    assert spec.layout == layout
    assert "has size 3" in spec.sources["layout"]


@pytest.mark.parametrize("dims", ["N,3,3,3", "N,H,W,C", "N,3,8,3"])
def test_an_ambiguous_layout_is_asked_for(build, dims):
    model = load(build(SILENT.format(dims=dims)), name="vendor")
    with pytest.raises(ModelInputError) as caught:
        image_input(model)
    assert "--layout" in caught.value.hint
    assert caught.value.model == "vendor"
    assert image_input(model, InputOptions(layout="NHWC")).sources["layout"] == "option"


def test_free_sizes_are_assumed_and_said(build):
    spec = spec_of(build, "h = Identity(x)", dims="N,3,H,W")
    assert (spec.height, spec.width, spec.batch) == (FREE_SIZE, FREE_SIZE, None)
    assert spec.sources["size"].startswith("assumed")
    spec = spec_of(build, "h = Identity(x)", dims="N,3,H,W", options=InputOptions(size=(5, 6)))
    assert (spec.height, spec.width, spec.sources["size"]) == (5, 6, "option")
    assert shape(spec) == ["batch", 3, 5, 6]


def test_a_negative_size_is_a_free_one(build):
    proto = build(CONV.format(dims="1,3,8,8", before="h = Identity(x)"), w=W3)
    for i in (0, 2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[i].dim_value = -1
    spec = image_input(load(proto))
    assert (spec.batch, spec.height, spec.width) == (None, FREE_SIZE, FREE_SIZE)


def test_a_fixed_batch_is_kept(build):
    assert spec_of(build, "h = Identity(x)", dims="5,3,8,8").batch == 5


def test_range_mean_and_std(build):
    spec = spec_of(build, "h = Identity(x)")
    assert (spec.range, spec.mean, spec.std) == ((0.0, 1.0), (0.0,), (1.0,))
    assert [spec.sources[k] for k in ("range", "mean", "std")] == ["assumed"] * 3
    spec = spec_of(build, "h = Identity(x)", options=InputOptions(mean=(1, 2, 3)))
    assert spec.mean == (1.0, 2.0, 3.0)
    assert [spec.sources[k] for k in ("range", "mean", "std")] == ["option"] * 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(float[N,4] x) => (float[N,4] y) { y = Relu(x) }", "no input takes an image"),
        ("(int64[N,3,4,4] x) => (int64[N,3,4,4] y) { y = Neg(x) }", "no input takes an image"),
        ("(float[N,3,4,4] x, float[N,3,4,4] z) => (float[N,3,4,4] y) { y = Add(x, z) }",
         "it takes 2 inputs"),
    ],
)  # fmt: skip
def test_models_without_one_image_input(build, text, says):
    with pytest.raises(ModelInputError, match=says):
        image_input(load(build(text)))


@pytest.mark.parametrize(("channels", "color"), [(1, "graph: one channel, grey"), (4, "assumed")])
def test_grey_and_opaque_images(build, channels, color):
    text = CONV.format(dims=f"N,{channels},8,8", before="h = Identity(x)")
    spec = image_input(load(build(text, w=np.ones((4, channels, 1, 1), np.float32))))
    assert (spec.layout, spec.channels, spec.sources["color"]) == ("NCHW", channels, color)


def test_other_numbers_of_channels_are_refused(build):
    text = CONV.format(dims="N,2,8,8", before="h = Identity(x)")
    with pytest.raises(ModelInputError, match=r"2,8,8\].*2 channels.*NCHW"):
        image_input(load(build(text, w=np.ones((4, 2, 1, 1), np.float32))))


FIRST = {"a": np.array([0])}


@pytest.mark.parametrize(
    ("dims", "before", "weights", "layout"),
    [
        ("3,8,9", "h = Unsqueeze(x, a)", FIRST, "CHW"),
        ("8,9,3", "t = Transpose<perm=[2,0,1]>(x) h = Unsqueeze(t, a)", FIRST, "HWC"),
        ("8,9,3", "u = Unsqueeze(x, a) h = Transpose<perm=[0,3,1,2]>(u)", FIRST, "HWC"),
        ("N,9,8,3", "h = Transpose<perm=[0,3,2,1]>(x)", {}, "NWHC"),
        ("3,8,9,N", "h = Transpose<perm=[3,0,1,2]>(x)", {}, "CHWN"),
    ],
)  # fmt: skip
def test_any_order_of_axes_is_tracked(build, dims, before, weights, layout):
    spec = spec_of(build, before, dims=dims, **weights)
    assert (spec.layout, spec.height, spec.width, spec.channels) == (layout, 8, 9, 3)
    assert spec.sources["layout"].startswith("graph: the first Conv")
    assert spec.batch == (None if "N" in layout else 1)


@pytest.mark.parametrize(
    ("before", "weights"),
    [
        ("h = Unsqueeze(x, a)", {"a": np.array([1])}),
        ("h = Reshape(x, a)", {"a": np.array([-1, 1, 8, 9])}),
    ],
)
def test_grey_images_without_an_axis_of_channels(build, before, weights):
    text = CONV.format(dims="N,8,9", before=before)
    spec = image_input(load(build(text, w=np.ones((4, 1, 1, 1), np.float32), **weights)))
    assert (spec.layout, spec.channels, spec.batch) == ("NHW", 1, None)


def test_bytes_are_of_the_range_of_bytes(build):
    text = "(uint8[N,3,8,9] x) => (float[N,4,8,9] y) { h = Cast<to = 1>(x) y = Conv(h, w) }"
    spec = image_input(load(build(text, w=W3)))
    assert (spec.dtype, spec.range) == ("uint8", (0.0, 255.0))
    assert spec.sources["range"] == "graph: the input takes uint8"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layout": "CHW"}, "3 axes, and the input 4"),
        ({"layout": "NHWC"}, "8 channels"),
    ],
)
def test_options_that_contradict_the_graph(build, options, says):
    with pytest.raises(ModelInputError, match=says):
        spec_of(build, "h = Identity(x)", dims="N,3,9,8", options=InputOptions(**options))


def test_three_means_for_one_channel(build):
    text = CONV.format(dims="N,1,8,8", before="h = Identity(x)")
    with pytest.raises(ModelInputError, match="three values"):
        image_input(
            load(build(text, w=np.ones((4, 1, 1, 1), np.float32))), InputOptions(mean=(1, 2, 3))
        )


def test_weights_that_are_inputs_are_not_fed(build):
    text = "(float[N,3,8,8] x, float[4,3,1,1] w) => (float[N,4,8,8] y) { y = Conv(x, w) }"
    assert image_input(load(build(text, ir_version=3, opset=8, w=W3))).input == "x"


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "NWXC"},
        {"layout": "NCWW"},
        {"layout": "NCH"},
        {"color": "GBR"},
        {"gamma": 0.0},
        {"resize": "pad"},
        {"size": (0, 3)},
        {"size": (3,)},
        {"range": (1.0, 1.0)},
        {"mean": (1.0, 2.0)},
        {"std": (1.0, 0.0, 1.0)},
    ],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError):
        InputOptions(**options)
