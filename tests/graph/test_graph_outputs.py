"""Which tensor is attributed, rule by rule."""

import time

import numpy as np
import pytest
from onnx import TensorProto, helper

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
    "1×1 Conv, made larger": (
        MAPS, "h = Conv(f, k) y = Resize<mode=\"linear\">(h,,s)",
        {"k": K1, "s": np.ones(4, np.float32)}, "f", "y",
    ),
    "a temperature": (
        FLAT, "h = Gemm(f, w) d = Div(h, t) y = Softmax(d)",
        {"w": W, "t": np.float32(2)}, "f", "d",
    ),
    "a temperature that is computed": (
        FLAT, "h = Gemm(f, w) e = Exp(t) d = Mul(e, h) y = Softmax(d)",
        {"w": W, "t": np.float32([2])}, "f", "d",
    ),
    "carrier, bias, temperature, decision, carrier": (
        FLAT,
        "h = MatMul(f, w) q = Reshape(h, s) a = Add(q, b) d = Mul(a, t) c = Cast<to=11>(d) "
        "p = Sigmoid(c) y = Cast<to=1>(p)",
        {"w": W, "s": np.array([-1, 2]), "b": B, "t": np.float32([2])}, "f", "c",
    ),
    "decision, temperature, decision": (
        FLAT, "h = Gemm(f, w) a = LogSoftmax(h) d = Div(a, t) y = Softmax(d)",
        {"w": W, "t": np.float32(2)}, "f", "h",
    ),
    "the largest of the probabilities": (
        FLAT.replace("float[N,2] y", "float[N,1] y"),
        "h = Gemm(f, w) p = Softmax(h) y = ReduceMax<axes=[1]>(p)", {"w": W}, "f", "h",
    ),
    "the two best": (
        FLAT, "h = Gemm(f, w) p = Softmax(h) y, i = TopK(p, two)",
        {"w": W, "two": np.array([2])}, "f", "h",
    ),
    "what the two best are": (
        FLAT.replace("float[N,2] y", "int64[N,2] y"),
        "h = Gemm(f, w) v, y = TopK(h, two)", {"w": W, "two": np.array([2])}, "f", "h",
    ),
    "the probability of one class": (
        FLAT.replace("float[N,2] y", "float[N] y"),
        "h = Gemm(f, w) p = Softmax(h) y = Gather<axis=1>(p, i)",
        {"w": W, "i": np.array(1)}, "f", "h",
    ),
    "the label of the best": (
        FLAT.replace("float[N,2] y", "int64[N,1] y"),
        "h = Gemm(f, w) a = ArgMax<axis=1>(h) y = Gather(names, a)",
        {"w": W, "names": np.array([7, 9])}, "f", "h",
    ),
    "p and 1 − p": (
        FLAT, "h = Gemm(f, w) p = Sigmoid(h) q = Sub(one, p) y = Concat<axis=1>(q, p)",
        {"w": W[:, :1], "one": np.float32(1)}, "f", "h",
    ),
    "quantised and back": (
        FLAT,
        "h = Gemm(f, w) q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z) y = Softmax(d)",
        {"w": W, "s": np.float32(0.1), "z": np.uint8(3)}, "f", "d",
    ),
    "quantised as it runs": (
        FLAT,
        "q, s, z = DynamicQuantizeLinear(f) i = MatMulInteger(q, w, z) c = Cast<to=1>(i) "
        "t = Mul(s, v) m = Mul(c, t) a = Add(m, b) y = Softmax(a)",
        {"w": W.astype(np.uint8), "v": np.float32([0.1, 0.2]), "b": B}, "f", "a",
    ),
    "an axis that may be squeezed": (
        FLAT.replace("(float[N,4] x)", "(float[N,4] x, bool one)"),
        "h = Gemm(f, w) p = Softmax(h) u = Unsqueeze(p, two) y = If (one) <"
        "then_branch = a () => (float[N,2] q) { q = Squeeze(u, two) },"
        "else_branch = b () => (float[N,2,1] r) { r = Identity(u) }>",
        {"w": W, "two": np.array([2])}, "f", "h",
    ),
    "softmax written out": (
        FLAT, "h = Gemm(f, w) e = Exp(h) s = ReduceSum(e, one) y = Div(e, s)",
        {"w": W, "one": np.array([1])}, "f", "h",
    ),
    "softmax written out, shifted": (
        FLAT,
        "h = Gemm(f, w) m = ReduceMax<axes=[1]>(h) d = Sub(h, m) e = Exp(d) s = ReduceSum(e, one) "
        "r = Reciprocal(s) y = Mul(r, e)",
        {"w": W, "one": np.array([1])}, "f", "h",
    ),
    "softmax written out, by JAX": (
        FLAT,
        "h = Gemm(f, w) m = ReduceMax<axes=[1]>(h) k = Max(low, m) g = Expand(k, size) "
        "d = Sub(h, g) e = Exp(d) s = ReduceSum(e, one) x2 = Expand(s, size) y = Div(e, x2)",
        {"w": W, "one": np.array([1]), "low": np.float32(-1e9), "size": np.array([1, 2])}, "f", "h",
    ),
    "log-softmax written out": (
        FLAT,
        "h = Gemm(f, w) e = Exp(h) s = ReduceSum(e, one) l = Log(s) y = Sub(h, l)",
        {"w": W, "one": np.array([1])}, "f", "h",
    ),
    "softmax by its logarithm": (
        FLAT, "h = Gemm(f, w) l = ReduceLogSumExp<axes=[1]>(h) d = Sub(h, l) y = Exp(d)",
        {"w": W}, "f", "h",
    ),
    "sigmoid written out": (
        FLAT, "h = Gemm(f, w) n = Neg(h) e = Exp(n) a = Add(one, e) y = Div(one, a)",
        {"w": W, "one": np.float32(1)}, "f", "h",
    ),
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
    "a layer and its normalisation": (
        FLAT.replace("{}", "h = Gemm(f, w) y = Mul(h, b) {}"), "", {"w": W, "b": B}, "y",
    ),
    "a depthwise 1×1 Conv": (
        MAPS, "y = Conv<group=4>(f, k)", {"k": np.ones((4, 1, 1, 1), np.float32)}, "y",
    ),
    "branches that differ": (
        FLAT.replace("(float[N,4] x)", "(float[N,4] x, bool one)").replace("N,2]", "N,4]"),
        "p = Softmax(f) y = If (one) <then_branch = a () => (float[N,4] q) { q = Identity(p) },"
        "else_branch = b () => (float[N,4] r) { r = Identity(f) }>", {}, "y",
    ),
    "a gate is no decision": (FLAT, "g = Sigmoid(f) y = Mul(f, g)", {}, "y"),
    "a fraction of another sum": (
        FLAT,
        "e = Exp(f) o = Exp(x) s = ReduceSum(o, one) y = Div(e, s)", {"one": np.array([1])}, "y",
    ),
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


