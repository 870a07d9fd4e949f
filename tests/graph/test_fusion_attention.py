"""Attention as exporters write it becomes one node; what only looks like it stays."""

import numpy as np
import pytest
import torch
from fusions import assert_same, inferred, operators

import onnxattr
from onnxattr.graph import passes

TURN = "t = Transpose<perm = [0, 1, 3, 2]>(k)"
SOFT = "w = Softmax<axis = -1>(s) y = MatMul(w, v)"
MASKED = f"{TURN} p = MatMul(q, t) a = Mul(p, c) s = Add(a, mask) {SOFT}"
CLEANED = "w = Softmax<axis = -1>(s) i = IsNaN(w) u = Where(i, zero, w) y = MatMul(u, v)"

FORMS = {
    "plain": f"{TURN} s = MatMul(q, t) {SOFT}",
    "scaled after": f"{TURN} p = MatMul(q, t) s = Mul(p, c) {SOFT}",
    "divided after": f"{TURN} p = MatMul(q, t) s = Div(p, two) {SOFT}",
    "scaled before": f"z = Mul(q, c) {TURN} s = MatMul(z, t) {SOFT}",
    "scaled on both sides": f"z = Mul(c, q) {TURN} o = Mul(t, c) s = MatMul(z, o) {SOFT}",
    "scaled twice": f"z = Div(q, c) {TURN} p = MatMul(z, t) s = Mul(c, p) {SOFT}",
    "scale of a size": f"n = Cast<to = 1>(size) e = Sqrt(n) f = Div(one1, e) g = Sqrt(f) "
    f"z = Mul(q, g) {TURN} o = Mul(t, g) s = MatMul(z, o) {SOFT}",
    "scale by head": f"{TURN} p = MatMul(q, t) s = Mul(p, heads) {SOFT}",
    "keys turned in threes": "r = Reshape(k, flat) t0 = Transpose<perm = [0, 2, 1]>(r) "
    f"t = Reshape(t0, full) s = MatMul(q, t) {SOFT}",
    "dropout": f"{TURN} s = MatMul(q, t) w = Softmax<axis = 3>(s) d = Dropout(w) y = MatMul(d, v)",
    "two masks": f"{TURN} p = MatMul(q, t) a = Add(p, mask) s = Add(level, a) {SOFT}",
    "masked": MASKED,
    "masked and cleaned": MASKED.replace(SOFT, CLEANED),
    "chosen": f"{TURN} p = MatMul(q, t) s = Where(keep, p, low) {SOFT}",
    "chosen otherwise": f"{TURN} p = MatMul(q, t) a = Mul(p, c) s = Where(keep, low, a) {SOFT}",
    "chosen mask": f"{TURN} p = MatMul(q, t) m = Where(keep, zero, low) s = Add(p, m) {SOFT}",
}
EINSUM = {
    "heads second": 's = Einsum<equation = "bhqd,bhkd->bhqk">(q, k) w = Softmax<axis = -1>(s) '
    'y = Einsum<equation = "bhqk,bhkd->bhqd">(w, v)',
    "keys first": 's = Einsum<equation = "bhkd, bhqd -> bhqk">(k, q) w = Softmax<axis = -1>(s) '
    'y = Einsum<equation = "bhkd,bhqk->bhqd">(v, w)',
    "Keras": "q1 = Transpose<perm = [0, 2, 1, 3]>(q) k1 = Transpose<perm = [0, 2, 1, 3]>(k) "
    "v1 = Transpose<perm = [0, 2, 1, 3]>(v) "
    'p = Einsum<equation = "aecd,abcd->acbe">(k1, q1) s = Mul(p, c) w = Softmax<axis = -1>(s) '
    'y0 = Einsum<equation = "acbe,aecd->abcd">(w, v1) y = Transpose<perm = [0, 2, 1, 3]>(y0)',
}

