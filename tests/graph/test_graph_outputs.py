"""Which tensor is attributed, rule by rule."""

import numpy as np
import pytest

from onnxattr.errors import UsageError
from onnxattr.graph.load import load
from onnxattr.graph.outputs import representation

W = np.ones((4, 2), np.float32)
B = np.ones(2, np.float32)
K1 = np.ones((2, 4, 1, 1), np.float32)
K3 = np.ones((2, 4, 3, 3), np.float32)

FLAT = "(float[N,4] x) => (float[N,2] y) {{ f = Relu(x) {} }}"
MAPS = "(float[N,4,5,5] x) => (float[N,a,b,c] y) {{ f = Relu(x) {} }}"
VECTOR = "(float[N,4,5,5] x) => (float[N,a] y) {{ f = Relu(x) {} }}"

FOUND = {
    "Gemm": (FLAT, "y = Gemm(f, w, b)", {"w": W, "b": B}, "f", "y"),
    "MatMul": (FLAT, "y = MatMul(f, w)", {"w": W}, "f", "y"),
    "MatMul, Add": (FLAT, "h = MatMul(f, w) y = Add(h, b)", {"w": W, "b": B}, "f", "y"),
    "Add, bias first": (FLAT, "h = MatMul(f, w) y = Add(b, h)", {"w": W, "b": B}, "f", "y"),
    "Gemm, weight in a Constant": (
        FLAT,
        "w = Constant<value = float[4,2] {1,2,3,4,5,6,7,8}>() y = Gemm(f, w)",
        {}, "f", "y",
    ),
    "Gemm, weight behind Identity": (FLAT, "v = Identity(w) y = Gemm(f, v)", {"w": W}, "f", "y"),
    "MatMul, bias in a Constant": (
        FLAT,
        "h = MatMul(f, w) b = Constant<value = float[2] {1, 2}>() y = Add(h, b)",
        {"w": W}, "f", "y",
    ),
    "Softmax": (FLAT, "h = Gemm(f, w) y = Softmax(h)", {"w": W}, "f", "h"),
    "Sigmoid": (FLAT, "h = Gemm(f, w) y = Sigmoid(h)", {"w": W}, "f", "h"),
    "LogSoftmax": (FLAT, "h = Gemm(f, w) y = LogSoftmax(h)", {"w": W}, "f", "h"),
    "Softmax, then ArgMax": (
        FLAT.replace("float[N,2]", "int64[N,1]"),
        "h = Gemm(f, w) s = Softmax(h) y = ArgMax<axis=1>(s)",
        {"w": W}, "f", "h",
    ),
    "carriers after the head": (
        FLAT,
        "h = Gemm(f, w) r = Reshape(h, s) y = Identity(r)",
        {"w": W, "s": np.array([-1, 2])}, "f", "y",
    ),
    "carriers before a Softmax": (
        FLAT,
        "h = Gemm(f, w) r = Reshape(h, s) y = Softmax(r)",
        {"w": W, "s": np.array([-1, 2])}, "f", "r",
    ),
    "1×1 Conv": (MAPS, "y = Conv(f, k)", {"k": K1}, "f", "y"),
    "1×1 Conv, named kernel": (MAPS, "y = Conv<kernel_shape=[1,1]>(f, k)", {"k": K1}, "f", "y"),
    "1×1 Conv, kernel in a Constant": (
        MAPS,
        "k = Constant<value = float[1,4,1,1] {1,2,3,4}>() y = Conv(f, k)",
        {}, "f", "y",
    ),
    "1×1 Conv, Sigmoid": (MAPS, "h = Conv(f, k) y = Sigmoid(h)", {"k": K1}, "f", "h"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "body", "weights", "feature", "logits"), FOUND.values(), ids=FOUND
)
def test_heads(build, text, body, weights, feature, logits):
    model = load(build(text.format(body), **weights))
    assert representation(model).value == feature
    assert representation(model).rule.startswith("the input of the head, ")
    assert representation(model, "logits").value == logits
    assert representation(model, "output").value == "y"


HEADLESS = {
    "an encoder ends in Relu": (MAPS, "h = Conv(f, k) y = Relu(h)", {"k": K3}, "y"),
    "a 3×3 Conv is no head": (MAPS, "y = Conv(f, k)", {"k": K3}, "y"),
    "pooling": (MAPS, "y = GlobalAveragePool(f)", {}, "y"),
    "an Add of two signals": (FLAT, "y = Add(f, x)", {}, "y"),
    "a MatMul of two signals": (
        "(float[N,4,4] x) => (float[N,4,4] y) {{ f = Relu(x) {} }}", "y = MatMul(f, x)", {}, "y",
    ),
    "a Softmax over no linear head": (FLAT, "h = Tanh(f) y = Softmax(h)", {}, "h"),
    # SqueezeNet: 1×1 Conv, Relu, pooling, Softmax. The decision is left out, the rest stays.
    "squeezenet": (
        VECTOR,
        "c = Conv(f, k) r = Relu(c) p = GlobalAveragePool(r) q = Flatten(p) y = Softmax(q)",
        {"k": K1}, "q",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "body", "weights", "feature"), HEADLESS.values(), ids=HEADLESS)
def test_what_has_no_head(build, text, body, weights, feature):
    found = representation(load(build(text.format(body), **weights)))
    assert found.value == feature
    assert "head" in found.rule


def test_a_linear_model_is_attributed_at_its_only_layer(build):
    text = "(float[N,1,2,2] x) => (float[N,2] y) { f = Flatten(x) h = Gemm(f, w) y = Softmax(h) }"
    found = representation(load(build(text, w=W)))
    assert found.value == "h"
    assert found.rule == "the output of the only layer, Gemm"


def test_the_heads_name_is_told(build):
    proto = build(FLAT.format("y = Gemm(f, w)"), w=W)
    proto.graph.node[1].name = "classifier"
    assert representation(load(proto)).rule == "the input of the head, Gemm `classifier`"


def test_a_tensor_by_name(build):
    model = load(build(FLAT.format("mid = Gemm(f, w) y = Relu(mid)"), w=W), name="net")
    assert representation(model, "mid").value == "mid"
    assert representation(model, "mid").rule == "named"
    with pytest.raises(UsageError, match="`net` has no tensor `mdi`") as caught:
        representation(model, "mdi")
    assert caught.value.hint.startswith("did you mean `mid`?")
    assert "`feature`" in caught.value.hint


@pytest.mark.parametrize("name", ["x", "w", ""])
def test_inputs_and_weights_are_no_representation(build, name):
    with pytest.raises(UsageError):
        representation(load(build(FLAT.format("y = Gemm(f, w)"), w=W)), name)


def test_a_tensor_called_like_a_place_is_hidden_by_it(build):
    text = "(float[N,4] x) => (float[N,4] y) { output = Relu(x) y = Neg(output) }"
    assert representation(load(build(text)), "output").value == "y"