TWO = """(float[N,4] x) => (int64[N,1] label, float[1] fixed, float[N,2] p, float[N,4] y:0) {
    f = Relu(x) h = Gemm(f, w) p = Softmax(h) label = ArgMax<axis=1>(p) fixed = Identity(b)
    y:0 = Tanh(f) }"""


def two(build):
    return load(build(TWO.replace("y:0", "y"), w=W, b=np.float32([1])), name="net")


def test_of_several_outputs_the_first_float_that_depends_on_the_input_counts(build):
    found = representation(two(build))
    assert (found.value, found.output) == ("f", "p")
    assert found.rule == (
        "the input of the head, Gemm; `p` is the first of 2 outputs of floating point"
    )
    assert representation(two(build), "logits").value == "h"
    assert representation(two(build), "output").value == "p"


def test_where_all_are_labels_the_first_counts(build):
    text = """(float[N,4] x) => (int64[1] n, int64[N,1] a, int64[N,1] b) {
        n = Identity(s) h = Gemm(x, w) a = ArgMax<axis=1>(h) b = ArgMin<axis=1>(h) }"""
    found = representation(load(build(text, w=W, s=np.array([1]))), "logits")
    assert (found.value, found.output) == ("h", "a")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ("feature:p", "f"),
        ("logits:p", "h"),
        ("output:label", "label"),
        ("logits:label", "h"),
        ("feature:y", "y"),
        ("output:fixed", "fixed"),
    ],
)
def test_an_output_by_name(build, at, value):
    found = representation(two(build), at)
    assert (found.value, found.output) == (value, at.partition(":")[2])
    assert "outputs of floating point" not in found.rule


def test_an_unknown_output_is_refused_with_those_that_there_are(build):
    with pytest.raises(UsageError, match="`net` has no output `labl`") as caught:
        representation(two(build), "feature:labl")
    assert caught.value.hint == ("did you mean `label`? its outputs are `label`, `fixed`, `p`, `y`")
    with pytest.raises(UsageError, match="`net` has no tensor `nothing`") as caught:
        representation(two(build), "nothing")
    assert "its outputs are `label`, `fixed`, `p`, `y`" in caught.value.hint


