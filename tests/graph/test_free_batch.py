"""A graph that was exported for a batch of one takes any, where shapes tell that this is right."""

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import random_graphs
import torch
from onnx_ir.passes import common

import onnxattr
from onnxattr.convert.torch import _dialect, _module
from onnxattr.graph import passes
from onnxattr.graph.batch import search
from onnxattr.graph.batch.axes import AXES
from onnxattr.graph.batch.rules import RULES
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.passes import batch
from onnxattr.graph.passes.infer import InferShapes
from onnxattr.limits import Limits

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


#: Graphs in which the batch is merged with something else, as exporters of transformers write it:
#: each with the numbers that it stores, shapes as lists, weights by their sizes as tuples.
MERGED = {
    "heads behind the batch, of [token, batch, width]": (
        "(float[1,5,4] x) => (float[1,5,4] y) { t = Transpose<perm=[1,0,2]>(x) "
        "r = Reshape(t, heads) q = Transpose<perm=[1,0,2]>(r) k = Transpose<perm=[0,2,1]>(q) "
        "s = MatMul(q, k) a = Softmax(s) m = MatMul(a, q) u = Transpose<perm=[1,0,2]>(m) "
        "f = Reshape(u, rows) g = Gemm(f, w) h = Reshape(g, tokens) "
        "y = Transpose<perm=[1,0,2]>(h) }",
        {"heads": [5, 2, 2], "rows": [5, 4], "tokens": [5, 1, 4], "w": (4, 4)},
    ),
    "three projections in one": (
        "(float[1,5,4] x) => (float[1,4,5] y) { t = Transpose<perm=[1,0,2]>(x) p = MatMul(t, w) "
        "r = Reshape(p, three) u = Unsqueeze(r, zero) v = Transpose<perm=[3,1,2,0,4]>(u) "
        "s = Squeeze(v, three_axes) q = Gather<axis=0>(s, i) k = Gather<axis=0>(s, j) "
        "a = Add(q, k) y = Transpose<perm=[1,2,0]>(a) }",
        {"w": (4, 12), "three": [5, 1, 3, 4], "zero": [0], "three_axes": [3], "i": 0, "j": 2},
    ),
    "windows behind the batch": (
        "(float[1,4,6,3] x) => (float[1,4,6,3] y) { r = Reshape(x, grid) "
        "t = Transpose<perm=[0,1,3,2,4,5]>(r) w = Reshape(t, windows) v = Mul(w, each) "
        "l = LayerNormalization<axis=-1>(v, scale) s = Softmax<axis=1>(l) b = Reshape(s, back) "
        "u = Transpose<perm=[0,1,3,2,4,5]>(b) y = Reshape(u, image) }",
        {
            "grid": [1, 2, 2, 3, 2, 3],
            "windows": [6, 4, 3],
            "back": [1, 2, 3, 2, 2, 3],
            "image": [1, 4, 6, 3],
            "each": (6, 1, 3),
            "scale": (3,),
        },
    ),
    "windows before the batch": (
        "(float[1,6,4] x) => (float[1,6,4] y) { t = Transpose<perm=[1,0,2]>(x) "
        "r = Reshape(t, rows) m = MatMul(r, w) a = Add(m, each) c = Concat<axis=1>(a, each) "
        "g = MatMul(c, v) b = Reshape(g, tokens) y = Transpose<perm=[1,0,2]>(b) }",
        {"rows": [6, 4], "tokens": [6, 1, 4], "w": (4, 4), "each": (6, 4), "v": (8, 4)},
    ),
    "a cyclic shift, and a mask for each window": (
        "(float[1,4,3] x) => (float[1,4,3] y) { p = Slice(x, two, end, one) "
        "q = Slice(x, zero, two, one) c = Concat<axis=1>(p, q) w = Reshape(c, windows) "
        "k = Transpose<perm=[0,2,1]>(w) s = MatMul(w, k) b = Reshape(s, apart) m = Add(b, mask) "
        "a = Softmax(m) f = Reshape(a, again) g = MatMul(f, w) y = Reshape(g, image) }",
        {
            "two": [2],
            "zero": [0],
            "one": [1],
            "end": [9],
            "windows": [2, 2, 3],
            "apart": [1, 2, 2, 2],
            "mask": (1, 2, 2, 2),
            "again": [2, 2, 2],
            "image": [1, 4, 3],
        },
    ),
    "einsum, with a position for every pair of each head": (
        "(float[1,5,6] x) => (float[1,5,6] y) { r = Reshape(x, heads) "
        's = Einsum<equation="bqhd,bkhd->bhqk">(r, r) p = Add(s, near) a = Softmax(p) '
        'm = Einsum<equation="...hqk,...khd->...qhd">(a, r) y = Reshape(m, flat) }',
        {"heads": [1, 5, 2, 3], "near": (2, 5, 5), "flat": [1, 5, 6]},
    ),
    "a token that is expanded, and taken again": (
        "(float[1,5,4] x) => (float[1,4] y) { e = Expand(token, one) c = Concat<axis=1>(e, x) "
        "t = Transpose<perm=[1,0,2]>(c) s = Softmax<axis=0>(t) u = Transpose<perm=[1,0,2]>(s) "
        "y = Gather<axis=1>(u, i) }",
        {"token": (1, 1, 4), "one": [1, 1, 4], "i": 0},
    ),
    "heads that are expanded, and cut": (
        "(float[1,4,6] x) => (float[1,4,12] y) { r = Reshape(x, heads) e = Expand(r, wide) "
        "a, b = Split<axis=1>(e) c = Concat<axis=3>(a, b) s = Slice(c, zero, two, three) "
        "y = Reshape(s, flat) }",
        {
            "heads": [1, 4, 1, 6],
            "wide": [1, 4, 3, 6],
            "zero": [0, 0],
            "two": [1, 2],
            "three": [0, 2],
            "flat": [1, 4, 12],
        },
    ),
    "patches that are read as rows": (
        "(float[1,3,4,4] x) => (float[1,2] y) { c = Conv<strides=[2,2]>(x, k) "
        "t = Transpose<perm=[0,2,3,1]>(c) r = Reshape(t, rows) g = Gemm<transB=1>(r, w, b) "
        "n = Reshape(g, tokens) y = ReduceMean<axes=[1], keepdims=0>(n) }",
        {"k": (5, 3, 2, 2), "rows": [4, 5], "w": (2, 5), "b": (2,), "tokens": [1, 4, 2]},
    ),
    "a batch that was squeezed": (
        "(float[1,3,4] x) => (float[1,12] y) { s = Squeeze(x, zero) m = MatMul(s, w) "
        "u = Unsqueeze(m, zero) a = Add(u, x) r = Relu(s) f = Flatten<axis=0>(r) "
        "g = Reshape(a, flat) h = Add(f, g) y = Softmax<axis=1>(h) }",
        {"zero": [0], "w": (4, 4), "flat": [1, 12]},
    ),
    "the first of one": (
        "(float[1,3,4] x) => (float[1,3,4] y) { a = Slice(x, zero, one, zero) "
        "b = Gather<axis=0>(x, i) c = MatMul(b, w) d = Unsqueeze(c, zero) y = Add(a, d) }",
        {"zero": [0], "one": [1], "i": 0, "w": (4, 4)},
    ),
    "symbols": (
        "(int64[1,5] x) => (float[1,5,3] y) { g = Gather(table, x) p = Add(g, place) "
        "r = Reshape(p, rows) m = MatMul(r, w) y = Reshape(m, back) }",
        {"table": (6, 3), "place": (5, 3), "rows": [5, 3], "w": (3, 3), "back": [1, 5, 3]},
    ),
    "as many tokens as there are": (
        "(float[1,N,4] x) => (float[1,M,4] y) { r = Reshape(x, heads) "
        "t = Transpose<perm=[0,2,1,3]>(r) k = Transpose<perm=[0,1,3,2]>(t) s = MatMul(t, k) "
        "a = Softmax(s) m = MatMul(a, t) u = Transpose<perm=[0,2,1,3]>(m) y = Reshape(u, flat) }",
        {"heads": [1, -1, 2, 2], "flat": [1, -1, 4]},
    ),
}

