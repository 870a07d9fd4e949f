"""Which quantised tensors have a gradient: those that quantised operators alone read."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

import onnxattr
from onnxattr.graph import passes
from onnxattr.graph.walk import nodes

SCALE = {"s": np.float32(0.1), "z": np.uint8(30)}
QUANTISED = "q = QuantizeLinear(x, s, z)"


def carried(proto, rewrite):
    """The nodes that are marked."""
    marked = rewrite(passes.Carry(), proto).graph
    return [n.op_type for n in marked.node if any(a.name == "carry" and a.i for a in n.attribute)]


def pair(build, between, *, x="float[2,3,4,4]", y="float[N,M,H,W]", **weights):
    text = f"({x} x) => ({y} y) {{ {QUANTISED} {between} y = DequantizeLinear(r, s, z) }}"
    return build(text, **SCALE, **weights)


@pytest.mark.parametrize(
    "between",
    [
        "r = Identity(q)",
        "r = Transpose <perm=[0,2,3,1]> (q)",
        "r = MaxPool <kernel_shape=[2,2]> (q)",
        "a = Transpose <perm=[0,2,3,1]> (q) r = Concat <axis=1> (a, a)",
        "a, b = Split <axis=2> (q) r = Concat <axis=1> (a, b)",
        "n = Shape(q) r = Reshape(q, n)",
    ],
)
def test_what_moves_numbers_about_carries_them(build, rewrite, between):
    assert carried(pair(build, between), rewrite) == ["QuantizeLinear"]


@pytest.mark.parametrize(
    "between",
    [
        "i = Cast <to=7> (q) k = Cast <to=2> (i) r = Identity(k)",
        "r = BitShift <direction='LEFT'> (q, z)".replace("'", '"'),
    ],
)
def test_what_computes_with_integers_gets_integers(build, rewrite, between):
    assert carried(pair(build, between), rewrite) == []


def test_an_output_of_the_graph_keeps_its_type(build, rewrite):
    text = f"""(float[2,3] x) => (float[2,3] y, uint8[2,3] q) {{
        {QUANTISED} y = DequantizeLinear(q, s, z) }}"""
    proto = build(text, **SCALE)
    assert carried(proto, rewrite) == []
    y, q = onnxattr.to_torch(proto)(torch.ones(2, 3))
    assert (y.dtype, q.dtype) == (torch.float32, torch.uint8)


def test_one_part_of_a_split_that_leaves_keeps_all_of_it(build, rewrite):
    text = f"""(float[2,4] x) => (float[2,2] y, uint8[2,2] b) {{
        {QUANTISED} a, b = Split <axis=1> (q) y = DequantizeLinear(a, s, z) }}"""
    assert carried(build(text, **SCALE), rewrite) == []


def test_sums_of_products_are_carried_to_a_cast(build, rewrite):
    text = """(float[2,3] x) => (float[2,4] y) {
        q, s, z = DynamicQuantizeLinear(x)
        i = MatMulInteger(q, w, z)
        f = Cast <to=1> (i)
        y = Mul(f, s)
    }"""
    proto = build(text, w=np.arange(12, dtype=np.int8).reshape(3, 4))
    assert carried(proto, rewrite) == ["DynamicQuantizeLinear", "MatMulInteger"]


def test_the_type_of_half_a_byte_is_written_down(rewrite):
    zero = helper.make_tensor("z", TensorProto.INT4, [], [1])
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.INT4, [3])],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [1.0]), zero],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    rewritten = passes.Carry()(ir.from_proto(proto)).model
    (found,) = nodes(ir.to_proto(rewritten).graph)
    assert {a.name: a.i for a in found.attribute} == {"output_dtype": TensorProto.INT4}
    x = torch.tensor([-20.0, 2.4, 20.0])
    assert onnxattr.to_torch(proto)(x).tolist() == [-8, 3, 7]


@pytest.mark.parametrize("between", ["r = Identity(q)", "r = MaxPool <kernel_shape=[1,1]> (q)"])
def test_a_pair_has_the_gradient_of_clip(build, between):
    net = onnxattr.to_torch(pair(build, between, y="float[2,3,4,4]"))
    x = torch.linspace(-10, 40, 96).reshape(2, 3, 4, 4).requires_grad_()
    y = net(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    inside = (x >= (0 - 30) * 0.1) & (x <= (255 - 30) * 0.1)
    assert torch.equal(gradient, inside.float())
    assert 0 < inside.sum() < inside.numel()


def test_a_network_of_integers_gives_what_onnx_runtime_gives(build, noise):
    text = """(float[1,64,9,9] x) => (float[1,8,9,9] y) {
        q = QuantizeLinear(x, s, z)
        r = QLinearConv <pads=[1,1,1,1]> (q, s, z, w, ws, wz, t, z, b)
        y = DequantizeLinear(r, t, z)
    }"""
    random = np.random.default_rng(0)
    proto = build(
        text,
        **SCALE,
        # More terms than float32 sums exactly.
        w=random.integers(-127, 128, (8, 64, 3, 3)).astype(np.int8),
        ws=random.uniform(0.001, 0.01, 8).astype(np.float32),
        wz=np.zeros(8, np.int8),
        t=np.float32(0.9),
        b=random.integers(-5000, 5000, 8).astype(np.int32),
    )
    x = noise(1, 64, 9, 9)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(None, {"x": x})
    probe = torch.from_numpy(x).requires_grad_()
    y = onnxattr.to_torch(proto)(probe)
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    (gradient,) = torch.autograd.grad(y.sum(), probe)
    assert gradient.isfinite().all()
    assert gradient.any()
