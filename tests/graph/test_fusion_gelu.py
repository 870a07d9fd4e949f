"""GELU as exporters write it becomes one node; what only looks like it stays."""

import numpy as np
import pytest
from fusions import assert_same, inferred, operators

from onnxattr.graph import passes

TANH = "q = Mul(b, t) f = Tanh(q)"
CUBE = "c = Pow(x, three) d = Mul(k, c) b = Add(x, d)"

FORMS = {
    "torch, legacy": "a = Div(x, r) f = Erf(a) p = Add(f, one) m = Mul(x, p) y = Mul(m, half)",
    "torch, dynamo": "a = Div(x, r) f = Erf(a) p = Add(f, one) m = Mul(half, p) y = Mul(x, m)",
    "tf2onnx": "h = Mul(half, x) a = Mul(x, i) f = Erf(a) p = Add(one, f) y = Mul(h, p)",
    "Paddle": "a = Div(x, r1) f = Erf(a) p = Add(f, one1) m = Mul(x, p) y = Mul(m, half1)",
    "half by half": "a = Mul(i, x) f = Erf(a) e = Mul(f, half) p = Add(e, half) y = Mul(p, x)",
    "halved by Div": "a = Div(x, r) f = Erf(a) p = Add(f, one) m = Mul(p, x) y = Div(m, two)",
    "halved at first": "h = Div(x, two) a = Div(x, r) f = Erf(a) p = Add(f, one) y = Mul(h, p)",
    "of −x": "n = Neg(x) a = Mul(n, i) f = Erf(a) p = Sub(one, f) m = Mul(x, p) y = Mul(m, half)",
    "−1 at last": (
        "a = Div(x, r) f = Erf(a) e = Neg(f) p = Sub(e, one) m = Mul(x, p) y = Mul(m, minus)"
    ),
    "tanh, torch, legacy": (
        "s = Mul(x, x) c = Mul(x, s) d = Mul(k, c) b = Add(x, d) q = Mul(t, b) f = Tanh(q) "
        "p = Add(one, f) m = Mul(x, p) y = Mul(half, m)"
    ),
    "tanh, torch, dynamo": f"{CUBE} {TANH} p = Add(f, one) m = Mul(half, p) y = Mul(x, m)",
    "tanh, tf2onnx": f"h = Mul(half, x) {CUBE} {TANH} p = Add(one, f) y = Mul(h, p)",
    "tanh, factored": (
        "s = Mul(x, x) d = Mul(s, k) e = Add(d, one) b = Mul(x, e) "
        f"{TANH} p = Add(f, one) m = Mul(x, p) y = Mul(m, half)"
    ),
}

NUMBERS = {
    "r": np.sqrt(2),
    "i": np.sqrt(0.5),
    "one": 1,
    "two": 2,
    "three": 3,
    "half": 0.5,
    "minus": -0.5,
    "k": 0.044715,
    "t": np.sqrt(2 / np.pi),
    "r1": [np.sqrt(2)],
    "one1": [1],
    "half1": [0.5],
}


@pytest.fixture
def gelu(build):
    """`gelu("…", half=0.4)` → a model whose body is that, some of its numbers others."""

    def make(body, dtype=np.float32, outputs="float[N,4] y", **others):
        numbers = {k: np.asarray(v, dtype) for k, v in (NUMBERS | others).items() if k in body}
        kind = {np.float32: "float", np.float16: "float16", np.float64: "double"}[dtype]
        return inferred(
            build(
                f"(float[N,4] x) => ({outputs}) {{ {body} }}".replace("float[", f"{kind}["),
                **numbers,
            )
        )

    return make


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_one_node(gelu, rewrite, noise, form):
    proto = gelu(FORMS[form])
    fused = rewrite(passes.FuseGelu(), proto)
    assert operators(fused) == ["FusedGelu"]
    assert [o.name for o in fused.graph.output] == ["y"]
    (attribute,) = fused.graph.node[0].attribute
    assert attribute.s == (b"tanh" if "tanh" in form else b"none")
    assert_same(proto, 3 * noise(5, 4))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("form", ["torch, legacy", "tanh, torch, legacy"])
def test_numbers_may_be_as_coarse_as_their_type(gelu, rewrite, noise, form, dtype):
    proto = gelu(FORMS[form], dtype)
    assert operators(rewrite(passes.FuseGelu(), proto)) == ["FusedGelu"]
    tolerance = 3e-3 if dtype == np.float16 else 1e-6
    assert_same(proto, noise(5, 4).astype(dtype), tolerance=tolerance)


@pytest.mark.parametrize(
    "others",
    [{"r": 1.4142}, {"one": 1.01}, {"half": 0.51}, {"half": -0.5}, {"one": -1}, {"r": -np.sqrt(2)}],
    ids=str,
)
def test_other_numbers_stay(gelu, rewrite, others):
    proto = gelu(FORMS["torch, legacy"], **others)
    assert "FusedGelu" not in operators(rewrite(passes.FuseGelu(), proto))


@pytest.mark.parametrize("others", [{"k": 0.0447}, {"t": 0.8}, {"three": 2}], ids=str)
def test_other_polynomials_stay(gelu, rewrite, others):
    proto = gelu(FORMS["tanh, torch, dynamo"], **others)
    assert "FusedGelu" not in operators(rewrite(passes.FuseGelu(), proto))


@pytest.mark.parametrize("inside", "afpm")
def test_what_others_read_stays(gelu, rewrite, inside):
    body = FORMS["torch, legacy"] + f" z = Neg({inside})"
    outputs = "float[N,4] y, float[N,4] z"
    assert "Erf" in operators(rewrite(passes.FuseGelu(), gelu(body, outputs=outputs)))
    outputs = f"float[N,4] y, float[N,4] {inside}"
    proto = gelu(FORMS["torch, legacy"], outputs=outputs)
    assert "Erf" in operators(rewrite(passes.FuseGelu(), proto))


def test_another_x_stays(gelu, rewrite):
    body = "w = Relu(x) " + FORMS["torch, legacy"].replace("Mul(x, p)", "Mul(w, p)")
    assert "Erf" in operators(rewrite(passes.FuseGelu(), gelu(body)))


def test_a_number_that_adds_a_dimension_stays(gelu, rewrite):
    proto = gelu(FORMS["torch, legacy"], outputs="float[a,N,4] y", half=[[[0.5]]])
    assert "Erf" in operators(rewrite(passes.FuseGelu(), proto))


def test_a_scaled_x_is_x(gelu, rewrite, noise):
    """x may itself be a product with a number, and so may be taken for another."""
    rest = FORMS["tf2onnx"].replace("x)", "x0)").replace("(x,", "(x0,")
    proto = gelu(f"x0 = Mul(x, half) {rest}")
    assert operators(rewrite(passes.FuseGelu(), proto)) == ["FusedGelu", "Mul"]
    assert_same(proto, noise(5, 4))


def test_two_in_a_row(gelu, rewrite, noise):
    first = FORMS["torch, dynamo"].replace("y =", "w =")
    second = "a2 = Div(w, r) f2 = Erf(a2) p2 = Add(f2, one) m2 = Mul(w, p2) y = Mul(m2, half)"
    proto = gelu(f"{first} {second}")
    assert operators(rewrite(passes.FuseGelu(), proto)) == ["FusedGelu"] * 2
    assert_same(proto, noise(5, 4))
