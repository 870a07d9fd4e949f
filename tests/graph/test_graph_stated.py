"""Whose word holds: option, sidecar, our metadata, ONNX's, that of others, the graph, a guess."""

import numpy as np
import onnx
import pytest

from onnxattr.errors import ModelInputError, UsageError
from onnxattr.graph.attributed import attributed
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions

NET = (
    "(float[N,3,H,W] x) => (float[N,4,H,W] y) { h = Conv(x, w) r = Relu(h) y = Softmax<axis=1>(r) }"
)
W3 = np.ones((4, 3, 1, 1), np.float32)


@pytest.fixture
def given(build, tmp_path):
    """`given(text, sidecar=…, props=…)` → the loaded model of a file with what is said of it."""

    def given(text=NET, sidecar=None, props=None, denotations=(), **weights):
        proto = build(text, **(weights or {"w": W3}))
        onnx.helper.set_model_props(proto, props or {})
        dims = proto.graph.input[0].type.tensor_type.shape.dim
        for dim, denotation in zip(dims, denotations, strict=False):
            dim.denotation = denotation
        onnx.save(proto, tmp_path / "net.onnx")
        if sidecar is not None:
            (tmp_path / "net.toml").write_text(sidecar)
        return load(tmp_path / "net.onnx")

    return given


#: Of each part: who says it, the strongest first, and the value that each of them says.
SAYS = {
    "layout": [
        ("option", "NCHW"), ("sidecar", "NCWH"), ("metadata", "NCHW"),
        ("metadata: denotations of its axes", "NCHW"),
        ("graph: the first Conv reads axis 1 as channels", "NCHW"),
    ],
    "size": [
        ("option", (5, 6)), ("sidecar", (7, 8)), ("metadata", (9, 10)),
        ("metadata: Ultralytics", (32, 64)), ("assumed: the graph is free", (224, 224)),
    ],
    "color": [
        ("option", "RGB"), ("sidecar", "BGR"), ("metadata", "RGB"),
        ("metadata: Image.BitmapPixelFormat", "BGR"), ("metadata: Ultralytics", "RGB"),
        ("metadata: OpenVINO", "RGB"), ("assumed", "RGB"),
    ],
    "range": [
        ("option", (0.0, 2.0)), ("sidecar", (0.0, 3.0)), ("metadata", (0.0, 4.0)),
        ("metadata: Image.NominalPixelRange", (16.0, 235.0)),
        ("metadata: Ultralytics", (0.0, 1.0)), ("metadata: OpenVINO", (0.0, 255.0)),
        ("assumed", (0.0, 1.0)),
    ],
    "mean": [
        ("option", (1.0,)), ("sidecar", (2.0,)), ("metadata", (3.0,)),
        ("metadata: OpenVINO", (1.0, 2.0, 3.0)), ("assumed", (0.0,)),
    ],
    "std": [
        ("option", (1.5,)), ("sidecar", (2.0,)), ("metadata", (3.0,)),
        ("metadata: OpenVINO", (4.0, 5.0, 6.0)), ("assumed", (1.0,)),
    ],
    "gamma": [
        ("option", 1.5), ("sidecar", 1.6), ("metadata", 1.7),
        ("metadata: Image.ColorSpaceGamma", 2.2), ("default", 1.0),
    ],
    "resize": [
        ("option", "crop"), ("sidecar", "letterbox"), ("metadata", "stretch"),
        ("metadata: Ultralytics", "letterbox"), ("metadata: OpenVINO", "crop"),
        ("default", "stretch"),
    ],
}  # fmt: skip

ULTRALYTICS = {"stride": "32", "names": "{0: 'person'}", "task": "detect", "imgsz": "[32, 64]"}
OPENVINO = {
    "model_info mean_values": "1.0 2.0 3.0",
    "model_info scale_values": "[4, 5, 6]",
    "model_info reverse_input_channels": "True",
    "model_info resize_type": "crop",
}
STANDARD = {
    "color": {"Image.BitmapPixelFormat": "Bgr8"},
    "gamma": {"image.colorspacegamma": "LINEAR"},  # The case of neither matters.
    "range": {"Image.NominalPixelRange": "NominalRange_16_235"},
}


def toml(value):
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def own(value):
    if isinstance(value, tuple):
        return (
            " ".join(map(str, value)) if isinstance(value[0], float) else "x".join(map(str, value))
        )
    return str(value)


