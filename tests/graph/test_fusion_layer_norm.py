"""Layer normalisation as exporters write it becomes one node; what only looks like it stays."""

import numpy as np
import pytest
from fusions import assert_same, inferred, operators

from onnxattr.graph import passes

MEAN = "m = ReduceMean<axes = [-1]>(x)"
CENTRED = f"{MEAN} d = Sub(x, m)"
VARIANCE = f"{CENTRED} s = Pow(d, two) v = ReduceMean<axes = [-1]>(s)"
ROOT = "e = Add(v, eps) r = Sqrt(e)"
AFFINE = "g = Mul(n, scale) y = Add(g, bias)"
SPREAD = f"{VARIANCE} {ROOT} i = Reciprocal(r) k = Mul(i, scale) a = Mul(x, k)"

FORMS = {
    "torch, Paddle": f"{VARIANCE} {ROOT} n = Div(d, r) {AFFINE}",
    "two differences": f"{CENTRED} d2 = Sub(x, m) s = Mul(d, d2) v = ReduceMean<axes = [-1]>(s) "
    f"{ROOT} d3 = Sub(x, m) n = Div(d3, r) {AFFINE}",
    "JAX": f"{CENTRED} s = Mul(x, x) w = ReduceMean<axes = [-1]>(s) q = Mul(m, m) u = Sub(w, q) "
    f"v = Max(u, zero) {ROOT} n = Div(d, r) {AFFINE}",
    "mean squares": f"{CENTRED} s = Pow(x, two) w = ReduceMean<axes = [-1]>(s) q = Pow(m, two) "
    f"v = Sub(w, q) {ROOT} n = Div(d, r) {AFFINE}",
    "reciprocal": f"{VARIANCE} {ROOT} i = Reciprocal(r) n = Mul(d, i) {AFFINE}",
    "one over": f"{VARIANCE} {ROOT} i = Div(one, r) n = Mul(i, d) {AFFINE}",
    "powers": f"{VARIANCE} e = Add(v, eps) i = Pow(e, minus) n = Mul(d, i) {AFFINE}",
    "power": f"{VARIANCE} e = Add(eps, v) r = Pow(e, half) n = Div(d, r) {AFFINE}",
    "scaled root": f"{VARIANCE} {ROOT} i = Reciprocal(r) k = Mul(i, scale) n = Mul(d, k) "
    "y = Add(n, bias)",
    "scaled difference": f"{VARIANCE} {ROOT} w = Mul(scale, d) n = Div(w, r) y = Add(bias, n)",
    "Keras": f"{SPREAD} o = Neg(m) b = Mul(o, k) c = Add(b, bias) y = Add(a, c)",
    "TensorFlow": f"{SPREAD} b = Mul(m, k) c = Sub(bias, b) y = Add(a, c)",
}

PLAIN = {
    "torch": f"{VARIANCE} {ROOT} y = Div(d, r)",
    "scale": f"{VARIANCE} {ROOT} n = Div(d, r) y = Mul(n, scale)",
    "bias": f"{VARIANCE} {ROOT} n = Div(d, r) y = Add(n, bias)",
    "spread": f"{VARIANCE} {ROOT} i = Reciprocal(r) a = Mul(x, i) b = Mul(m, i) y = Sub(a, b)",
    "Keras": f"{VARIANCE} {ROOT} i = Reciprocal(r) a = Mul(x, i) o = Neg(m) b = Mul(o, i) "
    "y = Add(a, b)",
}


@pytest.fixture
def norm(build, noise):
    """`norm("…", two=3)` → a model whose body is that, some of its constants others."""

    def make(body, x="float[N,5,8] x", outputs="float[N,5,8] y", opset=17, **others):
        constants = {
            "eps": 1e-3,
            "two": 2,
            "one": 1,
            "zero": 0,
            "half": 0.5,
            "minus": -0.5,
            "scale": 1 + 0.1 * noise(8),
            "bias": noise(8, seed=1),
        }
        chosen = {k: np.asarray(v) for k, v in (constants | others).items() if k in body}
        weights = {
            k: v.astype(np.float32) if v.dtype.kind == "f" or k in constants else v
            for k, v in chosen.items()
        }
        return inferred(build(f"({x}) => ({outputs}) {{ {body} }}", opset=opset, **weights))

    return make


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_one_node(norm, rewrite, noise, form):
    proto = norm(FORMS[form])
    fused = rewrite(passes.FuseLayerNorm(), proto)
    assert operators(fused) == ["FusedLayerNormalization"]
    (node,) = fused.graph.node
    assert list(node.input) == ["x", "scale", "bias"]
    attributes = {a.name: a for a in node.attribute}
    assert list(attributes["axes"].ints) == [-1]
    assert attributes["epsilon"].f == np.float32(1e-3)
    # A difference of mean squares is not so exact itself.
    assert_same(proto, noise(3, 5, 8), tolerance=2e-6)


@pytest.mark.parametrize("form", PLAIN)
def test_scale_and_bias_may_be_absent(norm, rewrite, noise, form):
    proto = norm(PLAIN[form])
    assert operators(rewrite(passes.FuseLayerNorm(), proto)) == ["FusedLayerNormalization"]
    assert_same(proto, noise(3, 5, 8), tolerance=2e-6)


