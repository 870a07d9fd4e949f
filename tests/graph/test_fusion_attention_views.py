"""Attention whose scores are seen in another shape while masks are added, as Swin's windows are."""

import numpy as np
import pytest
import torch
from fusions import assert_same, inferred, operators

import onnxattr
from onnxattr.graph import passes

#: Images × windows, heads, and of each window its pixels; of each head its units.
WINDOWS, HEADS, PIXELS, UNITS = 4, 3, 5, 2

SWIN = (
    "t = Transpose<perm = [0, 1, 3, 2]>(k) z = Mul(q, c) p = MatMul(z, t) b = Add(p, bias) "
    "a = Reshape(b, windows) m = Add(a, shift) s = Reshape(m, rows) "
    "w = Softmax<axis = -1>(s) y = MatMul(w, v)"
)
FORMS = {
    "Swin": SWIN,
    "both masks inside": SWIN.replace("b = Add(p, bias)", "b = Reshape(p, windows)").replace(
        "a = Reshape(b, windows)", "a = Add(b, bias)"
    ),
    "a mask before and after": SWIN.replace("s = Reshape(m, rows)", "r = Reshape(m, rows) "
    "s = Add(bias, r)"),
    "one image a mask": SWIN.replace("shift", "images"),
    "a mask for all windows": SWIN.replace("shift", "level"),
    "a choice": SWIN.replace("Add(a, shift)", "Where(keep, a, low)"),
    "a chosen mask": SWIN.replace("m = Add(a, shift)", "n = Where(keep, zero, low) m = Add(n, a)"),
    "a scale by head": SWIN.replace("p = MatMul(z, t)", "p0 = MatMul(z, t) p = Mul(p0, heads)"),
    "a scale inside": SWIN.replace("b = Add(p, bias) a = Reshape(b, windows)",
    "b = Reshape(p, windows) a0 = Mul(b, heads) a = Add(a0, bias)"),
    "three axes for one": SWIN.replace("windows", "grid").replace("shift", "corner"),
    "softmax inside": SWIN.replace("s = Reshape(m, rows) w = Softmax<axis = -1>(s)",
    "n = Softmax<axis = -1>(m) w = Reshape(n, rows)"),
    "in steps": SWIN.replace("a = Reshape(b, windows)",
    "a0 = Reshape(b, flat) a = Reshape(a0, windows)"),
    "values inside": SWIN.replace("s = Reshape(m, rows) w = Softmax<axis = -1>(s) y = MatMul(w, v)",
    "w = Softmax<axis = -1>(m) o = Reshape(v, values) y0 = MatMul(w, o) y = Reshape(y0, back)"),
    "keys for all": SWIN.replace("MatMul(z, t)", "MatMul(z, key)").replace(
        "t = Transpose<perm = [0, 1, 3, 2]>(k) ", "e = Neg(k) "),
}  # fmt: skip


@pytest.fixture
def swin(build, noise):
    """`swin("…")` → a model whose body is that, of a free number of images."""

    def make(body, **others):
        keep = noise(WINDOWS, 1, PIXELS, PIXELS, seed=5) > 0
        keep |= np.eye(PIXELS, dtype=bool)
        constants = {
            "c": np.float32(0.7),
            "zero": np.float32(0),
            "low": np.float32(-np.inf),
            "heads": np.float32([[[1]], [[2]], [[0.5]]]),
            "bias": noise(1, HEADS, PIXELS, PIXELS, seed=6),
            "level": noise(1, HEADS, PIXELS, PIXELS, seed=7),
            "keep": keep,
            "shift": np.where(keep, 0, np.float32(-100))[None],
            "images": noise(2, 1, 1, PIXELS, PIXELS, seed=8),
            "corner": noise(2, 1, HEADS, 1, PIXELS, seed=9),
            "windows": np.array([-1, WINDOWS, HEADS, PIXELS, PIXELS]),
            "grid": np.array([-1, 2, 2, HEADS, PIXELS, PIXELS]),
            "flat": np.array([-1, PIXELS]),
            "rows": np.array([-1, HEADS, PIXELS, PIXELS]),
            "values": np.array([-1, WINDOWS, HEADS, PIXELS, UNITS]),
            "back": np.array([-1, HEADS, PIXELS, UNITS]),
        } | others
        words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
        chosen = {k: v for k, v in constants.items() if k in words}
        given = ", float[1,3,2,5] key" if "key" in words else ""
        text = (
            f"(float[N,3,5,2] q, float[N,3,5,2] k, float[N,3,5,2] v{given}) => "
            f"(float[N,3,5,2] y) {{ {body} }}"
        )
        return inferred(build(text, **chosen))

    return make


@pytest.fixture
def feeds(noise):
    def draw(images):
        return tuple(noise(images * WINDOWS, HEADS, PIXELS, UNITS, seed=i) for i in range(3))

    return draw


def fused(proto):
    return [n for n in proto.graph.node if n.op_type == "FusedAttention"]


