"""`to_torch` and `to_network`: signature, outputs, state, and what torch users do with a module."""

import copy
import pickle

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

import onnxattr
from onnxattr.convert.torch import input_dtype, to_network
from onnxattr.errors import SupportError, UsageError
from onnxattr.graph.load import load


def same(module, proto, runtime, *feeds):
    ours = module(*(torch.from_numpy(f) for f in feeds))
    theirs = runtime(proto, *feeds)
    ours = ours if isinstance(ours, tuple) else (ours,)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)
        assert a.numpy().dtype == b.dtype


OUTPUTS = {
    "in the graph's order": "(float[2,4] z, float[2,4] y) { y = Relu(x) z = Neg(x) }",
    "an input": "(float[2,4] x, float[2,4] y) { y = Add(x, w) }",
    "an initializer": "(float[4] w, float[2,4] y) { y = Add(x, w) }",
    "nothing but an input": "(float[2,4] x) { }",
    "the input through Identity": "(float[2,4] y, float[2,4] z) "
    "{ y = Identity(x) z = Identity(x) }",
    "a Constant": "(float[2] c, float[2,4] y) "
    "{ c = Constant<value = float[2] {1, 2}>() y = Abs(x) }",
    "first of Split": "(float[2,3] a) { a, b = Split<axis=1>(x, sizes) }",
    "second of Split": "(float[2,1] b) { a, b = Split<axis=1>(x, sizes) }",
    "both of Split, crossed": "(float[2,1] b, float[2,3] a) { a, b = Split<axis=1>(x, sizes) }",
    "values of TopK": "(float[2,2] v) { v, i = TopK(x, k) }",
    "places of TopK": "(int64[2,2] i) { v, i = TopK(x, k) }",
    "one that is used on": "(float[2,4] h, float[2,4] y) { h = Relu(x) y = Neg(h) }",
    "Dropout, its mask unused": "(float[2,4] y) { y, m = Dropout(x, ratio) }",
    "MaxPool, its indices unused": "(float[1,2,3] y) "
    "{ u = Unsqueeze(x, axes) y, i = MaxPool<kernel_shape=[2]>(u) }",
}
STORED = {
    "w": np.arange(4, dtype=np.float32),
    "sizes": np.array([3, 1]),
    "k": np.array([2]),
    "ratio": np.float32(0.5),
    "axes": np.array([0]),
}


@pytest.mark.parametrize("text", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs(build, runtime, noise, text):
    used = {k: v for k, v in STORED.items() if f"{k})" in text or f"{k}," in text}
    proto = build("(float[2,4] x) => " + text, **used)
    module = onnxattr.to_torch(proto)
    expected = len(proto.graph.output)
    result = module(torch.from_numpy(noise(2, 4)))
    assert isinstance(result, tuple) == (expected > 1)
    same(module, proto, runtime, noise(2, 4))


def test_a_duplicate_output_is_refused(build):
    """Of two values with one name one engine takes the first, another the last."""
    proto = build("(float[2,4] x) => (float[2,4] y) { y = Relu(x) }")
    proto.graph.output.append(proto.graph.output[0])
    with pytest.raises(onnxattr.ModelFileError, match="2 of its outputs are called `y`"):
        onnxattr.to_torch(proto)


def test_inputs_keep_their_order_used_or_not(build, runtime, noise):
    text = "(float[2] c, float[2] unused, float[2] a) => (float[2] y) { y = Sub(a, c) }"
    a, b, c = (noise(2, seed=s) for s in range(3))
    same(onnxattr.to_torch(build(text)), build(text), runtime, a, b, c)


@pytest.mark.parametrize("output", ["bool[2,4] m", "float[2,4] y, bool[2,4] m"])
def test_outputs_that_a_converter_would_mix_up_are_refused(build, output):
    proto = build(f"(float[2,4] x) => ({output}) {{ y, m = Dropout(x) }}")
    with pytest.raises(SupportError, match="`Dropout`"):
        onnxattr.to_torch(proto)


def test_the_batch_stays_free(image_net, runtime, noise):
    module = onnxattr.to_torch(image_net())
    for count in (1, 2, 7):
        same(module, image_net(), runtime, noise(count, 3, 8, 8))


def test_path_bytes_and_proto_give_the_same_module(image_net, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(image_net().SerializeToString())
    sources = [path, str(path), path.read_bytes(), image_net()]
    codes = {onnxattr.to_torch(s).code for s in sources}
    assert len(codes) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_conversion_is_deterministic(image_net):
    first, second = onnxattr.to_torch(image_net()), onnxattr.to_torch(image_net())
    assert first.code == second.code
    assert list(first.state_dict()) == list(second.state_dict())
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(first(x), second(x))


def test_evaluation_mode_and_frozen_parameters(image_net):
    module = onnxattr.to_torch(image_net())
    assert not any(m.training for m in module.modules())
    assert list(module.parameters())
    assert not any(p.requires_grad for p in module.parameters())


def test_forward_and_backward_change_no_state(image_net, noise):
    module = onnxattr.to_torch(image_net())
    before = copy.deepcopy(module.state_dict())
    x = torch.from_numpy(noise(3, 3, 8, 8) * 9).requires_grad_()
    module(x)[:, 0].sum().backward()
    assert x.grad.abs().max() > 0
    assert before
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in module.parameters())


def test_dropout_drops_nothing(build):
    proto = build("(float[N,64] x) => (float[N,64] y) { y = Dropout(x, r) }", r=np.float32(0.9))
    x = torch.ones(4, 64)
    assert torch.equal(onnxattr.to_torch(proto)(x), x)


def copies(module):
    yield "deepcopy", copy.deepcopy(module)
    yield "pickle", pickle.loads(pickle.dumps(module))
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.zero_()
    twin.load_state_dict(module.state_dict())
    yield "state_dict", twin


def test_copies_compute_the_same(image_net):
    module = onnxattr.to_torch(image_net())
    x = torch.rand(2, 3, 8, 8)
    for way, twin in copies(module):
        assert torch.equal(twin(x), module(x)), way
        assert not any(m.training for m in twin.modules()), way


def test_no_tensor_stays_behind_on_another_device(image_net):
    module = onnxattr.to_torch(image_net(), device="meta")
    assert {t.device.type for t in (*module.parameters(), *module.buffers())} == {"meta"}
    y = module(torch.empty(2, 3, 8, 8, device="meta"))
    assert (y.device.type, y.shape) == ("meta", (2, 5))


def test_gradients_are_those_of_the_function(image_net, noise):
    module = onnxattr.to_torch(image_net()).double()
    x = torch.from_numpy(noise(1, 3, 8, 8)).double().requires_grad_()
    assert torch.autograd.gradcheck(module, (x,), fast_mode=True)


def test_all_trouble_at_once(build):
    text = """(float[1,2,4,4] x) => (float[1,2,4,4] y) {
        a = GlobalLpPool(x) b = Shrink(a) c = Shrink(b) y = Add(c, x) }"""
    proto = build(text)
    for node, name in zip(proto.graph.node, "pqrs", strict=True):
        node.name = name
    with pytest.raises(SupportError, match=r"`GlobalLpPool` \(1\), `Shrink` \(2\)") as caught:
        onnxattr.to_torch(proto)
    assert "inspect" in caught.value.hint


def test_newer_operators_are_named_as_the_vendor_did(build):
    text = "(float[2] x) => (float[2] y) { h = Relu(x) y = Swish(h) }"
    with pytest.raises(SupportError, match=r"of opset 24 \(nodes\): `Swish` \(1\)"):
        onnxattr.to_torch(build(text, opset=24, ir_version=10))


def test_control_flow_is_refused(build):
    text = """(float[2] x, bool c) => (float[2] y) { y = If (c) <
        then_branch = a () => (float[2] p) { p = Neg(x) },
        else_branch = b () => (float[2] q) { q = Abs(x) }> }"""
    with pytest.raises(SupportError, match="`If`"):
        onnxattr.to_torch(build(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(float[1,1,N,9] x) => (float[1,1,a,b] y) "
         '{ y = MaxPool<kernel_shape=[2,2], strides=[2,2], auto_pad="SAME_UPPER">(x) }',
         "auto_pad"),
        ("(float[1,1,4,4] x) => (float[1,1,3,3] y, int64[1,1,3,3] i) "
         "{ y, i = MaxPool<kernel_shape=[2,2]>(x) }", "`MaxPool`|indices"),
        ("(float[2,4] x, float low) => (float[2,4] y) { y = Clip(x, low) }", "computed bounds"),
        ("(float[2,4] x, float[4] m) => (float[2,4] y) { y = BatchNormalization(x, m, m, m, m) }",
         "computed statistics"),
    ],
)  # fmt: skip
def test_what_a_converter_of_ours_refuses_says_why(build, text, says):
    with pytest.raises(SupportError, match=says):
        onnxattr.to_torch(build(text))