def test_axes_may_be_an_input(norm, rewrite, noise):
    body = FORMS["torch, Paddle"].replace("<axes = [-1]>", "").replace("(x)", "(x, axes)")
    proto = norm(body.replace("(s)", "(s, axes)"), opset=18, axes=np.array([2]))
    assert operators(rewrite(passes.FuseLayerNorm(), proto)) == ["FusedLayerNormalization"]
    assert_same(proto, noise(3, 5, 8))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("[-2, -1]", (5, 8)),
        ("[1, 2]", (5, 8)),
        ("[-2, -1]", (8,)),
        ("[2], keepdims = 1", (1, 1, 8)),
    ],
)
def test_several_axes(norm, rewrite, noise, axes, shape):
    body = FORMS["torch, Paddle"].replace("axes = [-1]", f"axes = {axes}")
    proto = norm(body, scale=noise(*shape), bias=noise(*shape, seed=3))
    assert operators(rewrite(passes.FuseLayerNorm(), proto)) == ["FusedLayerNormalization"]
    assert_same(proto, noise(3, 5, 8))


def test_axes_in_the_middle(norm, rewrite, noise):
    """ConvNeXt normalises the channels of images in NCHW."""
    body = FORMS["torch, Paddle"].replace("axes = [-1]", "axes = [1]")
    shapes = {"x": "float[N,6,4,3] x", "outputs": "float[N,6,4,3] y"}
    proto = norm(body, **shapes, scale=noise(6, 1, 1), bias=noise(6, 1, 1, seed=3))
    assert operators(rewrite(passes.FuseLayerNorm(), proto)) == ["FusedLayerNormalization"]
    assert_same(proto, noise(2, 6, 4, 3))


def test_global_pools_are_means(norm, rewrite, noise):
    body = FORMS["Keras"].replace("ReduceMean<axes = [-1]>", "GlobalAveragePool")
    proto = norm(body)
    assert operators(rewrite(passes.FuseLayerNorm(), proto)) == ["FusedLayerNormalization"]
    assert_same(proto, noise(3, 5, 8))


def test_a_scale_of_another_axis_stays_outside(norm, rewrite, noise):
    proto = norm(FORMS["torch, Paddle"], scale=noise(5, 1))
    left = operators(rewrite(passes.FuseLayerNorm(), proto))
    assert left == ["Add", "FusedLayerNormalization", "Mul"]
    assert_same(proto, noise(3, 5, 8))


def test_a_computed_scale_stays_outside(norm, rewrite, noise):
    body = FORMS["torch, Paddle"].replace("scale", "c")
    proto = norm(f"{body}", x="float[N,5,8] x, float[N,1,8] c")
    left = operators(rewrite(passes.FuseLayerNorm(), proto))
    assert left == ["Add", "FusedLayerNormalization", "Mul"]
    assert_same(proto, noise(3, 5, 8), noise(3, 1, 8))


NEAR = {
    "a cube": {"two": 3},
    "a negative ε": {"eps": -1e-3},
    "an ε for each": {"eps": [[0.001], [0.002], [0.003], [0.004], [0.005]]},
}


@pytest.mark.parametrize("others", NEAR.values(), ids=NEAR)
def test_other_numbers_stay(norm, rewrite, others):
    proto = norm(FORMS["torch, Paddle"], **others)
    assert "FusedLayerNormalization" not in operators(rewrite(passes.FuseLayerNorm(), proto))


LIKE = {
    "another axis": FORMS["torch, Paddle"].replace("[-1]>(s)", "[1]>(s)"),
    "no mean": "s = Mul(x, x) v = ReduceMean<axes = [-1]>(s) e = Add(v, eps) r = Sqrt(e) "
    "y = Div(x, r)",
    "another x": f"w = Relu(x) {VARIANCE} {ROOT} d2 = Sub(w, m) y = Div(d2, r)",
    "upside down": f"{VARIANCE} {ROOT} y = Div(r, d)",
    "another sign": FORMS["Keras"].replace("Neg(m)", "Abs(m)"),
    "mean added": FORMS["TensorFlow"].replace("Sub(bias, b)", "Add(bias, b)"),
    "the other difference": FORMS["mean squares"].replace("Sub(w, q)", "Sub(q, w)"),
    "ε outside": f"{VARIANCE} q = Sqrt(v) r = Add(q, eps) n = Div(d, r) {AFFINE}",
}


@pytest.mark.parametrize("form", LIKE)
def test_what_is_like_it_stays(norm, rewrite, form):
    left = operators(rewrite(passes.FuseLayerNorm(), norm(LIKE[form])))
    assert "FusedLayerNormalization" not in left


@pytest.mark.parametrize("inside", "mdsver")
def test_what_others_read_stays(norm, rewrite, inside):
    body = FORMS["torch, Paddle"] + f" z = Neg({inside})"
    proto = norm(body, outputs="float[N,5,8] y, float[N,5,k] z")
    assert "FusedLayerNormalization" not in operators(rewrite(passes.FuseLayerNorm(), proto))


def test_a_scale_after_what_others_read_stays_outside(norm, rewrite, noise):
    proto = norm(FORMS["torch, Paddle"], outputs="float[N,5,8] y, float[N,5,8] n")
    left = operators(rewrite(passes.FuseLayerNorm(), proto))
    assert left == ["Add", "FusedLayerNormalization", "Mul"]


def test_halves_stay(build, rewrite, noise):
    """Their squares may be infinite, which the kernel's are not."""
    text = FORMS["torch, Paddle"]
    weights = {
        "two": 2, "eps": 1e-3, "scale": np.ones(8), "bias": np.ones(8)
    }  # fmt: skip
    weights = {k: np.asarray(v, np.float16) for k, v in weights.items()}
    proto = build(f"(float16[N,5,8] x) => (float16[N,5,8] y) {{ {text} }}", **weights)
    left = operators(rewrite(passes.FuseLayerNorm(), inferred(proto)))
    assert "FusedLayerNormalization" not in left