#: Graphs from [1, 3, 4] to [1, …] that mix members, or of which it is not known whether they do.
MIXED = {
    "a softmax over the batch": "y = Softmax<axis=0>(x)",
    "a softmax over batch and tokens": "r = Reshape(x, rows) s = Softmax<axis=0>(r) "
    "y = Reshape(s, back)",
    "a sum over the batch": "y = ReduceSum(x, zero)",
    "a sum over everything": "s = ReduceSum(x) y = Add(x, s)",
    "a sum over batch and tokens": "r = Reshape(x, rows) s = ReduceSum(r, zero) t = Add(r, s) "
    "y = Reshape(t, back)",
    "a running sum along the batch": "i = Squeeze(zero) y = CumSum(x, i)",
    "the place of the largest": "i = ArgMax<axis=0>(x) f = Cast<to=1>(i) y = Add(x, f)",
    "the largest of the batch": "v, i = TopK<axis=0>(x, one) y = Add(x, v)",
    "a norm over the batch": "y = MeanVarianceNormalization<axes=[0, 2]>(x)",
    "a layer norm over everything": "y = LayerNormalization<axis=0>(x, cube)",
    "statistics of the batch": "y, m, v = BatchNormalization<training_mode=1>(x, w, w, w, w)",
    "a product that sums over the batch": "t = Transpose<perm=[1,0,2]>(x) "
    "u = Transpose<perm=[1,2,0]>(x) g = MatMul(u, t) m = ReduceMean<axes=[1]>(g) "
    "y = Transpose<perm=[1,0,2]>(m)",
    "a product with weights that sums over the batch": "t = Transpose<perm=[1,2,0]>(x) "
    "g = MatMul(t, single) y = Transpose<perm=[2,0,1]>(g)",
    "weights of a product that sums over the batch": "t = Transpose<perm=[1,0,2]>(x) "
    "g = MatMul(single, t) y = Transpose<perm=[1,0,2]>(g)",
    "a product of all with all": "t = Transpose<perm=[1,0,2]>(x) u = Transpose<perm=[1,2,0]>(x) "
    "g = MatMul(t, u) y = Transpose<perm=[1,0,2]>(g)",
    "a product of rows with rows": "r = Reshape(x, rows) t = Transpose<perm=[1,0]>(r) "
    "g = MatMul(r, t) h = MatMul(g, r) y = Reshape(h, back)",
    "a layer whose weights are the batch": "r = Reshape(x, rows) g = Gemm<transB=1>(r, r) "
    "h = Gemm(g, r) y = Reshape(h, back)",
    "an einsum that sums over the batch": 'g = Einsum<equation="bij,bik->jk">(x, x) '
    'y = Einsum<equation="bij,jk->bik">(x, g)',
    "an einsum of two batches": 'g = Einsum<equation="bij,cij->bcij">(x, x) y = Squeeze(g, zero)',
    "a diagonal of the batch": 'r = Reshape(x, four) y = Einsum<equation="bbij->bij">(r)',
    "tokens before the batch, read as if behind": "t = Transpose<perm=[1,0,2]>(x) "
    "r = Reshape(t, rows) y = Reshape(r, back)",
    "heads before the batch, added to others behind": "t = Transpose<perm=[1,0,2]>(x) "
    "r = Reshape(t, rows) s = Reshape(x, rows) a = Add(r, s) y = Reshape(a, back)",
    "members added to tokens": "t = Transpose<perm=[1,0,2]>(x) a = Add(x, t) "
    "y = ReduceMean<axes=[0]>(a)",
    "a batch beside another": "c = Concat<axis=0>(x, x) y = ReduceMean<axes=[0]>(c)",
    "one of a batch beside another": "c = Concat<axis=0>(x, x) y = Slice(c, zero, one, zero)",
    "a batch that is added to two": "a = Add(x, pair) y = Slice(a, zero, one, zero)",
    "a vector of all numbers": "r = Reshape(x, vector) s = Reshape(x, line) m = MatMul(s, r) "
    "y = Reshape(m, unit)",
    "a merged batch that is cut": "r = Reshape(x, rows) s = Slice(r, zero, one, zero) "
    "y = Unsqueeze(s, zero)",
    "a batch that is read backwards": "y = Slice(x, last, before, zero, last)",
    "a row that is picked": "r = Reshape(x, rows) g = Gather<axis=0>(r, zero) y = Add(x, g)",
    "a batch that is padded": "p = Pad(x, around) y = Slice(p, one, two, zero)",
    "a batch that is tiled": "p = Tile(x, twice) y = Slice(p, zero, one, zero)",
    "a batch that is expanded": "p = Expand(x, wide) y = Slice(p, zero, one, zero)",
    "a batch that is resized": "p = Resize(x, , twofold) y = ReduceMean<axes=[0]>(p)",
    "a scale of the whole batch": "q, s, z = DynamicQuantizeLinear(x) "
    "y = DequantizeLinear(q, s, z)",
    "places in the whole batch": "p, i = MaxPool<kernel_shape=[2]>(x) f = Cast<to=1>(i) "
    "y = Concat<axis=2>(p, f)",
    "a kernel that is an input": "t = Transpose<perm=[1,0,2]>(x) y = Conv<group=3>(x, t)",
    "time that is the batch": "a = LSTM<hidden_size=2>(x, gates, again) y = Squeeze(a, one)",
    "the size of the batch": "s = Shape(x) n = Cast<to=1>(s) t = ReduceMean<keepdims=0>(n) "
    "u = ReduceSum(x) z = Mul(t, u) y = Add(x, z)",
    "an output without the batch": "y = Add(cube, cube)",
    "a branch that members decide": "n = ReduceSum<keepdims=0>(x) c = Cast<to=9>(n) y = If (c) < "
    "then_branch = a () => (float[1,3,4] p) { p = Neg(x) }, "
    "else_branch = b () => (float[1,3,4] q) { q = Abs(x) }>",
    "a branch that takes the batch": "n = RandomUniform<shape=[1]>() c = Greater(n, half) "
    "y = If (c) < then_branch = a () => (float[1,3,4] p) { p = Softmax<axis=0>(x) }, "
    "else_branch = b () => (float[1,3,4] q) { q = Softmax<axis=0>(x) }>",
    "noise for the whole batch": "n = RandomNormalLike(x) y = Add(x, n)",
    "what is not zero": "i = NonZero(x) f = Cast<to=1>(i) s = ReduceSum(f) y = Add(x, s)",
}
#: What these store.
COMMON = {
    "rows": [3, 4],
    "back": [1, 3, 4],
    "zero": [0],
    "one": [1],
    "two": [2],
    "last": [-1],
    "before": [-9],
    "twice": [2, 1, 1],
    "wide": [2, 3, 4],
    "around": [1, 0, 0, 1, 0, 0],
    "twofold": np.float32([2, 1, 1]),
    "half": np.float32(0.5),
    "w": np.ones(3, np.float32),
    "four": [1, 1, 3, 4],
    "vector": [12],
    "line": [1, 12],
    "unit": [1, 1, 1],
    "pair": np.ones((2, 3, 4), np.float32),
    "single": np.ones((1, 1), np.float32),
    "cube": np.ones((1, 3, 4), np.float32),
    "gates": np.ones((1, 8, 4), np.float32),
    "again": np.ones((1, 8, 2), np.float32),
}


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


