"""SiLU, Swish, Mish and HardSwish as exporters write them become one node; others stay."""

import numpy as np
import pytest
from fusions import assert_same, inferred, operators

from onnxattr.graph import passes

CLIP = "a = Add(x, three) c = Clip(a, zero, six)"
UNIT = "a = Add(x, three) d = Div(a, six) c = Clip(d, zero, one)"

FORMS = {
    "Swish": {
        "torch": "s = Sigmoid(x) y = Mul(x, s)",
        "Keras": "s = Sigmoid(x) y = Mul(s, x)",
        "times one": "b = Mul(one, x) s = Sigmoid(b) y = Mul(x, s)",
        "of −x": "n = Neg(x) m = Mul(n, minus) s = Sigmoid(m) y = Mul(x, s)",
        "halved and doubled": "s = Sigmoid(x) h = Mul(x, half) m = Mul(h, s) y = Mul(two, m)",
    },
    "Mish": {
        "torch": "s = Softplus(x) t = Tanh(s) y = Mul(x, t)",
        "turned": "s = Softplus(x) t = Tanh(s) y = Mul(t, x)",
    },
    "HardSwish": {
        "torch, by HardSigmoid": (
            "g = HardSigmoid<alpha = 0.16666667163372, beta = 0.5>(x) y = Mul(x, g)"
        ),
        "torch, legacy": f"{CLIP} m = Mul(x, c) y = Div(m, six)",
        "torch, gate first": f"{CLIP} g = Div(c, six) y = Mul(x, g)",
        "tf2onnx": f"{CLIP} g = Mul(c, sixth) y = Mul(g, x)",
        "tf2onnx, x first": f"{CLIP} h = Mul(x, sixth) y = Mul(h, c)",
        "Paddle": f"{CLIP} m = Mul(c, x) y = Mul(sixth1, m)",
        "by Relu and Min": (
            "a = Add(three, x) r = Relu(a) c = Min(r, six) g = Mul(c, sixth) y = Mul(x, g)"
        ),
        "by Max and Min": (
            "a = Add(x, three) r = Max(zero, a) c = Min(six, r) m = Mul(c, x) y = Div(m, six)"
        ),
        "by Min and Max": (
            "a = Add(x, three) r = Min(a, six) c = Max(r, zero) m = Mul(c, x) y = Div(m, six)"
        ),
        "from 0 to 1": f"{UNIT} y = Mul(x, c)",
        "x divided first": (
            "b = Mul(x, sixth) a = Add(b, half) c = Clip(a, zero, one) y = Mul(c, x)"
        ),
    },
}
CASES = [(operator, form) for operator, forms in FORMS.items() for form in forms]

NUMBERS = {
    "zero": 0,
    "half": 0.5,
    "one": 1,
    "two": 2,
    "three": 3,
    "six": 6,
    "sixth": 1 / 6,
    "sixth1": [1 / 6],
    "minus": -1,
    "beta": 1.702,
}
PASSES = {
    "Swish": passes.FuseSwish,
    "Mish": passes.FuseMish,
    "HardSwish": passes.FuseHardSwish,
}
LABELS = {"Swish": "Swish_24", "Mish": "Mish_18", "HardSwish": "HardSwish_14"}


@pytest.fixture
def gated(build):
    """`gated("…", six=5)` → a model whose body is that, some of its numbers others."""

    def make(body, dtype=np.float32, outputs="float[N,4] y", opset=17, **others):
        numbers = {k: np.asarray(v, dtype) for k, v in (NUMBERS | others).items() if k in body}
        kind = {np.float32: "float", np.float16: "float16", np.float64: "double"}[dtype]
        text = f"(float[N,4] x) => ({outputs}) {{ {body} }}".replace("float[", f"{kind}[")
        return inferred(build(text, opset=opset, **numbers))

    return make


@pytest.mark.parametrize(("operator", "form"), CASES)
def test_every_form_becomes_one_node(gated, rewrite, noise, operator, form):
    proto = gated(FORMS[operator][form])
    fused = rewrite(PASSES[operator](), proto)
    assert operators(fused) == [LABELS[operator]]
    assert [o.name for o in fused.graph.output] == ["y"]
    # Beyond both of HardSwish's kinks.
    assert_same(proto, 4 * noise(5, 4))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize(
    ("operator", "form"), [("Swish", "torch"), ("HardSwish", "tf2onnx"), ("Mish", "torch")]
)
def test_numbers_may_be_as_coarse_as_their_type(gated, rewrite, noise, operator, form, dtype):
    proto = gated(FORMS[operator][form], dtype)
    assert operators(rewrite(PASSES[operator](), proto)) == [LABELS[operator]]
    tolerance = 3e-3 if dtype == np.float16 else 1e-6
    assert_same(proto, 4 * noise(5, 4).astype(dtype), tolerance=tolerance)


