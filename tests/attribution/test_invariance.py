"""The same network written in another way gives the same maps: what exporters differ in."""

import numpy as np
import onnx
import pytest
from nets import RANGE, probes
from onnx import numpy_helper, parser

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS

METHODS = ("elrp", "grad-input", "saliency", "lrp:composite=epsilon-plus", "cp-lrp", "attn-lrp")

#: Layers before and behind what differs, with activations whose derivative ε-LRP replaces.
BEFORE = "c = Conv<pads = [1, 1, 1, 1]>(x, w1, b1) h = Relu(c)"
AFTER = "d = Conv<pads = [1, 1, 1, 1]>(z, w2, b2) y = Tanh(d)"

CLIP = "k0 = Add(h, three) k1 = Clip(k0, zero, six)"
TOKENS = "t0 = Reshape(h, rows) t = Transpose<perm = [0, 2, 1]>(t0)"
UNTOKENS = "u0 = Transpose<perm = [0, 2, 1]>(u) z = Reshape(u0, image)"
NORM = "m = ReduceMean<axes = [-1]>(t) e = Sub(t, m)"

#: Ways to write one function of h, each as the first of its row.
WAYS = {
    "GELU by erf": (
        "q = Div(h, root) r = Erf(q) s = Add(r, one) p = Mul(h, s) z = Mul(p, half)",
        "z = Gelu(h)",
    ),
    "GELU by tanh": (
        "q0 = Mul(h, h) q1 = Mul(h, q0) q2 = Mul(q1, cubic) q3 = Add(h, q2) q4 = Mul(q3, linear) "
        "q5 = Tanh(q4) q6 = Add(q5, one) q7 = Mul(h, q6) z = Mul(q7, half)",
        'z = Gelu<approximate = "tanh">(h)',
    ),
    "SiLU": ("g = Sigmoid(h) z = Mul(h, g)", "g = Sigmoid(h) z = Mul(g, h)"),
    "Mish": ("g = Softplus(h) f = Tanh(g) z = Mul(h, f)", "z = Mish(h)"),
    "HardSwish": (
        f"{CLIP} k2 = Mul(h, k1) z = Div(k2, six)",
        "g = HardSigmoid<alpha = 0.1666666716337204, beta = 0.5>(h) z = Mul(h, g)",
        f"{CLIP} k2 = Div(k1, six) z = Mul(k2, h)",
        "k0 = Add(h, three) k3 = Relu(k0) k1 = Min(k3, six) k2 = Mul(k1, h) z = Div(k2, six)",
        "z = HardSwish(h)",
    ),
    "ReLU6": (
        "a = Clip(d0, zero, six) z = Add(a, h)",
        "b = Relu(d0) a = Min(b, six) z = Add(a, h)",
    ),
    "ReLU": ("a = Relu(d0) z = Add(a, h)", "a = Max(d0, zero) z = Add(a, h)"),
    "LayerNormalization": (
        f"{TOKENS} {NORM} v0 = Mul(e, e) v1 = ReduceMean<axes = [-1]>(v0) v2 = Add(v1, small) "
        f"v3 = Sqrt(v2) v4 = Div(e, v3) v5 = Mul(v4, row) u = Add(v5, shift) {UNTOKENS}",
        f"{TOKENS} {NORM} v0 = Pow(e, two) v1 = ReduceMean<axes = [-1]>(v0) v2 = Add(v1, small) "
        f"v3 = Sqrt(v2) v4 = Div(e, v3) v5 = Mul(row, v4) u = Add(shift, v5) {UNTOKENS}",
        f"{TOKENS} u = LayerNormalization<epsilon = 0.00001>(t, row, shift) {UNTOKENS}",
    ),
    "BatchNormalization": (
        "f0 = Conv(h, w3, b2) z = BatchNormalization(f0, row, shift, shift, square)",
        "f0 = Conv(h, w3, b2) f1 = Identity(f0) "
        "z = BatchNormalization(f1, row, shift, shift, square)",
        "f1 = Conv(h, w3, b2) f2 = Sub(f1, shift3) f5 = Div(f2, root3) f6 = Mul(f5, row3) "
        "z = Add(f6, shift3)",
        "f0 = Conv(h, w3, b2) f1 = Transpose<perm = [0, 2, 3, 1]>(f0) f2 = Sub(f1, shift) "
        "f5 = Mul(f2, scale) f6 = Add(f5, shift) z = Transpose<perm = [0, 3, 1, 2]>(f6)",
    ),
    "attention": (
        f"{TOKENS} q = MatMul(t, m1) k = MatMul(t, m2) v = MatMul(t, m3) "
        "k1 = Transpose<perm = [0, 2, 1]>(k) s0 = MatMul(q, k1) s1 = Mul(s0, half) "
        f"s2 = Softmax<axis = -1>(s1) u = MatMul(s2, v) {UNTOKENS}",
        f"{TOKENS} q0 = MatMul(t, m1) q = Mul(q0, half) k = MatMul(t, m2) v = MatMul(t, m3) "
        "k1 = Transpose<perm = [0, 2, 1]>(k) s1 = MatMul(q, k1) "
        f"s2 = Softmax<axis = -1>(s1) u = MatMul(s2, v) {UNTOKENS}",
        # What no fusion knows: scores shifted by their largest, exp and a sum.
        f"{TOKENS} q = MatMul(t, m1) k = MatMul(t, m2) v = MatMul(t, m3) "
        "k1 = Transpose<perm = [0, 2, 1]>(k) s0 = MatMul(q, k1) s1 = Mul(s0, half) e0 = Exp(s1) "
        f"e1 = ReduceSum(e0, last) s2 = Div(e0, e1) u = MatMul(s2, v) {UNTOKENS}",
    ),
    "RMS normalisation": (
        f"{TOKENS} v0 = Pow(t, two) v1 = ReduceMean<axes = [-1]>(v0) v2 = Add(v1, small) "
        f"v3 = Sqrt(v2) v4 = Div(t, v3) u = Mul(v4, row) {UNTOKENS}",
        f"{TOKENS} v0 = Mul(t, t) v1 = ReduceMean<axes = [-1]>(v0) v2 = Add(v1, small) "
        f"v3 = Sqrt(v2) v5 = Reciprocal(v3) v4 = Mul(t, v5) u = Mul(row, v4) {UNTOKENS}",
        f"{TOKENS} v0 = Mul(t, t) v1 = ReduceMean<axes = [-1]>(v0) v2 = Add(v1, small) "
        f"v5 = Pow(v2, falling) v4 = Mul(v5, t) u = Mul(row, v4) {UNTOKENS}",
    ),
    "linear layer": (
        f"{TOKENS} u = MatMul(t, m1) u1 = Add(u, shift) {UNTOKENS.replace('(u)', '(u1)')}",
        f"{TOKENS} u = MatMul(t, m1) u1 = Add(shift, u) {UNTOKENS.replace('(u)', '(u1)')}",
        f"{TOKENS} f0 = Reshape(t, flat) f1 = Gemm(f0, m1, shift) u = Reshape(f1, back) {UNTOKENS}",
        f"{TOKENS} f0 = Reshape(t, flat) f1 = MatMul(f0, m1) f2 = Add(f1, shift) "
        f"u = Reshape(f2, back) {UNTOKENS}",
    ),
    "bias of a convolution": (
        "z = Conv<pads = [1, 1, 1, 1]>(h, w1s, shift)",
        "z0 = Conv<pads = [1, 1, 1, 1]>(h, w1s) z = Add(z0, shift3)",
        "z0 = Conv<pads = [1, 1, 1, 1]>(h, w1s) z = Add(shift3, z0)",
        "z0 = Conv<pads = [1, 1, 1, 1]>(h, w1s) z1 = Transpose<perm = [0, 2, 3, 1]>(z0) "
        "z2 = Add(z1, shift) z = Transpose<perm = [0, 3, 1, 2]>(z2)",
    ),
    "pairs that cancel": (
        "z = Tanh(h)",
        "a = Identity(h) b = Identity(a) z = Tanh(b)",
        "a = Transpose<perm = [0, 2, 3, 1]>(h) b = Tanh(a) z = Transpose<perm = [0, 3, 1, 2]>(b)",
        "a = Flatten<axis = 1>(h) b = Tanh(a) z = Reshape(b, image)",
    ),
}
CASES = [(name, i) for name, ways in WAYS.items() for i in range(1, len(ways))]