def test_a_colon_may_be_part_of_a_tensors_name(build):
    proto = build("(float[N,4] x) => (float[N,4] y) { a = Relu(x) y = Neg(a) }")
    proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = "output:0"
    assert representation(load(proto), "output:0").value == "output:0"
    assert representation(load(proto), "output:0").rule == "named"


def test_what_was_chosen_by_suppression_leads_to_its_scores(build):
    text = """(float[N,4] x) => (float[a,4] boxes, float[a] best) {
        f = Relu(x) h = MatMul(f, w) b = Reshape(f, boxed) s = Sigmoid(h) r = Reshape(s, scored)
        i = NonMaxSuppression(b, r, many) j = Gather<axis=1>(i, last) k = Squeeze(j)
        d = Squeeze(b) boxes = Gather<axis=0>(d, k) t = Squeeze(r) best = Gather<axis=0>(t, k) }"""
    weights = {
        "w": np.ones((4, 1), np.float32), "boxed": np.array([1, -1, 4]), "many": np.array([2]),
        "scored": np.array([1, 1, -1]), "last": np.array([2]),
    }  # fmt: skip
    model = load(build(text, **weights))
    for output in ("boxes", "best"):
        assert representation(model, f"logits:{output}").value == "h"
        assert representation(model, f"feature:{output}").value == "f"


def test_a_list_of_dictionaries_is_the_tensor_before_it(build):
    text = """(float[N,4] x) => (int64[N] label, float[N,2] p) {
        f = Relu(x) h = Gemm(f, w) s = Softmax(h) label = ArgMax<axis=1, keepdims=0>(s)
        p = Identity(s) }"""
    proto = build(text, imports=', "ai.onnx.ml" : 1', w=W)
    zipmap = helper.make_node(
        "ZipMap", ["s"], ["p"], domain="ai.onnx.ml", classlabels_int64s=[3, 4]
    )
    proto.graph.node[-1].CopyFrom(zipmap)
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(1, None))
    proto.graph.output[1].type.CopyFrom(helper.make_sequence_type_proto(kind))
    assert representation(load(proto)).value == "f"
    assert representation(load(proto), "logits").value == "h"


def test_a_linear_classifier_of_scikit_learn_is_a_head(build):
    text = """(float[N,4] x) => (int64[N] label, float[N,2] p) {
        f = Relu(x) label, s = ai.onnx.ml.LinearClassifier(f) p = ai.onnx.ml.Normalizer(s) }"""
    proto = build(text, imports=', "ai.onnx.ml" : 1')
    proto.graph.node[1].attribute.extend(
        [
            helper.make_attribute("coefficients", [1.0] * 8),
            helper.make_attribute("classlabels_ints", [0, 1]),
        ]
    )
    found = representation(load(proto))
    assert (found.value, found.output) == ("f", "p")


def test_long_side_paths_take_no_time(build):
    """Each of many products has a constant at the end of the same long chain."""
    nodes = [helper.make_node("Identity", ["c"], ["c0"])]
    nodes += [helper.make_node("Identity", [f"c{i}"], [f"c{i + 1}"]) for i in range(8_000)]
    nodes += [helper.make_node("Mul", ["x", "c8000"], ["y0"])]
    nodes += [helper.make_node("Mul", [f"y{i}", "c8000"], [f"y{i + 1}"]) for i in range(8_000)]
    proto = build("(float[N,4] x) => (float[N,4] y8000) { y8000 = Relu(x) }", c=np.float32(1))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    model = load(proto)
    started = time.process_time()
    representation(model)
    # Walked in full, the chains are 64 million steps, which take half a minute.
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["x", "w", ""])
def test_inputs_and_weights_are_no_representation(build, name):
    with pytest.raises(UsageError):
        representation(load(build(FLAT.format("y = Gemm(f, w)"), w=W)), name)


def test_a_tensor_called_like_a_place_is_hidden_by_it(build):
    text = "(float[N,4] x) => (float[N,4] y) { output = Relu(x) y = Neg(output) }"
    assert representation(load(build(text)), "output").value == "y"


@pytest.mark.parametrize("kind", ["Softmax", "Resize", "Gemm", "Exp", "DynamicQuantizeLinear"])
def test_an_operator_without_inputs_is_no_head(build, kind):
    """The checker knows nothing of this domain."""
    proto = build("(float[N,4] x) => (float[a,b] y) { f = Relu(x) h = Identity(f) y = Softmax(h) }")
    proto.graph.node[1].CopyFrom(helper.make_node(kind, [], ["h"], domain="com.microsoft"))
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert representation(load(proto)).value == "h"
