"""A graph that was exported for a batch of one takes any, where shapes tell that this is right."""

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx_ir.passes import common

import onnxattr
from onnxattr.graph import passes
from onnxattr.graph.passes.infer import InferShapes

HEAD = "(float[1,3,4] x) => (float[1,2] y) "
WEIGHTS = {
    "w": np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32),
    "token": np.ones((1, 1, 4), np.float32),
    "wide": np.random.default_rng(1).normal(size=(16, 2)).astype(np.float32),
}

#: Graphs that are freed.
FREED = {
    "a Reshape to the batch": "{ r = Reshape(x, flat) y = MatMul(r, w) }",
    "a Reshape that infers": "{ r = Reshape(x, rest) y = MatMul(r, w) }",
    "a Reshape behind a Transpose": "{ t = Transpose<perm=[1,0,2]>(x) s = Reshape(t, split) "
    "u = Transpose<perm=[1,0,2,3]>(s) r = Reshape(u, flat) y = MatMul(r, w) }",
    "a token": "{ c = Concat<axis=1>(token, x) r = Reshape(c, long) y = MatMul(r, wide) }",
    "an expanded token": "{ e = Expand(token, one) c = Concat<axis=1>(x, e) r = Reshape(c, long) "
    "y = MatMul(r, wide) }",
}

#: Graphs that mix what would be members of the batch: they stay as they are.
KEPT = {
    "a Gram matrix": "{ r = Reshape(x, lost) t = Transpose(r) g = MatMul(r, t) f = Reshape(g, nine)"
    " s = Slice(f, a, b, b) y = Identity(s) }",
    "a softmax over what was squeezed": "{ r = Reshape(x, none) s = Softmax<axis=0>(r) "
    "f = Reshape(s, flat) y = MatMul(f, w) }",
    "a batch that is lost": "{ r = Reshape(x, flat) m = ReduceSum<keepdims=0>(r, a) "
    "e = Reshape(m, flat) y = MatMul(e, w) }",
}
SHAPES = {
    "flat": [1, 12], "rest": [1, -1], "split": [3, 1, 2, 2], "long": [1, 16], "one": [1, 1, 4],
    "lost": [3, 4], "nine": [1, 9], "a": [0], "b": [2], "none": [12],
}  # fmt: skip


def net(build, body):
    used = re.findall(r"\w+", body)
    stored = {k: np.array(v) for k, v in SHAPES.items() if k in used}
    stored |= {k: v for k, v in WEIGHTS.items() if k in used}
    return build(HEAD + body, **stored)


@pytest.mark.parametrize("body", FREED.values(), ids=FREED)
def test_any_batch_is_taken(build, runtime, noise, body):
    proto = net(build, body)
    module = onnxattr.to_torch(proto)
    x = noise(5, 3, 4)
    alone = np.concatenate([runtime(proto, x[i : i + 1])[0] for i in range(len(x))])
    np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_what_mixes_the_batch_is_left_alone(build, body):
    proto = net(build, body)
    if "nine" in body:
        proto.graph.node[-2].input.append("b")
        proto.graph.node[-2].input[2:] = ["b", "b"]
    graph = ir.from_proto(onnx.ModelProto.FromString(proto.SerializeToString()))
    passes.KnownShapes()(graph)
    before = ir.to_proto(graph).SerializeToString(deterministic=True)
    assert not passes.FreeBatch()(graph).modified
    assert ir.to_proto(graph).SerializeToString(deterministic=True) == before


def test_the_pass_keeps_its_contract(build, rewrite):
    proto = net(build, FREED["a Reshape to the batch"])
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    freed = rewrite(passes.FreeBatch(), inferred)
    (dim, *_) = freed.graph.input[0].type.tensor_type.shape.dim
    assert dim.dim_param
    assert [n.op_type for n in freed.graph.node] == ["Reshape", "MatMul"]


def test_a_free_batch_stays_as_it_is(build, rewrite):
    text = "(float[N,12] x) => (float[N,2] y) { y = MatMul(x, w) }"
    proto = ir.to_proto(
        common.ShapeInferencePass()(ir.from_proto(build(text, w=WEIGHTS["w"]))).model
    )
    assert rewrite(passes.FreeBatch(), proto).graph.input[0].type.tensor_type.shape.dim[
        0
    ].dim_param == ("N")


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_initial_states_are_repeated(build, noise, runtime, kind):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    states = "h, c" if kind == "LSTM" else "h"
    text = f"""(float[1,7,3] x) => (float[1,7,2] y) {{
        t = Transpose<perm=[1,0,2]>(x) a, b = {kind}<hidden_size=2>(t, w, r, , , {states})
        s = Squeeze(a, one) y = Transpose<perm=[1,0,2]>(s) }}"""
    proto = build(
        text,
        w=noise(1, gates * 2, 3, seed=1),
        r=noise(1, gates * 2, 2, seed=2),
        h=noise(1, 1, 2, seed=3),
        one=np.array([1]),
        **({"c": noise(1, 1, 2, seed=4)} if kind == "LSTM" else {}),
    )
    x = noise(4, 7, 3)
    alone = np.concatenate([runtime(proto, x[i : i + 1])[0] for i in range(len(x))])
    ours = onnxattr.to_torch(proto)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [4, 40])
def test_shapes_are_not_inferred_once_more_for_every_reshape(build, monkeypatch, count):
    """A chain of hundreds would otherwise take a time that is quadratic in its length."""
    inferred = []
    infer = InferShapes.call
    monkeypatch.setattr(
        InferShapes, "call", lambda self, model: inferred.append(1) or infer(self, model)
    )
    chain = " ".join(
        f"v{i + 1} = Reshape(v{i}, {'flat' if i % 2 else 'split'})" for i in range(count)
    )
    text = f"(float[1,12] v0) => (float[1,12] v{count}) {{ {chain} }}"
    proto = build(text, flat=np.array([1, 12]), split=np.array([1, 3, 4]))
    assert onnxattr.to_torch(proto)(torch.rand(3, 12)).shape == (3, 12)
    assert len(inferred) <= 6
