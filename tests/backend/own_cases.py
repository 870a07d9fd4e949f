"""Cases of our own, for versions of operators of which neither the suite nor `versions` has one.

The judge is ONNX Runtime. Where it does not know a version, it runs the case's twin: the same
function as a later version of the operator, or other operators, say it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

LATEST = 17


@dataclass(frozen=True)
class Own:
    """A case.

    Attributes:
        label: Of the operator, with its since-version.
        opset: Of the case.
        text: Its graph.
        twin: The graph that ONNX Runtime runs in its place, or an empty string.
        given: What the graph takes, by name; floating point is moved to find slopes.
        stored: What it stores.
        opset_of_twin: Of the twin.
    """

    label: str
    opset: int
    text: str
    twin: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    opset_of_twin: int = LATEST

    @property
    def model(self) -> onnx.ModelProto:
        """The model."""
        return self._model(self.text, self.opset)

    @property
    def judged(self) -> onnx.ModelProto:
        """The model that ONNX Runtime runs."""
        return self._model(self.twin, self.opset_of_twin) if self.twin else self.model

    def _model(self, text: str, opset: int) -> onnx.ModelProto:
        # Files of opset 1 list what they store among their inputs.
        version = 8 if opset <= 17 else 10 if opset <= 22 else 11
        proto = parser.parse_model(
            f'<ir_version: {version}, opset_import: ["" : {opset}]> g {text}'
        )
        for name, value in self.stored.items():
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return proto


def spread(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Returns numbers none of which is close to another, nor to zero: kinks are far."""
    count = int(np.prod(shape))
    values = low + (high - low) * (np.arange(count) + 0.3) / count
    drawn = np.random.default_rng(seed).permutation(values)
    return drawn.reshape(shape).astype(np.float32)


_X = {"x": spread(2, 3, 4, 5)}
_NORM = {
    "s": spread(3, seed=1), "b": spread(3, seed=2), "m": spread(3, seed=3),
    "v": spread(3, seed=4, low=0.5),
}  # fmt: skip
_BRANCH = """(float[2,3] x, bool c) => (float[2,3] y) { y = If (c) <
    then_branch = a () => (float[2,3] p) { p = Mul(x, x) },
    else_branch = b () => (float[2,3] q) { q = Sin(x) }> }"""
_ROIS = np.float32([[0, 0, 0, 4, 3], [1, 1, 1, 3, 3], [0, 2, 0, 2, 2]])
_RNN = {
    "x": spread(4, 2, 3), "w": spread(1, 5, 3, seed=1, low=-1, high=1),
    "r": spread(1, 5, 5, seed=2, low=-1, high=1), "b": spread(1, 10, seed=3),
}  # fmt: skip
_IMAGE = "(float[2,3,4,5] x) => (float[a,b,c,d] y)"
_SCALES = {"k": np.float32([1, 1, 2, 1.5])}