@pytest.mark.parametrize(
    ("part", "place"), [(part, i) for part, said in SAYS.items() for i in range(len(said))]
)
def test_each_goes_before_the_next(given, part, place):
    who, value = SAYS[part][place]
    below = dict(SAYS[part][place:])
    options, sidecar, props, denotations = {}, None, {}, ()
    for speaker, said in below.items():
        if speaker == "option":
            options = {part: said}
        elif speaker == "sidecar":
            sidecar = f"[input]\n{part} = {toml(said)}\n"
        elif speaker == "metadata":
            props[f"onnxattr.{part}"] = own(said)
        elif speaker.startswith("metadata: Image"):
            props |= STANDARD[part]
        elif speaker == "metadata: Ultralytics":
            props |= ULTRALYTICS
        elif speaker == "metadata: OpenVINO":
            props |= OPENVINO
        elif speaker.startswith("metadata: denotations"):
            denotations = ("DATA_BATCH", "DATA_CHANNEL", "DATA_FEATURE", "DATA_FEATURE")

    spec = image_input(given(NET, sidecar, props, denotations), InputOptions(**options))

    found = (spec.height, spec.width) if part == "size" else getattr(spec, part)
    assert (spec.sources[part], found) == (who, value)


@pytest.mark.parametrize(
    ("at", "sidecar", "key", "value", "rule"),
    [
        ("y", "h", "r", "y", "named"),
        (None, "h", "r", "h", "named, by sidecar"),
        (None, None, "logits", "r", "the input of the final Softmax, by metadata"),
        (None, None, None, "r", "the input of the final Softmax: no linear head before it"),
    ],
)
def test_who_says_what_is_attributed(given, at, sidecar, key, value, rule):
    beside = f'[output]\nat = "{sidecar}"\n' if sidecar else None
    model = given(NET, beside, {"onnxattr.at": key} if key else {})
    chosen, asked = attributed(model, at)
    assert (chosen.value, chosen.rule) == (value, rule)
    assert asked == (at or sidecar or key or "feature")


def test_a_tensor_that_is_not_there(given):
    model = given(NET, '[output]\nat = "nowhere"\n')
    with pytest.raises(
        ModelInputError, match=r"the tensor `nowhere` \(sidecar `net.toml`\) is not"
    ):
        attributed(model)
    assert attributed(model, "output")[0].value == "y"
    with pytest.raises(UsageError, match="no tensor `neither`"):
        attributed(model, "neither")


def test_a_tensor_that_metadata_invents(given):
    chosen, asked = attributed(given(NET, None, {"onnxattr.at": "nowhere"}))
    assert (chosen.value, asked) == ("r", "feature")
    assert chosen.rule.endswith("; metadata: ignored, the tensor `nowhere` is not in the model")


@pytest.mark.parametrize(
    ("sidecar", "says"),
    [
        ('layout = "CHW"', r"the layout CHW \(sidecar `net.toml`\) has 3 axes, and the input 4"),
        ('layout = "NHWC"\n', r"the layout NHWC \(sidecar `net.toml`\) gives its .* 8 channels"),
        ("mean = [1, 2, 3]", "the mean 1 2 3 .* has three values, and the input one channel"),
        ("size = 9", r"the size 9×9 \(sidecar `net.toml`\) contradicts the graph, .* 8×8"),
        ('name = "z"', r"the input `z` \(sidecar `net.toml`\) is none of its inputs"),
        ("[fixed]\nz = 1", r"the input `z`, of which a fixed value is given \(sidecar "
         r"`net.toml`\), is none of its further inputs"),
        ("[fixed]\nx = 1", "the input `x`, .* is none of its further inputs"),
    ],
)  # fmt: skip
def test_a_sidecar_that_contradicts_the_graph(given, sidecar, says):
    channels = 1 if "mean" in sidecar else 3
    text = f"(float[N,{channels},8,8] x) => (float[N,4,8,8] y) {{ y = Conv(x, w) }}"
    head = "" if sidecar.startswith("[") else "[input]\n"
    named = 'name = "x"\n' if "x = 1" in sidecar else ""
    head = "[input]\n" + named if named else head
    model = given(text, head + sidecar, w=np.ones((4, channels, 1, 1), np.float32))
    with pytest.raises(ModelInputError, match=says) as caught:
        image_input(model)
    assert caught.value.model == "net"


def test_an_option_for_all_models_is_for_those_with_a_free_size(given):
    text = "(float[N,3,8,8] x) => (float[N,4,8,8] y) { y = Conv(x, w) }"
    spec = image_input(given(text), InputOptions(size=(9, 9)))
    assert (spec.height, spec.width, spec.sources["size"]) == (8, 8, "graph")
    spec = image_input(given(text, "[input]\nsize = 8\n"), InputOptions(size=(9, 9)))
    assert (spec.height, spec.sources["size"]) == (8, "graph")
    assert image_input(given(text)).sources["size"] == "sidecar"


def test_a_part_of_the_arithmetic_is_not_assumed_beside_another(given):
    spec = image_input(given(NET, "[input]\nmean = 0.5\n"))
    assert [spec.sources[k] for k in ("range", "mean", "std")] == ["sidecar"] * 3
    assert (spec.range, spec.mean, spec.std) == ((0.0, 1.0), (0.5,), (1.0,))


def test_the_input_that_a_sidecar_names(given):
    assert image_input(given(NET, '[input]\nname = "x"\n')).sources["input"] == "sidecar"
    assert "input" not in image_input(given(NET, "")).sources
