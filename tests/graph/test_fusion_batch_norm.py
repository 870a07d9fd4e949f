"""Batch normalisation is folded into a layer whose weights are stored, and nowhere else."""

import numpy as np
import onnx
import pytest
from fusions import assert_same, inferred, operators

from onnxattr.graph import passes

NORM = "y = BatchNormalization(h, scale, shift, mean, variance)"

LAYERS = {
    "Conv": ("float[N,3,6,6]", "float[N,4,4,4]", "h = Conv(x, w)", (4, 3, 3, 3)),
    "Conv with a bias": ("float[N,3,6,6]", "float[N,4,4,4]", "h = Conv(x, w, b)", (4, 3, 3, 3)),
    "Conv in groups": (
        "float[N,4,6,6]", "float[N,4,4,4]", "h = Conv<group = 2>(x, w, b)", (4, 2, 3, 3)
    ),
    "Conv along a line": ("float[N,3,6]", "float[N,4,4]", "h = Conv(x, w)", (4, 3, 3)),
    "ConvTranspose": (
        "float[N,3,6,6]", "float[N,4,8,8]", "h = ConvTranspose(x, w, b)", (3, 4, 3, 3)
    ),
    "Gemm": ("float[N,3]", "float[N,4]", "h = Gemm(x, w, b)", (3, 4)),
    "Gemm, turned": ("float[N,3]", "float[N,4]", "h = Gemm<transB = 1>(x, w, b)", (4, 3)),
}  # fmt: skip


@pytest.fixture
def layer(build, noise):
    """`layer("Conv")` → that layer and its normalisation, some of what they hold other."""

    def make(form, norm=NORM, opset=17, outputs="", **others):
        source, target, body, shape = LAYERS[form]
        stored = {
            "w": noise(*shape),
            "b": noise(4, seed=1),
            "scale": noise(4, seed=2),
            "shift": noise(4, seed=3),
            "mean": noise(4, seed=4),
            "variance": noise(4, seed=5) ** 2,
        } | others
        text = f"({source} x) => ({target} y{outputs}) {{ {body} {norm} }}"
        used = {k: v for k, v in stored.items() if k != "b" or ", b)" in body}
        return inferred(build(text, opset=opset, **used))

    return make


@pytest.mark.parametrize("form", LAYERS)
@pytest.mark.parametrize("opset", [7, 9, 14, 17])
def test_two_layers_become_one(layer, rewrite, noise, runtime, form, opset):
    proto = layer(form, opset=opset)
    folded = rewrite(passes.FoldBatchNorm(), proto)
    assert operators(folded) == [form.split()[0].strip(",")]
    x = noise(2, *[d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim][1:])
    np.testing.assert_allclose(runtime(folded, x)[0], runtime(proto, x)[0], rtol=1e-4, atol=1e-5)
    assert_same(proto, x, tolerance=2e-6)


def test_epsilon_counts(layer, rewrite, noise, runtime):
    proto = layer("Conv", NORM.replace("(h", "<epsilon = 0.5>(h"))
    x = noise(2, 3, 6, 6)
    folded = rewrite(passes.FoldBatchNorm(), proto)
    np.testing.assert_allclose(runtime(folded, x)[0], runtime(proto, x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("norm", "opset"),
    [
        (NORM.replace("(h", "<training_mode = 1>(h").replace("y =", "y, m, v ="), 17),
        (NORM, 6),
        (NORM.replace("(h", "<spatial = 0>(h"), 7),
        (f"g = Relu(h) {NORM.replace('(h', '(g')}", 17),
    ],
    ids=["training", "an old form", "every pixel", "not next to it"],
)
def test_other_normalisations_stay(layer, rewrite, norm, opset):
    left = operators(rewrite(passes.FoldBatchNorm(), layer("Conv", norm, opset)))
    assert "BatchNormalization" in left


def test_a_layer_that_others_read_stays(layer, rewrite):
    proto = layer("Conv", NORM + " z = Neg(h)", outputs=", float[N,4,4,4] z")
    assert "BatchNormalization" in operators(rewrite(passes.FoldBatchNorm(), proto))


@pytest.mark.parametrize("name", ["w", "scale", "variance"])
def test_what_is_computed_stays(layer, rewrite, name):
    proto = layer("Conv")
    for node in proto.graph.node:
        node.input[:] = ["computed" if v == name else v for v in node.input]
    proto.graph.node.insert(0, onnx.helper.make_node("Abs", [name], ["computed"]))
    assert "BatchNormalization" in operators(rewrite(passes.FoldBatchNorm(), proto))


def test_weights_that_would_overflow_stay(layer, rewrite):
    proto = layer("Conv", variance=np.full(4, -1, np.float32))
    assert "BatchNormalization" in operators(rewrite(passes.FoldBatchNorm(), proto))