# As tf2onnx writes Keras' einsum: the axes of the batch are one, of a size that is computed.
FLAT = "{0}s = Shape({0}) {0}b = Gather({0}s, pair) {0}p = ReduceProd({0}b) "
FLAT += "{0}c = Concat<axis = 0>({0}p, minus1, {1}) {0}r = Reshape({0}, {0}c)"
KERAS = (
    f"{FLAT.format('q', 'units')} {FLAT.format('k', 'units')} {FLAT.format('v', 'units')} "
    "t = Transpose<perm = [0, 2, 1]>(kr) p = MatMul(qr, t) g = Reshape(p, grouped) "
    "h = Squeeze(g, last) s = Mul(h, c) w = Softmax<axis = -1>(s) "
    "wu = Unsqueeze(w, last) wr = Reshape(wu, rows) o = MatMul(wr, vr) y = Reshape(o, out)"
)
FLATTENED = {
    "pair": np.array([0, 1]),
    "minus1": np.array([-1]),
    "units": np.array([4]),
    "grouped": np.array([-1, 3, 5, 7, 1]),
    "last": np.array([4]),
    "rows": np.array([-1, 5, 7]),
    "out": np.array([-1, 3, 5, 4]),
}

BATCH, HEADS, QUERIES, KEYS, UNITS = 2, 3, 5, 7, 4


@pytest.fixture
def attention(build, noise):
    """`attention("…", c=0.3)` → a model whose body is that, some of its constants others."""

    def make(body, outputs="", opset=17, inputs="", **others):
        triangle = np.triu(np.full((QUERIES, KEYS), -np.inf, np.float32), 3)
        constants = {
            "c": np.float32(0.5),
            "two": np.float32(2),
            "one1": np.ones(1, np.float32),
            "zero": np.float32(0),
            "size": np.array([UNITS]),
            "heads": 1 + noise(HEADS, 1, 1),
            "flat": np.array([-1, KEYS, UNITS]),
            "full": np.array([BATCH, HEADS, UNITS, KEYS]),
            "mask": triangle,
            "level": noise(1, HEADS, QUERIES, KEYS),
            "keep": triangle == 0,
            "low": np.float32(-np.inf),
        }
        chosen = {k: v for k, v in (constants | others).items() if k in body and k not in inputs}
        text = (
            f"(float[2,3,5,4] q, float[2,3,7,4] k, float[2,3,7,4] v{inputs}) => "
            f"(float[2,3,5,4] y{outputs}) {{ {body} }}"
        )
        return inferred(build(text, opset=opset, **chosen))

    return make


@pytest.fixture
def qkv(noise):
    return (
        noise(BATCH, HEADS, QUERIES, UNITS),
        noise(BATCH, HEADS, KEYS, UNITS, seed=1),
        noise(BATCH, HEADS, KEYS, UNITS, seed=2),
    )