def _stored() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    draw = lambda *shape: 0.4 * rng.normal(size=shape)  # noqa: E731
    row, shift, square = draw(4) + 1, draw(4), draw(4) ** 2 + 0.5
    return {
        "w1": draw(4, 3, 3, 3), "b1": draw(4), "w2": draw(5, 4, 3, 3), "b2": draw(4),
        "w3": draw(4, 4, 1, 1), "w4": 4 * draw(4, 4, 1, 1), "b5": draw(5),
        "w1s": draw(4, 4, 3, 3), "falling": -0.5,
        "m1": draw(4, 4), "m2": draw(4, 4), "m3": draw(4, 4),
        "row": row, "shift": shift, "square": square,
        "row3": row.reshape(4, 1, 1), "shift3": shift.reshape(4, 1, 1),
        "root3": np.sqrt(square + 1e-5).reshape(4, 1, 1), "scale": row / np.sqrt(square + 1e-5),
        "zero": 0, "half": 0.5, "one": 1, "two": 2, "three": 3, "six": 6, "small": 1e-5,
        "root": np.sqrt(2), "cubic": 0.044715, "linear": np.sqrt(2 / np.pi),
    }  # fmt: skip


def _model(way: str, dtype: type, *, layout: str = "NCHW") -> bytes:
    first = "d0 = Conv(h, w4)" if "d0" in way else ""
    after = AFTER.replace("b2", "b5")
    body = f"{BEFORE} {first} {way} {after}"
    shape = "N,3,6,6" if layout == "NCHW" else "N,6,6,3"
    if layout == "NHWC":
        body = "x0 = Transpose<perm = [0, 3, 1, 2]>(x) " + body.replace(
            "Conv<pads = [1, 1, 1, 1]>(x,", "Conv<pads = [1, 1, 1, 1]>(x0,"
        )
    kind = "float" if dtype is np.float32 else "double"
    version = 20 if any(n in way for n in ("Gelu", "Mish", "HardSwish(")) else 17
    header = f'<ir_version: 9, opset_import: ["" : {version}]>'
    model = parser.parse_model(
        f"{header} g ({kind}[{shape}] x) => ({kind}[N,5,6,6] y) {{ {body} }}"
    )
    for name, array in _stored().items():
        if any(name in node.input for node in model.graph.node):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, dtype), name))
    numbers = {
        "image": [-1, 4, 6, 6],
        "rows": [-1, 4, 36],
        "flat": [-1, 4],
        "back": [-1, 36, 4],
        "last": [-1],
    }
    for name, sizes in numbers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(sizes), name))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _maps(data: bytes) -> np.ndarray:
    network = to_network(load(data), at="output", options=RANGE, fuse=FUSIONS)
    return Engine(network, methods=[parse(m) for m in METHODS]).maps(probes(3).images)