def members(runtime, proto, x):
    """What ONNX Runtime makes of each member alone, by the file as it is."""
    return np.concatenate([runtime(proto, x[i : i + 1])[0] for i in range(len(x))])


def merged(build, name):
    text, numbers = MERGED[name]
    rng = np.random.default_rng(0)
    return build(
        text,
        **{
            k: rng.normal(size=v).astype(np.float32) if isinstance(v, tuple) else np.array(v)
            for k, v in numbers.items()
        },
    )


@pytest.mark.parametrize("name", MERGED)
def test_a_merged_batch_is_freed(build, runtime, noise, name):
    proto = merged(build, name)
    sizes = [d.dim_value or 5 for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = noise(4, *sizes[1:])
    if name == "symbols":
        x = np.random.default_rng(0).integers(0, 6, (4, 5))
    reference = members(runtime, proto, x)
    # The test would be in vain on members that are alike.
    assert np.abs(np.diff(reference, axis=0)).max(axis=tuple(range(1, reference.ndim))).all()
    for fuse in (True, False):
        ours = onnxattr.to_torch(proto, fuse=fuse)(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MERGED)
def test_a_batch_of_one_is_the_same_bit_by_bit(build, noise, name):
    model = load(merged(build, name))
    sizes = [d.dim_value or 5 for d in model.proto.graph.input[0].type.tensor_type.shape.dim]
    x = torch.from_numpy(noise(*sizes))
    x = torch.tensor([[0, 3, 5, 1, 3]]) if name == "symbols" else x
    for fuse in (FUSIONS, ()):
        fixed, free = (_dialect(model, fuse=fuse, free_batch=f) for f in (False, True))
        before, after = (
            [n.op_type for n in d.proto.graph.node if n.op_type != "Parameter"]
            for d in (fixed, free)
        )
        assert not set(after) - {*before, "RepeatBatch", "Reshape_14"}
        assert torch.equal(_module(fixed, Limits())(x), _module(free, Limits())(x))


@pytest.fixture
def unconfirmed(monkeypatch):
    """Rules must be right by themselves: nothing that they let through is caught by its shapes."""
    monkeypatch.setattr(batch, "_confirmed", lambda *_: True)


@pytest.mark.parametrize("name", MIXED)
def test_what_could_mix_members_is_refused(build, runtime, noise, unconfirmed, name):
    used = set(re.findall(r"\w+", MIXED[name]))
    stored = {k: np.array(v) for k, v in COMMON.items() if k in used}
    proto = build(f"(float[1,3,4] x) => (float[1,a,b] y) {{ {MIXED[name]} }}", **stored)
    assert runtime(proto, noise(1, 3, 4))[0].shape[0] == 1
    graph = ir.from_proto(onnx.ModelProto.FromString(proto.SerializeToString()))
    passes.KnownShapes()(graph)
    before = ir.to_proto(graph).SerializeToString(deterministic=True)
    assert not passes.FreeBatch()(graph).modified
    assert ir.to_proto(graph).SerializeToString(deterministic=True) == before


def test_rules_are_of_operators_that_onnx_has():
    assert [name for name in RULES if not onnx.defs.has(name)] == []


def test_a_softmax_of_old_joins_the_axes_behind_its_own(build, runtime, noise):
    for axis, taken in ((0, False), (1, True)):
        text = f"(float[1,3,4] x) => (float[1,3,4] y) {{ y = Softmax<axis={axis}>(x) }}"
        proto, x = build(text, opset=11), noise(3, 3, 4)
        graph = ir.from_proto(proto)
        passes.KnownShapes()(graph)
        assert passes.FreeBatch()(graph).modified == taken
        if taken:
            ours = onnxattr.to_torch(proto)(torch.from_numpy(x)).numpy()
            np.testing.assert_allclose(ours, members(runtime, proto, x), rtol=1e-5)


def test_a_rule_that_is_wrong_is_caught_by_shapes(build, monkeypatch):
    """The second line of defence: shapes that follow from layouts are those that onnx infers."""
    proto = build("(float[1,3,4] x) => (float[1,3,4] y) { y = Tile(x, n) }", n=np.array([1, 1, 1]))
    for times, freed in ((1, True), (2, False)):
        proto.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(np.array([times, 1, 1]), "n")
        )
        graph = ir.from_proto(onnx.ModelProto.FromString(proto.SerializeToString()))
        passes.KnownShapes()(graph)
        graph.graph.outputs[0].shape = ir.Shape([1, 3, 4])
        monkeypatch.setitem(AXES, "Tile", lambda node, rank: [])
        assert passes.FreeBatch()(graph).modified == freed


