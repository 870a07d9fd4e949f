"""`to_torch` and `to_network`: signature, outputs, state, and what torch users do with a module."""

import copy
import pickle

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

import onnxattr
from onnxattr.convert.torch import to_network
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


def test_a_value_of_a_list_of_outputs_that_is_blank(build, runtime, noise):
    text = """(float[2,4] x) => (float[2,4] y, float[2] s) {
        y, , s = LayerNormalization(x, w) }"""
    proto = build(text.replace("float[2] s", "float[2,1] s"), w=np.ones(4, np.float32))
    same(onnxattr.to_torch(proto), proto, runtime, noise(2, 4))


def test_the_mask_of_dropout_is_true(build, noise):
    """ONNX Runtime's is false where nothing is dropped, against the definition."""
    proto = build("(float[2,4] x) => (bool[2,4] m) { y, m = Dropout(x) }")
    assert onnxattr.to_torch(proto)(torch.from_numpy(noise(2, 4))).all()


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


NOWHERE = ', "com.acme" : 1'


def test_all_trouble_at_once(build):
    text = """(float[1,2,4,4] x) => (float[1,2,4,4] y) {
        a = com.acme.Odd(x) b = com.acme.Even(a) c = com.acme.Even(b) y = Add(c, x) }"""
    proto = build(text, imports=NOWHERE)
    for node, name in zip(proto.graph.node, "pqrs", strict=True):
        node.name = name
    says = r"`com.acme.Even` \(2\), `com.acme.Odd` \(1\)"
    with pytest.raises(SupportError, match=says) as caught:
        onnxattr.to_torch(proto)
    assert "inspect" in caught.value.hint


def test_trouble_in_a_branch_is_named_too(build):
    text = """(float[2] x, bool c) => (float[2] y) { y = If (c) <
        then_branch = a () => (float[2] p) { p = com.acme.Odd(x) },
        else_branch = b () => (float[2] q) { q = Abs(x) }> }"""
    with pytest.raises(SupportError, match=r"`com.acme.Odd` \(1\)"):
        onnxattr.to_torch(build(text, imports=NOWHERE))


IF = """(float[2] x, bool c) => (float[2] y) { y = If (c) <
    then_branch = a () => (float[2] p) { p = Neg(x) },
    else_branch = b () => (float[2] q) { q = Mul(x, w) }> }"""


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_reads_outer_values_and_weights(build, runtime, noise, condition):
    proto = build(IF, w=noise(2, seed=1))
    module = onnxattr.to_torch(proto)
    same(module, proto, runtime, noise(2), np.array(condition))
    x = torch.from_numpy(noise(2)).requires_grad_()
    (gradient,) = torch.autograd.grad(module(x, torch.tensor(condition)).sum(), x)
    np.testing.assert_allclose(gradient, -np.ones(2) if condition else noise(2, seed=1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(float[2,4] x) => (float[2,4] y) { y = Dropout(x, r, t) }", "dropping at random"),
        ("(float[2,4] x) => (float[2,4] y) { y = LpPool<kernel_shape=[2], auto_pad=\"ODD\">(x) }",
         "ODD"),
    ],
)  # fmt: skip
def test_what_a_converter_of_ours_refuses_says_why(build, text, says):
    stored = {"r": np.float32(0.5), "t": np.array(True)} if "Dropout" in text else {}
    with pytest.raises(SupportError, match=says) as caught:
        onnxattr.to_torch(build(text, **stored))(torch.zeros(2, 4))
    assert "\n" not in str(caught.value)


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
        h = Conv(x, w) r = Relu(h) g = com.acme.Odd(r) y = com.acme.Odd(g) }"""
    proto = build(text, imports=NOWHERE, w=noise(3, 3, 1, 1))
    assert to_network(load(proto), at="r").module(torch.rand(1, 3, 4, 4)).shape == (1, 3, 4, 4)
    with pytest.raises(SupportError, match="Odd"):
        to_network(load(proto))


@pytest.mark.parametrize("kind", ["float", "double", "float16", "uint8"])
def test_the_inputs_type_is_kept(build, kind):
    proto = build(f"({kind}[N,3,4,4] x) => ({kind}[N,3,4,4] y) {{ y = Identity(x) }}")
    name = {"float": "float32", "double": "float64"}.get(kind, kind)
    assert to_network(load(proto), at="output").spec.dtype == name


def test_the_converter_never_reads_the_vendors_shapes(image_net, runtime, noise):
    proto = image_net()
    proto.graph.value_info.append(
        helper.make_tensor_value_info("n", onnx.TensorProto.FLOAT, [1, 2, 3, 4, 5])
    )
    same(onnxattr.to_torch(proto), image_net(), runtime, noise(2, 3, 8, 8))


def test_external_data_beyond_one_message_is_kept_once(tmp_path, monkeypatch):
    """As if 2 GiB were 2 kB: what lies apart never enters the graph."""
    monkeypatch.setattr("onnxattr.graph.load.MAX_MESSAGE", 2000)
    weight = np.arange(1024, dtype=np.float32).reshape(32, 32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 32])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 32])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "net.onnx"
    onnx.save(proto, path, save_as_external_data=True, size_threshold=0)
    model = load(path)
    assert list(model.apart) == ["w"]
    assert not model.proto.graph.initializer[0].raw_data
    x = torch.rand(2, 32)
    torch.testing.assert_close(onnxattr.to_torch(path)(x), x @ torch.from_numpy(weight))


SIZES_AS_VALUES = {
    "filled": "{ s = Shape(x) z = ConstantOfShape(s) y = Add(z, x) }",
    "divided by": "{ s = Size(x) f = Cast<to=1>(s) y = Div(x, f) }",
    "expanded to": "{ s = Shape(x) f = Expand(k, s) y = Mul(f, x) }",
    "gathered by": "{ s = Shape(x) l = Sub(s, s) r = Gather(x, l) y = Add(r, x) }",
}


@pytest.mark.parametrize("body", SIZES_AS_VALUES.values(), ids=SIZES_AS_VALUES)
def test_sizes_that_are_computed_with_follow_the_device(build, body):
    """Sizes are made on the host, what they are added to is not there."""
    proto = build(f"(float[N,M] x) => (float[N,M] y) {body}", k=np.float32(2))
    module = onnxattr.to_torch(proto, device="meta")
    y = module(torch.empty(2, 2, device="meta"))
    assert (y.device.type, y.shape) == ("meta", (2, 2))


#: A batch of one that is read as rows: two members would be four rows, and no error.
BAKED = "(float[1,4] x) => (float[2,2] y) { z = Reshape(x, s) y = Softmax<axis = 0>(z) }"


@pytest.mark.parametrize(
    "make", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_sizes_that_the_graph_fixes_are_checked(build, runtime, make):
    proto = build(BAKED, s=np.array([-1, 2]))
    module = make(onnxattr.to_torch(proto))
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    np.testing.assert_allclose(module(torch.from_numpy(x)), runtime(proto, x)[0], rtol=1e-6)
    for shape in ((2, 4), (1, 6), (4,)):
        with pytest.raises(onnxattr.ModelInputError, match=r"`x` takes \[1,4\], not \["):
            module(torch.zeros(shape))
        with pytest.raises(Exception, match=r"(?i)invalid"):  # ONNX Runtime refuses the same.
            runtime(proto, np.zeros(shape, np.float32))