@pytest.mark.parametrize("body", ["b = Mul(x, beta)", "b = Mul(beta, x)", "b = Div(x, beta)"])
def test_a_stored_slope_of_the_gate_is_kept(gated, rewrite, noise, body):
    proto = gated(f"{body} s = Sigmoid(b) y = Mul(x, s)")
    fused = rewrite(passes.FuseSwish(), proto)
    assert operators(fused) == ["Swish_24"]
    (alpha,) = fused.graph.node[0].attribute
    assert alpha.f == pytest.approx(1 / 1.702 if "Div" in body else 1.702)
    assert_same(proto, noise(5, 4))


def test_bounds_were_attributes_once(gated, rewrite, noise):
    body = "a = Add(x, three) c = Clip<min = 0.0, max = 6.0>(a) m = Mul(x, c) y = Div(m, six)"
    proto = gated(body, opset=9)
    assert operators(rewrite(passes.FuseHardSwish(), proto)) == ["HardSwish_14"]
    assert_same(proto, 4 * noise(5, 4))


@pytest.mark.parametrize(
    "others", [{"three": 2.9}, {"six": 5}, {"zero": 0.1}, {"sixth": 0.2}], ids=str
)
def test_other_numbers_stay(gated, rewrite, others):
    proto = gated(FORMS["HardSwish"]["tf2onnx"], **others)
    assert "HardSwish_14" not in operators(rewrite(passes.FuseHardSwish(), proto))


@pytest.mark.parametrize(
    "body",
    [
        "g = HardSigmoid(x) y = Mul(x, g)",
        "a = Sub(three, x) c = Clip(a, zero, six) g = Mul(c, sixth) y = Mul(x, g)",
        "a = Add(x, three) c = Relu(a) g = Mul(c, sixth) y = Mul(x, g)",
        f"{CLIP} g = Mul(c, sixth) y = Div(x, g)",
        f"{CLIP} g = Div(six, c) y = Mul(x, g)",
    ],
)
def test_what_is_no_hard_swish_stays(gated, rewrite, body):
    assert "HardSwish_14" not in operators(rewrite(passes.FuseHardSwish(), gated(body)))


@pytest.mark.parametrize(
    "body",
    [
        "w = Relu(x) s = Sigmoid(x) y = Mul(w, s)",
        "b = Add(x, half) s = Sigmoid(b) y = Mul(x, s)",
        "s = Sigmoid(x) y = Div(x, s)",
        "s = Sigmoid(x) m = Mul(x, s) y = Mul(m, half)",
        "s = Sigmoid(x) y = Mul(s, s)",
    ],
)
def test_what_is_no_swish_stays(gated, rewrite, body):
    fused = rewrite(passes.FuseSwish(), gated(body))
    # The gate of the fourth is one of Swish; what its result is halved by is not.
    assert ("Swish_24" in operators(fused)) == ("m = Mul(x, s)" in body)


@pytest.mark.parametrize(
    "body", ["s = Softplus(x) t = Tanh(s) y = Mul(s, t)", "t = Softplus(x) y = Mul(x, t)"]
)
def test_what_is_no_mish_stays(gated, rewrite, body):
    assert "Mish_18" not in operators(rewrite(passes.FuseMish(), gated(body)))


@pytest.mark.parametrize(("operator", "form", "inside"), [
    ("Swish", "torch", "s"),
    ("Mish", "torch", "s"),
    ("Mish", "torch", "t"),
    *[("HardSwish", "tf2onnx", inside) for inside in "acg"],
])  # fmt: skip
def test_what_others_read_stays(gated, rewrite, operator, form, inside):
    body = FORMS[operator][form] + f" z = Neg({inside})"
    proto = gated(body, outputs="float[N,4] y, float[N,4] z")
    assert LABELS[operator] not in operators(rewrite(PASSES[operator](), proto))
    proto = gated(FORMS[operator][form], outputs=f"float[N,4] y, float[N,4] {inside}")
    assert LABELS[operator] not in operators(rewrite(PASSES[operator](), proto))


def test_a_scaled_x_is_x(gated, rewrite, noise):
    proto = gated("w = Mul(x, half) s = Sigmoid(w) y = Mul(w, s)")
    fused = rewrite(passes.FuseSwish(), proto)
    assert operators(fused) == ["Mul", "Swish_24"]
    assert_same(proto, noise(5, 4))


def test_a_gate_of_a_layer_stays(build, rewrite):
    """Squeeze and excitation: the gate is of other channels than x."""
    body = "p = GlobalAveragePool(x) s = Sigmoid(p) y = Mul(x, s)"
    proto = inferred(build(f"(float[N,4,3,3] x) => (float[N,4,3,3] y) {{ {body} }}"))
    assert "Swish_24" not in operators(rewrite(passes.FuseSwish(), proto))


def test_two_in_a_row(gated, rewrite, noise):
    proto = gated("s = Sigmoid(x) w = Mul(x, s) t = Sigmoid(w) y = Mul(w, t)")
    assert operators(rewrite(passes.FuseSwish(), proto)) == ["Swish_24"] * 2
    assert_same(proto, noise(5, 4))