PLACES = [
    ("feature", "f", (2, 6)),
    ("logits", "l", (2, 5)),
    ("output", "y", (2, 5)),
    ("c", "c", (2, 6, 2, 2)),
]


@pytest.mark.parametrize(("at", "value", "shape"), PLACES)
def test_a_network_ends_at_its_representation(image_net, noise, at, value, shape):
    model = load(image_net())
    network = to_network(model, at=at)
    assert network.representation.value == value
    assert network.module(torch.from_numpy(noise(2, 3, 8, 8))).shape == shape
    assert network.model is model


def test_a_network_ends_nowhere_else(image_net):
    with pytest.raises(UsageError, match="no tensor"):
        to_network(load(image_net()), at="nowhere")


def test_what_lies_behind_the_representation_need_not_convert(build, noise):
    text = """(float[N,3,4,4] x) => (float[N,3,4,4] y) {
        h = Conv(x, w) r = Relu(h) g = Shrink(r) y = Shrink(g) }"""
    proto = build(text, w=noise(3, 3, 1, 1))
    assert to_network(load(proto), at="r").module(torch.rand(1, 3, 4, 4)).shape == (1, 3, 4, 4)
    with pytest.raises(SupportError, match="Shrink"):
        to_network(load(proto))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("float", torch.float32), ("double", torch.float64), ("float16", torch.float16)],
)
def test_the_inputs_type_is_kept(build, kind, dtype):
    proto = build(f"({kind}[N,3,4,4] x) => ({kind}[N,3,4,4] y) {{ y = Relu(x) }}")
    assert input_dtype(load(proto)) == dtype


def test_what_onnx2torch_raises_is_told_in_one_line(build, noise):
    proto = build(
        "(float[1,2,4,4] x) => (float[1,2,a,b] y) { y = ConvTranspose<pads=[0,0,1,1]>(x, w) }",
        w=noise(2, 2, 3, 3),
    )
    with pytest.raises(SupportError, match="onnx2torch cannot convert it: ConvTranspose") as caught:
        onnxattr.to_torch(proto)
    assert "\n" not in caught.value.message


def test_the_converter_never_reads_the_vendors_shapes(image_net, runtime, noise):
    proto = image_net()
    proto.graph.value_info.append(
        helper.make_tensor_value_info("n", onnx.TensorProto.FLOAT, [1, 2, 3, 4, 5])
    )
    same(onnxattr.to_torch(proto), image_net(), runtime, noise(2, 3, 8, 8))