ALL = [
    Own(
        "BatchNormalization_1", 1,
        "(float[2,3,4,5] x, float[3] s, float[3] b, float[3] m, float[3] v) => (float[2,3,4,5] y)"
        " { y = BatchNormalization<is_test=1, epsilon=0.01, consumed_inputs=[0,0,0,1,1]>"
        "(x, s, b, m, v) }",
        "(float[2,3,4,5] x, float[3] s, float[3] b, float[3] m, float[3] v) => (float[2,3,4,5] y)"
        " { y = BatchNormalization<epsilon=0.01>(x, s, b, m, v) }",
        _X | _NORM,
    ),
    Own(
        "Cast_1", 1, '(float[2,3,4,5] x) => (double[2,3,4,5] y) { y = Cast<to="DOUBLE">(x) }',
        "(float[2,3,4,5] x) => (double[2,3,4,5] y) { y = Cast<to=11>(x) }", _X,
    ),
    Own(
        "Clip_1", 1, f"{_IMAGE} {{ y = Clip<min=-0.4733, max=1.0267, consumed_inputs=[0]>(x) }}",
        f"{_IMAGE} {{ y = Clip(x, low, high) }}", _X,
        {"low": np.float32(-0.4733), "high": np.float32(1.0267)},
    ),
    *(
        Own(
            f"DequantizeLinear_{opset}", opset,
            f"(uint8[2,3] x, float{kind} k, uint8{kind} z) => (float[2,3] y)"
            f" {{ y = DequantizeLinear{axis}(x, k, z) }}",
            given={"x": np.uint8([[0, 7, 255], [128, 3, 90]]), "k": scale, "z": zero},
        )
        for opset, kind, axis, scale, zero in (
            (10, "", "", np.array(0.25, np.float32), np.array(3, np.uint8)),
            (13, "[3]", "<axis=1>", np.float32([0.25, 2, 0.5]), np.uint8([3, 0, 130])),
        )
    ),
    *(
        Own(
            f"Dropout_{opset}", opset,
            f"{_IMAGE} {{ y = Dropout<is_test=1, ratio=0.3{old}>(x) }}",
            f"{_IMAGE} {{ y = Identity(x) }}", _X,
        )
        for opset, old in ((1, ", consumed_inputs=[0]"), (6, ""))
    ),
    Own(
        "Gemm_1", 1,
        "(float[3,2] x, float[4,3] w, float[4] c) => (float[2,4] y)"
        " { y = Gemm<alpha=0.5, beta=2.0, transA=1, transB=1, broadcast=1>(x, w, c) }",
        "(float[3,2] x, float[4,3] w, float[4] c) => (float[2,4] y)"
        " { y = Gemm<alpha=0.5, beta=2.0, transA=1, transB=1>(x, w, c) }",
        {"x": spread(3, 2), "w": spread(4, 3, seed=1), "c": spread(4, seed=2)},
    ),
    Own(
        "GlobalLpPool_1", 1, f"{_IMAGE} {{ y = GlobalLpPool<p=3.0>(x) }}",
        f"{_IMAGE} {{ y = GlobalLpPool<p=3>(x) }}", _X,
    ),
    *(
        Own(f"GlobalLpPool_{opset}", opset, text, "" if opset == 2 else text, _X)
        for text in (f"{_IMAGE} {{ y = GlobalLpPool<p=3>(x) }}",)
        for opset in (2, 22)
    ),
    Own(
        "GroupNormalization_18", 18,
        "(float[2,4,3,5] x, float[2] s, float[2] b) => (float[2,4,3,5] y)"
        " { y = GroupNormalization<num_groups=2, epsilon=0.01>(x, s, b) }",
        given={"x": spread(2, 4, 3, 5), "s": spread(2, seed=1), "b": spread(2, seed=2)},
    ),
    *(
        Own(f"If_{opset}", opset, _BRANCH, given={"x": spread(2, 3), "c": np.array(opset % 2 == 1)})
        for opset in (21, 23, 24, 25)
    ),
    Own(
        "LpPool_1", 1,
        f"{_IMAGE} {{ y = LpPool<p=3.0, kernel_shape=[2,3], strides=[1,2], pads=[1,0,0,1]>(x) }}",
        f"{_IMAGE} {{ y = LpPool<p=3, kernel_shape=[2,3], strides=[1,2], pads=[1,0,0,1]>(x) }}", _X,
    ),
    *(
        Own(
            f"MaxRoiPool_{opset}", opset, text, "" if opset == 1 else text, _X, {"rois": _ROIS},
        )
        for text in (
            "(float[2,3,4,5] x) => (float[3,3,2,2] y)"
            " { y = MaxRoiPool<pooled_shape=[2,2], spatial_scale=0.9>(x, rois) }",
        )
        for opset in (1, 22)
    ),
    *(
        Own(
            f"{name}_{opset}", opset, f"(float[2,3] x) => ({kind} y) {{ y = {name}(x) }}",
            given={"x": spread(2, 3)},
        )
        for opset in (18,)
        for name, kind in (("OptionalHasElement", "bool"), ("OptionalGetElement", "float[2,3]"))
    ),
    Own(
        "Optional_28", 28,
        "(float[2,3] x) => (float[2,3] y) { o = Optional(x) y = OptionalGetElement(o) }",
        "(float[2,3] x) => (float[2,3] y) { y = Identity(x) }", {"x": spread(2, 3)},
    ),
    *(
        Own(
            "Pad_1", 1,
            f'{_IMAGE} {{ y = Pad<paddings=[0,1,2,0,1,0,1,3], mode="{mode}", value=0.5>(x) }}',
            f'{_IMAGE} {{ y = Pad<mode="{mode}">(x, p, value) }}', _X,
            {"p": np.array([0, 1, 2, 0, 1, 0, 1, 3]), "value": np.float32(0.5)},
        )
        for mode in ("constant", "reflect", "edge")
    ),
    Own(
        "RNN_1", 1,
        "(float[4,2,3] x, float[1,5,3] w, float[1,5,5] r, float[1,10] b)"
        " => (float[4,1,2,5] y, float[1,2,5] h)"
        " { y, h = RNN<hidden_size=5, output_sequence=1>(x, w, r, b) }",
        "(float[4,2,3] x, float[1,5,3] w, float[1,5,5] r, float[1,10] b)"
        " => (float[4,1,2,5] y, float[1,2,5] h) { y, h = RNN<hidden_size=5>(x, w, r, b) }", _RNN,
    ),
    *(
        Own(
            f"Resize_{opset}", opset,
            f'{_IMAGE} {{ y = Resize<mode="{mode}"{more}>(x, {given}) }}',
            given=_X, stored=_SCALES | ({"roi": np.float32([])} if opset == 11 else {}),
        )
        for opset, given, rules in (
            (10, "k", (("nearest", ""), ("linear", ""))),
            (11, "roi, k", (
                ("nearest", ', nearest_mode="ceil"'),
                ("linear", ', coordinate_transformation_mode="pytorch_half_pixel"'),
                ("linear", ', coordinate_transformation_mode="align_corners"'),
                ("linear", ', coordinate_transformation_mode="asymmetric"'),
                ("cubic", ", cubic_coeff_a=-0.5"),
            )),
        )
        for mode, more in rules
    ),
    Own(
        "Scatter_11", 11,
        "(float[3,4] x, float[2,4] u) => (float[3,4] y) { y = Scatter<axis=0>(x, i, u) }",
        "(float[3,4] x, float[2,4] u) => (float[3,4] y) { y = ScatterElements<axis=0>(x, i, u) }",
        {"x": spread(3, 4), "u": spread(2, 4, seed=1)},
        {"i": np.array([[0, 2, 1, 1], [2, 0, 0, 2]])},
    ),
    Own(
        "Split_1", 1,
        "(float[6,4] x) => (float[a,4] y, float[b,4] z) { y, z = Split<split=[2,4], axis=0>(x) }",
        "(float[6,4] x) => (float[a,4] y, float[b,4] z) { y, z = Split<axis=0>(x, k) }",
        {"x": spread(6, 4)}, {"k": np.array([2, 4])},
    ),
    Own(
        "Split_1", 1,
        "(float[6,4] x) => (float[a,4] y, float[b,4] z) { y, z = Split<axis=0>(x) }",
        "(float[6,4] x) => (float[a,4] y, float[b,4] z) { y, z = Split<axis=0>(x) }",
        {"x": spread(6, 4)}, opset_of_twin=13,
    ),
    Own(
        "Split_1", 1,
        "(float[6,4] x) => (float[a,4] y, float[b,4] z) { y, z = Split<axis=0>(x, k) }",
        "(float[6,4] x) => (float[a,4] y, float[b,4] z) { y, z = Split<axis=0>(x, w) }",
        {"x": spread(6, 4)}, {"k": np.float32([2, 4]), "w": np.array([2, 4])},
    ),
    Own(
        "Tile_1", 1, "(float[2,3] x) => (float[a,b] y) { y = Tile(x, tiles, axis) }",
        "(float[2,3] x) => (float[a,b] y) { y = Tile(x, k) }", {"x": spread(2, 3)},
        {"tiles": np.float32(3), "axis": np.float32(1), "k": np.array([1, 3])},
    ),
    Own(
        "TopK_1", 1,
        "(float[4,6] x) => (float[4,2] y, int64[4,2] i) { y, i = TopK<axis=1, k=2>(x) }",
        given={"x": spread(4, 6)},
    ),
    *(
        Own(
            "Upsample_1", 1,
            f'{_IMAGE} {{ y = Upsample<height_scale=2.0, width_scale=1.5, mode="{mode}">(x) }}',
            f'{_IMAGE} {{ y = Upsample<scales=[1.0,1.0,2.0,1.5], mode="{later}">(x) }}', _X,
            opset_of_twin=8,
        )
        for mode, later in (("nearest", "nearest"), ("bilinear", "linear"))
    ),
    *(
        Own(
            "Upsample_10", 10, f'{_IMAGE} {{ y = Upsample<mode="{mode}">(x, k) }}',
            f'{_IMAGE} {{ y = Resize<mode="{mode}">(x, k) }}', _X, _SCALES, opset_of_twin=10,
        )
        for mode in ("nearest", "linear")
    ),
]  # fmt: skip