@pytest.mark.parametrize("form", FORMS)
def test_every_view_becomes_one_node(swin, rewrite, runtime, feeds, noise, form):
    proto = swin(FORMS[form])
    after = rewrite(passes.FuseAttention(), proto)
    assert len(fused(after)) == 1
    assert not {"Softmax", "MatMul"} & set(operators(after))
    for images in (2,) if form == "one image a mask" else (1, 3):
        given = feeds(images)
        if form == "keys for all":
            given += (noise(1, HEADS, UNITS, PIXELS, seed=4),)
            assert not np.isnan(runtime(proto, *given)[0]).any()
        (expected,) = runtime(proto, *given)
        module = onnxattr.to_torch(proto)
        ours = module(*map(torch.from_numpy, given)).numpy()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
        assert_same(proto, *given, tolerance=2e-6)


@pytest.mark.parametrize("low", [-np.inf, -1e9])
@pytest.mark.parametrize("form", ["a choice", "a chosen mask"])
def test_a_pixel_that_sees_nothing(swin, feeds, runtime, form, low):
    keep = np.ones((WINDOWS, 1, PIXELS, PIXELS), bool)
    keep[1, 0, 2] = False
    proto = swin(FORMS[form], keep=keep, low=np.float32(low))
    module, given = onnxattr.to_torch(proto), feeds(2)
    ours = module(*map(torch.from_numpy, given)).numpy()
    (expected,) = runtime(proto, *given)
    assert np.isnan(expected).any() == np.isinf(low)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_derivatives_are_those_of_finite_differences(swin, feeds):
    """In float64, of the chain as NumPy computes it from the definition."""
    rng = np.random.default_rng(0)
    given = [f.astype(np.float64) for f in feeds(2)]
    weights = rng.normal(size=given[0].shape)
    bias = rng.normal(size=(1, HEADS, PIXELS, PIXELS))
    shift = np.where(rng.random((1, WINDOWS, 1, PIXELS, PIXELS)) > 0.5, 0, -100.0)
    constants = {"bias": bias, "shift": shift, "c": np.float64(0.75)}
    proto = swin(SWIN, **constants)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = 11
    del proto.graph.value_info[:]
    proto = inferred(proto)

    def plain(q, k, v):
        scores = (q * 0.75) @ k.swapaxes(-1, -2) + bias
        scores = (scores.reshape(-1, WINDOWS, HEADS, PIXELS, PIXELS) + shift).reshape(scores.shape)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True) @ v * weights).sum()

    assert fused_module(proto) == 1
    tensors = [torch.from_numpy(f).requires_grad_() for f in given]
    total = (onnxattr.to_torch(proto)(*tensors) * torch.from_numpy(weights)).sum()
    assert total.item() == pytest.approx(plain(*given), rel=1e-12)
    total.backward()
    for i in range(3):
        direction = rng.normal(size=given[i].shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(given)
            moved[i] = given[i] + step * direction
            ends.append(plain(*moved))
        slope = (tensors[i].grad.numpy() * direction).sum()
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def fused_module(proto):
    module = onnxattr.to_torch(proto)
    return sum("fused_attention" in repr(child) for child in module.children())


LIKE = {
    "heads among the windows": SWIN.replace("windows", "mixed").replace("shift", "any"),
    "pixels turned": SWIN.replace("rows", "turned"),
    "other windows afterwards": SWIN.replace(
        "m = Add(a, shift)", "m0 = Add(a, shift) m1 = Reshape(m0, halves) m = Add(m1, shift2)"
    ),
    "a mask that adds heads": SWIN.replace("shift", "more"),
    "a mask that adds an axis": SWIN.replace("shift", "longer"),
}  # fmt: skip


@pytest.mark.parametrize("form", LIKE)
def test_what_is_like_it_stays(swin, rewrite, form, noise):
    others = {
        "mixed": np.array([-1, HEADS, WINDOWS, PIXELS, PIXELS]),
        "any": noise(1, 1, WINDOWS, PIXELS, PIXELS),
        "turned": np.array([-1, PIXELS, HEADS, PIXELS]),
        "halves": np.array([-1, 2, HEADS, PIXELS, PIXELS]),
        "shift2": noise(2, 1, PIXELS, PIXELS),
        "longer": noise(2, 1, WINDOWS, 1, PIXELS, PIXELS),
    }
    if form == "a mask that adds heads":
        # One head of the scores, and three of the mask.
        body = LIKE[form].replace("bias", "one").replace("windows", "single")
        others |= {
            "one": noise(1, 1, PIXELS, PIXELS),
            "single": np.array([-1, WINDOWS, 1, PIXELS, PIXELS]),
            "more": noise(1, 1, HEADS, PIXELS, PIXELS),
        }
        proto = swin(body, **others)
        for value in proto.graph.input:
            value.type.tensor_type.shape.dim[1].dim_value = 1
        del proto.graph.value_info[:]
        proto = inferred(proto)
    else:
        proto = swin(LIKE[form], **others)
    assert not fused(rewrite(passes.FuseAttention(), proto))


def test_what_is_seen_otherwise_by_others_stays(swin, rewrite):
    proto = swin(SWIN + " other = Neg(m)")
    proto.graph.output.add().CopyFrom(proto.graph.output[0])
    proto.graph.output[1].name = "other"
    proto.graph.output[1].type.tensor_type.ClearField("shape")
    assert not fused(rewrite(passes.FuseAttention(), proto))
