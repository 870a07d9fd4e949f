"""What channels are moved and scaled by goes into the layer before, and nothing else does."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from onnxattr.graph.passes import FoldAffine

DRAW = np.random.default_rng(1)
STORED = {
    "w": DRAW.normal(size=(4, 3, 3, 3)), "b": DRAW.normal(size=4), "m": DRAW.normal(size=(12, 4)),
    "t": DRAW.normal(size=(3, 4, 2, 2)), "c": DRAW.uniform(0.5, 1.5, (4, 1, 1)),
    "c4": DRAW.uniform(0.5, 1.5, (1, 4, 1, 1)), "row": DRAW.uniform(0.5, 1.5, 4),
    "one": np.array(1.5), "wide": DRAW.normal(size=(1, 4, 4, 4)), "none": np.zeros((4, 1, 1)),
    "columns": DRAW.normal(size=(4,)),
}  # fmt: skip
LAST, FIRST = "Transpose<perm = [0, 2, 3, 1]>", "Transpose<perm = [0, 3, 1, 2]>"


def model(body, opset=17, shape="N,3,6,6"):
    header = f'<ir_version: 8, opset_import: ["" : {opset}]> g'
    free = ",".join("abcd"[: shape.count(",") + 1])
    proto = parser.parse_model(f"{header} (float[{shape}] x) => (float[{free}] y) {{ {body} }}")
    for name, value in STORED.items():
        if any(name in node.input for node in proto.graph.node):
            proto.graph.initializer.append(
                numpy_helper.from_array(np.asarray(value, np.float32), name)
            )
    return proto


def folded(proto):
    result = FoldAffine()(ir.from_proto(proto))
    return ir.to_proto(result.model), result.modified


def run(proto, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


FOLDED = {
    "a bias": "a = Conv(x, w) y = Add(a, c)",
    "a bias of four axes": "a = Conv(x, w) y = Add(c4, a)",
    "beside another": "a = Conv(x, w, b) y = Add(a, c)",
    "a difference": "a = Conv(x, w, b) y = Sub(a, c)",
    "the other difference": "a = Conv(x, w, b) y = Sub(c, a)",
    "a scale": "a = Conv(x, w, b) y = Mul(c, a)",
    "a quotient": "a = Conv(x, w, b) y = Div(a, c)",
    "all of them": "a = Conv(x, w) d = Sub(a, c) e = Div(d, c4) f = Mul(e, c) y = Add(f, c4)",
    "channels last": f"a = Conv(x, w) d = {LAST}(a) e = Mul(d, row) f = Add(e, row) y = {FIRST}(f)",
    "transposed": "a = ConvTranspose<strides = [2, 2]>(x, t, b) y = Mul(a, c)",
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name):
    before = model(FOLDED[name])
    after, modified = folded(before)
    left = {node.op_type for node in after.graph.node}
    assert modified
    assert left <= {"Conv", "ConvTranspose", "Transpose"}
    onnx.checker.check_model(after)
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(np.float32)
    assert np.allclose(run(before, x), run(after, x), rtol=1e-5, atol=1e-5)
    again, modified = folded(after)
    assert not modified
    assert again == after


def test_folded_into_a_product_of_matrices():
    before = model("a = Gemm(x, m, b) d = Mul(a, columns) y = Sub(d, row)", shape="N,12")
    after, modified = folded(before)
    assert modified
    assert [node.op_type for node in after.graph.node] == ["Gemm"]
    x = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    assert np.allclose(run(before, x), run(after, x), rtol=1e-5, atol=1e-5)


KEPT = {
    "a single number": "a = Conv(x, w) y = Add(a, one)",
    "numbers along other axes": "a = Conv(x, w) y = Add(a, wide)",
    "a row along the last axis": "a = Conv(x, w) y = Add(a, row)",
    "what others read": "a = Conv(x, w) d = Add(a, c) y = Mul(a, d)",
    "what is divided": "a = Conv(x, w) y = Div(c, a)",
    "a quotient by zero": "a = Conv(x, w) y = Div(a, none)",
    "an activation in between": "a = Conv(x, w) d = Relu(a) y = Add(d, c)",
    "no layer": "a = Relu(x) y = Add(a, a)",
    "weights that are computed": "v = Relu(w) a = Conv(x, v) y = Add(a, c)",
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name):
    before = model(KEPT[name])
    after, modified = folded(before)
    assert not modified
    assert [n.op_type for n in after.graph.node] == [n.op_type for n in before.graph.node]