@pytest.mark.parametrize("seed", range(0, 100, 20))
def test_random_graphs_are_right_or_left_alone(runtime, unconfirmed, seed):
    """Whatever is freed gives for each member what ONNX Runtime gives for it alone."""
    freed = 0
    for one in range(seed, seed + 20):
        proto, x = random_graphs.model(one)
        dialect = _dialect(load(proto), fuse=(), free_batch=True)
        if dialect.proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
            freed += 1
            reference = members(runtime, proto, x)
            ours = _module(dialect, Limits())(torch.from_numpy(x)).numpy()
            scale = np.abs(reference).max(initial=1e-3)
            np.testing.assert_allclose(ours / scale, reference / scale, rtol=0, atol=1e-5)
    assert freed >= 5, "few of them say little"


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


@pytest.mark.parametrize(("axis", "inner"), [(0, 1), (0, 2), (0, 4), (1, 1), (1, 3), (2, 1)])
def test_what_is_repeated_lies_between_outer_and_inner(axis, inner):
    from onnxattr.convert.ops.structure import _repeat_batch

    x = np.arange(4 * 6 * 2).reshape(4, 6, 2)
    rows = np.split(x, x.shape[axis] // inner, axis)
    wanted = np.concatenate([row for row in rows for _ in range(3)], axis)
    ours = _repeat_batch(torch.from_numpy(x), torch.zeros(3, 5), axis=axis, inner=inner)
    np.testing.assert_array_equal(ours.numpy(), wanted)


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


@pytest.mark.parametrize("chain", ["encoder", "ambiguous"])
def test_the_search_is_linear(build, monkeypatch, chain):
    """Ten times the layers take ten times the steps, also where much is left open."""
    counted = []
    for name in ("steps", "_rule_out"):
        inner = getattr(search, name)
        monkeypatch.setattr(
            search, name, lambda *given, inner=inner: counted.append(1) or inner(*given)
        )
    cost = {}
    for layers in (5, 50):
        body = "".join(
            f"r{i} = Reshape(v{i}, heads) q{i} = Transpose<perm=[1,0,2]>(r{i}) "
            f"k{i} = Transpose<perm=[0,2,1]>(q{i}) s{i} = MatMul(q{i}, k{i}) "
            f"m{i} = MatMul(s{i}, q{i}) u{i} = Transpose<perm=[1,0,2]>(m{i}) "
            f"f{i} = Reshape(u{i}, tokens) v{i + 1} = Add(v{i}, f{i}) "
            if chain == "encoder"
            else f"r{i} = Reshape(v{i}, heads) f{i} = Reshape(r{i}, tokens) v{i + 1} = Relu(f{i}) "
            for i in range(layers)
        )
        text = f"""(float[1,5,4] x) => (float[1,5,4] y) {{
            v0 = Transpose<perm=[1,0,2]>(x) {body} y = Transpose<perm=[1,0,2]>(v{layers}) }}"""
        graph = ir.from_proto(build(text, heads=np.array([5, 2, 2]), tokens=np.array([5, 1, 4])))
        passes.KnownShapes()(graph)
        counted.clear()
        assert passes.FreeBatch()(graph).modified
        cost[layers] = len(counted)
    assert cost[50] < 11 * cost[5]