_CHANCES = {"x": np.full((100, 200), 0.3, np.float32)}
_LOGITS = {"x": np.log(np.float32([[1, 3]]))}


def _drawn(operator: str, opset: int, like: bool) -> list[Own]:
    """Returns cases of an operator that draws numbers, with and without attributes."""
    span = "mean=2.0, scale=0.5" if "Normal" in operator else "low=-1.0, high=3.0"
    found = []
    for kind, more in (("float", span), ("double", "dtype=11")):
        taken, given = ("float[100,200] x", "x") if like else ("", "")
        attributes = more if like else f"shape=[100,200], {more}"
        text = f"({taken}) => ({kind}[100,200] y) {{ y = {operator}<{attributes}>({given}) }}"
        # ONNX Runtime has the first version alone.
        twin = "" if opset == 1 else text
        found.append(
            Own(f"{operator}_{opset}", opset, text, twin, {"x": spread(100, 200)} if like else {})
        )
    return found


#: Operators that draw numbers.
RANDOM = [
    *_drawn("RandomNormal", 1, like=False),
    *_drawn("RandomNormal", 22, like=False),
    *_drawn("RandomUniform", 1, like=False),
    *_drawn("RandomUniform", 22, like=False),
    *_drawn("RandomNormalLike", 1, like=True),
    *_drawn("RandomNormalLike", 22, like=True),
    *_drawn("RandomUniformLike", 1, like=True),
    *(
        # The body by which onnx defines Bernoulli, which ONNX Runtime runs, draws the opposite.
        Own(
            "Bernoulli_15", 15,
            f"(float[100,200] x) => ({kind}[100,200] y) {{ y = Bernoulli{more}(x) }}",
            f"(float[100,200] x) => ({kind}[100,200] y)"
            f" {{ r = RandomUniformLike(x) b = Less(r, x) y = Cast<to={to}>(b) }}", _CHANCES,
        )
        for kind, more, to in (("float", "", 1), ("int32", "<dtype=6>", 6))
    ),
    *(
        Own(
            f"Multinomial_{opset}", opset, text, "" if opset == 7 else text, _LOGITS,
        )
        for text in (
            "(float[1,2] x) => (int64[1,20000] y)"
            " { y = Multinomial<sample_size=20000, dtype=7>(x) }",
        )
        for opset in (7, 22)
    ),
]  # fmt: skip


def labels() -> set[str]:
    """Returns the versions of operators that have a case here."""
    return {own.label for own in (*ALL, *RANDOM)}