def _assert_same(
    ours: np.ndarray, theirs: np.ndarray, dtype: type, without: tuple[str, ...] = ()
) -> None:
    for method, a, b in zip(METHODS, ours, theirs, strict=True):
        if method in without:
            continue
        a, b = a.reshape(len(a), -1).astype(np.float64), b.reshape(len(b), -1).astype(np.float64)
        if dtype is np.float64:
            assert np.abs(a - b).max() <= 1e-6 * np.abs(a).max()
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() >= 0.9999


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "other"), CASES, ids=str)
def test_maps_do_not_depend_on_how_it_is_written(name: str, other: int, dtype: type) -> None:
    ways = WAYS[name]
    # Of exponentials and their sum AttnLRP sees no softmax, whose true gradient is its rule.
    without = ("attn-lrp",) if "Exp" in ways[other] else ()
    first, second = (_maps(_model(way, dtype)) for way in (ways[0], ways[other]))
    _assert_same(first, second, dtype, without)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["SiLU", "HardSwish", "LayerNormalization", "attention"])
def test_maps_do_not_depend_on_the_layout(name: str, dtype: type) -> None:
    first, last = (_maps(_model(WAYS[name][0], dtype, layout=k)) for k in ("NCHW", "NHWC"))
    _assert_same(first, last, dtype)


def test_what_is_written_otherwise_is_another_graph() -> None:
    """The ways do differ: before the fusions, ε-LRP would see other operators."""
    network = to_network(load(_model(WAYS["SiLU"][0], np.float64)), at="output", options=RANGE)
    (unfused,) = Engine(network, methods=[parse("elrp")]).maps(probes(3).images)
    fused = _maps(_model(WAYS["SiLU"][0], np.float64))[0]
    assert np.abs(unfused - fused).max() > 0.1 * np.abs(fused).max()
