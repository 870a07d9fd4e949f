"""Stored tensors that a node holds itself, and those that nodes share."""

import numpy as np
import pytest
import torch

import onnxattr
from onnxattr.convert.torch import to_network

W = np.arange(4, dtype=np.float32)
BRANCH = "{ z = If(c) <then_branch = a () => (float[2,4] p) { p = Mul(h, w) }, \
else_branch = b () => (float[2,4] q) { q = Neg(h) }> }"

#: What the graph does, what it stores, and how many nodes of the converted graph name a tensor.
CASES = {
    "one node takes it": ("(float[2,4] y) { y = Add(x, w) }", {"w": W}, 0),
    "in the first place": ("(float[2,4] y) { y = Sub(w, x) }", {"w": W}, 0),
    "one node, twice": ("(float[2,4] y) { y = Sum(x, w, w) }", {"w": W}, 1),
    "two nodes": ("(float[2,4] y) { h = Add(x, w) y = Mul(h, w) }", {"w": W}, 1),
    "a node and the output": ("(float[2,4] y, float[4] w) { y = Add(x, w) }", {"w": W}, 1),
    "one after the other": (
        "(float[2,4] y) { h = Add(x, w) y = Mul(h, v) }",
        {"w": W, "v": W + 1},
        0,
    ),
    "two nodes take its numbers": (
        "(float[4,2] y, float[4,2] z) { h = Neg(x) y = Reshape(x, s) z = Reshape(h, s) }",
        {"s": np.array([4, 2])},
        0,
    ),
    "few integers": ("(float[2,3] y) { y = Gather<axis=1>(x, i) }", {"i": np.array([3, 0, 1])}, 0),
    "many integers": (
        "(float[2,300] y) { y = Gather<axis=1>(x, i) }",
        {"i": np.arange(300) % 4},
        0,
    ),
    "a node and a branch": (
        "(float[2,4] z) { h = Add(x, w) s = ReduceSum<keepdims=0>(h) "
        f"n = Cast<to=9>(s) c = Not(n) {BRANCH[1:]}",
        {"w": W},
        1,
    ),
    "quantised": (
        "(float[2,4] y) { q = QuantizeLinear(x, s, o) y = DequantizeLinear(q, t, p) }",
        {"s": np.float32(0.1), "o": np.uint8(3), "t": np.float32(0.2), "p": np.uint8(1)},
        0,
    ),
}


@pytest.mark.parametrize(("text", "stored", "named"), CASES.values(), ids=CASES)
def test_who_holds_a_stored_tensor(build, runtime, noise, text, stored, named):
    proto = build("(float[2,4] x) => " + text, **stored)
    module = onnxattr.to_torch(proto)
    x = noise(2, 4)
    ours = module(torch.from_numpy(x))
    ours = ours if isinstance(ours, tuple) else (ours,)
    for a, b in zip(ours, runtime(proto, x), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-6)
    nodes = [n for n in module.graph.nodes if n.op == "call_module"]
    assert sum(not n.args for n in nodes) == named


#: Which branch is taken is read off the device, and meta has no values.
WITHOUT_BRANCHES = {name: case for name, case in CASES.items() if BRANCH[1:] not in case[0]}


@pytest.mark.parametrize(
    ("text", "stored", "named"), WITHOUT_BRANCHES.values(), ids=WITHOUT_BRANCHES
)
def test_all_follows_to_another_device(build, text, stored, named):
    module = onnxattr.to_torch(build("(float[2,4] x) => " + text, **stored), device="meta")
    result = module(torch.zeros(2, 4, device="meta"))
    results = result if isinstance(result, tuple) else (result,)
    assert {r.device.type for r in results} == {"meta"}


def test_every_weight_is_in_the_state_once(build):
    text = "(float[2,4] x) => (float[2,4] y) { h = Add(x, v) g = Add(h, w) y = Mul(g, w) }"
    stored = {"v": W + 7, "w": W}
    module = onnxattr.to_torch(build(text, **stored))
    state = sorted(tuple(t.tolist()) for t in module.state_dict().values())
    assert state == sorted(tuple(a.tolist()) for a in stored.values())
    assert len(list(module.parameters())) == len(state)
    twin = onnxattr.to_torch(build(text, v=W, w=W))
    twin.load_state_dict(module.state_dict())
    x = torch.ones(2, 4)
    assert torch.equal(twin(x), module(x))


def test_weights_can_be_trained(build):
    text = "(float[2,4] x) => (float[2,4] y) { h = Mul(x, v) y = Add(h, w) }"
    module = onnxattr.to_torch(build(text, v=W, w=W)).requires_grad_()
    module(torch.full((2, 4), 3.0)).sum().backward()
    gradients = sorted(p.grad.tolist() for p in module.parameters())
    assert gradients == [[2.0] * 4, [6.0] * 4]


def test_nodes_of_a_chain_are_all_that_its_graph_has(build):
    body = " ".join(f"h{i + 1} = Add(h{i}, w{i})" for i in range(50))
    text = f"(float[4] x) => (float[4] y) {{ h0 = Relu(x) {body} y = Identity(h50) }}"
    module = onnxattr.to_torch(build(text, **{f"w{i}": W + i for i in range(50)}))
    # Beside the nodes: the input and its check, the outputs as one, and what the function returns.
    assert len(module.graph.nodes) == 51 + 4
    assert len(list(module.children())) == 51 + 2


def test_convolutions_have_their_channels_last(build, noise):
    shapes = "(float[N,3,8,8] x) => (float[N,3,4,4] y)"
    text = f"{shapes} {{ h = Conv(x, v) g = Conv(h, w) y = Conv(g, w) }}"
    weights = {"v": noise(3, 3, 1, 1), "w": noise(3, 3, 3, 3)}
    network = to_network(onnxattr.load(build(text, **weights)), at="output")
    found = [p for p in network.module.parameters() if p.dim() == 4]
    assert len(found) == 2
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in found)


def test_a_held_tensor_is_held_once(build):
    """A second name for it would be a second tensor once the module moves to another device."""
    text = "(float[N,4] x) => (float[N,4] y) { z = Add(x, w) y = Mul(z, v) }"
    module = onnxattr.to_torch(build(text, w=W, v=W + 1))
    assert [p.numel() for p in module.parameters()] == [4, 4]
    assert list(module.buffers()) == []