def fused(proto):
    return [n for n in proto.graph.node if n.op_type == "FusedAttention"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_one_node(attention, rewrite, qkv, form):
    body = FORMS[form]
    if form == "chosen otherwise":
        body = body.replace("keep", "hide")
    proto = attention(body, hide=np.triu(np.ones((QUERIES, KEYS), bool), 3))
    after = rewrite(passes.FuseAttention(), proto)
    assert len(fused(after)) == 1
    assert "Softmax" not in operators(after)
    assert_same(proto, *qkv)


@pytest.mark.parametrize("form", EINSUM)
def test_every_einsum_becomes_one_node(attention, rewrite, qkv, form):
    proto = attention(EINSUM[form])
    after = operators(rewrite(passes.FuseAttention(), proto))
    assert "FusedAttention" in after
    assert not {"Softmax", "Einsum"} & set(after)
    assert_same(proto, *qkv)


@pytest.mark.parametrize(
    ("form", "scale"),
    [("plain", 1), ("scaled after", 0.5), ("divided after", 0.5), ("scaled on both sides", 0.25),
     ("scaled twice", 1), ("scale of a size", 0.5)],
)  # fmt: skip
def test_the_scale_is_a_number(attention, rewrite, form, scale):
    (node,) = fused(rewrite(passes.FuseAttention(), attention(FORMS[form])))
    assert {a.name: a.f for a in node.attribute}["scale"] == pytest.approx(scale, rel=1e-6)


def test_before_opset_13_the_last_axis_is_named(attention, rewrite):
    body = FORMS["plain"]
    last, default = body.replace("axis = -1", "axis = 3"), body.replace("<axis = -1>", "")
    assert fused(rewrite(passes.FuseAttention(), attention(last, opset=12)))
    assert not fused(rewrite(passes.FuseAttention(), attention(default, opset=12)))
    assert fused(rewrite(passes.FuseAttention(), attention(default, opset=13)))


def keras(build, body=KERAS, **others):
    shapes = "float[N,3,5,4] q, float[N,3,7,4] k, float[N,3,7,4] v"
    constants = FLATTENED | {"c": np.float32(0.5)} | others
    return build(f"({shapes}) => (float[N,3,5,4] y) {{ {body} }}", **constants)


def test_heads_may_lie_with_the_batch(build, rewrite, qkv):
    proto = keras(build)
    known = rewrite(passes.KnownShapes(), proto)
    assert fused(rewrite(passes.FuseAttention(), known))
    assert_same(proto, *qkv)


@pytest.mark.parametrize(
    ("body", "others"),
    [
        (KERAS.replace("Mul(h, c)", "Add(h, mask)"), {"mask": np.zeros((5, 7), np.float32)}),
        (KERAS.replace("Mul(h, c)", "Mul(h, c3)"), {"c3": np.float32([[[1]], [[2]], [[0.5]]])}),
    ],
    ids=["a mask", "a scale by head"],
)
def test_what_changes_heads_that_lie_with_the_batch(build, rewrite, qkv, body, others):
    proto = keras(build, body, **others)
    assert fused(rewrite(passes.FuseAttention(), rewrite(passes.KnownShapes(), proto)))
    assert_same(proto, *qkv)


def test_rows_that_become_keys_stay(build, rewrite):
    proto = keras(build, grouped=np.array([-1, 3, 7, 5, 1]))
    known = rewrite(passes.KnownShapes(), proto)
    assert not fused(rewrite(passes.FuseAttention(), known))


def test_a_scale_that_others_read_too_stays(attention, rewrite, qkv):
    body = FORMS["scaled before"] + " o = Neg(z)"
    proto = attention(body, outputs=", float[2,3,5,4] o")
    after = rewrite(passes.FuseAttention(), proto)
    assert fused(after)
    assert "Mul" in operators(after)


def emptiness(proto):
    (node,) = fused(proto)
    return next(a.s.decode() for a in node.attribute if a.name == "empty")


def rows(**others):
    """A mask of which the second row forbids all keys."""
    keep = np.ones((QUERIES, KEYS), bool)
    keep[0, 3:] = keep[1] = False
    return {"keep": keep} | others


@pytest.mark.parametrize(
    ("form", "low", "empty"),
    [
        ("chosen", -np.inf, "nan"),
        ("chosen", -1e9, "mean"),
        ("chosen", -1e4, "mean"),
        ("chosen mask", -np.inf, "nan"),
        ("chosen mask", np.finfo(np.float32).min, "mean"),
    ],
)
@pytest.mark.parametrize("cleaned", [False, True])
def test_a_query_without_keys(attention, rewrite, qkv, form, low, empty, cleaned):
    body = FORMS[form].replace(SOFT, CLEANED) if cleaned else FORMS[form]
    proto = attention(body, **rows(low=np.float32(low)))
    expected = "zero" if cleaned and empty == "nan" else empty
    assert emptiness(rewrite(passes.FuseAttention(), proto)) == expected
    feeds = [torch.from_numpy(f).requires_grad_() for f in qkv]
    ours, theirs = (onnxattr.to_torch(proto, fuse=f)(*feeds) for f in (True, False))
    torch.testing.assert_close(ours, theirs, equal_nan=True, rtol=1e-5, atol=1e-6)
    wanted = [torch.autograd.grad(y[:, :, [0, 2, 3]].sum(), feeds) for y in (ours, theirs)]
    if expected != "nan" and not cleaned:
        for a, b in zip(*wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("low", [-np.inf, -1e9, -1e4, np.finfo(np.float32).min])
def test_a_computed_mask_is_as_it_comes(attention, rewrite, noise, qkv, low):
    """Of a mask that an input gives, nothing is known before."""
    body = f"{TURN} p = MatMul(q, t) s = Add(p, mask) {SOFT}"
    proto = attention(body, inputs=", float[N,1,M,7] mask")
    assert emptiness(rewrite(passes.FuseAttention(), proto)) == "nan"
    for rows_of in (1, QUERIES):
        mask = np.where(noise(BATCH, 1, rows_of, KEYS, seed=5) > 0.5, low, 0).astype(np.float32)
        mask[..., 0] = 0
        assert_same(proto, *qkv, mask)


def test_a_mask_may_add_dimensions(attention, qkv, noise):
    """The kernels refuse what makes the scores larger; the chain does not."""
    body = f"{TURN} p = MatMul(q, t) s = Add(p, mask) {SOFT}"
    proto = attention(body, inputs=", float[N,1,M,7] mask")
    for value in proto.graph.input[:3]:
        value.type.tensor_type.shape.dim[0].dim_param = "B"
    module = onnxattr.to_torch(proto)
    q, k, v = (torch.from_numpy(f[:1]) for f in qkv)
    mask = torch.from_numpy(noise(4, 1, 1, KEYS))
    expected = (q @ k.mT + mask).softmax(-1) @ v
    torch.testing.assert_close(module(q, k, v, mask), expected)


LIKE = {
    "another axis": FORMS["plain"].replace("axis = -1", "axis = 2"),
    "a mask of which all is forbidden": (MASKED, {"mask": np.full((1, KEYS), -1e9, np.float32)}),
    "a mask before the scale": f"{TURN} p = MatMul(q, t) a = Add(p, mask) s = Mul(a, c) {SOFT}",
    "a choice of small numbers": (FORMS["chosen"], {"low": np.float32(-100)}),
    "a choice before a mask": f"{TURN} p = MatMul(q, t) a = Where(keep, p, deep) "
    f"s = Add(a, mask) {SOFT}",
    "another function": FORMS["plain"].replace("Softmax<axis = -1>", "Sigmoid"),
    "values first": f"{TURN} s = MatMul(q, t) w = Softmax<axis = -1>(s) u = MatMul(v, w) "
    "y = MatMul(u, v)",
    "training": f"{TURN} s = MatMul(q, t) w = Softmax<axis = -1>(s) "
    "d = Dropout(w, ratio, yes) y = MatMul(d, v)",
    "another axis of Einsum": EINSUM["heads second"]
    .replace("->bhqk", "->bhkq")
    .replace("bhqk,", "bhkq,"),
    "a batch of one side": EINSUM["heads second"].replace("bhqd,bhkd->bhqk", "bhqd,bhkz->bhqk"),
}


@pytest.mark.parametrize("form", LIKE)
def test_what_is_like_it_stays(attention, rewrite, form):
    body, others = LIKE[form] if isinstance(LIKE[form], tuple) else (LIKE[form], {})
    constants = {"deep": np.float32(-1e4), "ratio": np.float32(0.5), "yes": np.array(True)}
    proto = attention(body, **constants, **others)
    assert not fused(rewrite(passes.FuseAttention(), proto))


@pytest.mark.parametrize("inside", "tpasw")
def test_what_others_read_stays(attention, rewrite, inside):
    proto = attention(f"{MASKED} z = Neg({inside})", outputs=", float[2,3,h,i] z")
    # The keys are turned outside of the node.
    assert bool(fused(rewrite(passes.FuseAttention(), proto))) == (inside == "t")


def test_stored_values_are_no_attention(attention, rewrite, noise):
    body = f"s = MatMul(q, weight) {SOFT.replace('v)', 'other)')}"
    weights = {"weight": noise(UNITS, KEYS), "other": noise(KEYS, UNITS)}
    assert not fused(rewrite(passes.FuseAttention(), attention(body, **weights)))
