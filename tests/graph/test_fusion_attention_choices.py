"""Attention whose masks choose: by arithmetic, among scores that were lowered, among weights."""

import numpy as np
import pytest
import torch
from fusions import inferred, operators

import onnxattr
from onnxattr.graph import passes

BATCH, HEADS, QUERIES, KEYS, UNITS = 2, 3, 5, 7, 4

SCORES = "t = Transpose<perm = [0, 1, 3, 2]>(k) p = MatMul(q, t) a = Mul(p, c)"
SOFT = "w = Softmax<axis = -1>(s) y = MatMul(w, v)"
#: As tf2onnx writes the choice between two values.
BLEND = (
    "f = Cast<to = 1>(keep) n = Not(keep) g = Cast<to = 1>(n) "
    "yes = Mul(f, a) no = Mul(low, g) s = Add(yes, no)"
)
#: As it writes a mask in the shape of the scores.
ONES = (
    "z0 = Shape(a) z1 = Cast<to = 6>(z0) z2 = Cast<to = 7>(z1) ones = Expand(true, z2) "
    "both = And(ones, keep)"
)
#: As Keras' layer does, which masks the weights again.
AGAIN = "w0 = Softmax<axis = -1>(s) w = Where(keep, w0, zero) y = MatMul(w, v)"
#: As jax2onnx writes the mask of an attention.
SHARED = (
    "w = Softmax<axis = 3>(a) f = Cast<to = 1>(keep) m = Mul(w, f) "
    "sum = ReduceSum<keepdims = 1>(m, last) some = Greater(sum, zero) d = Where(some, sum, one) "
    "r = Div(m, d) u = Where(some, r, zero) y = MatMul(u, v)"
)
FORMS = {
    "by arithmetic": f"{SCORES} {BLEND} {SOFT}",
    "by arithmetic, turned": f"{SCORES} {BLEND} {SOFT}".replace("Add(yes, no)", "Add(no, yes)")
    .replace("Mul(f, a)", "Mul(a, f)").replace("Mul(low, g)", "Mul(g, low)"),
    "by stored numbers": f"{SCORES} g = Cast<to = 1>(hide) yes = Mul(keep01, a) "
    f"no = Mul(low, g) s = Add(yes, no) {SOFT}",
    "beside what always holds": f"{SCORES} {ONES} {BLEND} {SOFT}"
    .replace("(keep) n", "(both) n").replace("Not(keep)", "Not(both)"),
    "beside what always holds, chosen": f"{SCORES} {ONES} s = Where(both, a, low) {SOFT}",
    "lowered": f"{SCORES} l = Sub(a, much) s = Where(hide, l, a) {SOFT}",
    "lowered, by arithmetic": f"{SCORES} l = Sub(a, much) f = Cast<to = 1>(hide) n = Not(hide) "
    f"g = Cast<to = 1>(n) yes = Mul(f, l) no = Mul(a, g) s = Add(yes, no) {SOFT}",
    "raised by less than nothing": f"{SCORES} l = Add(a, low) s = Where(keep, a, l) {SOFT}",
    "masked again": f"{SCORES} s = Where(keep, a, low) {AGAIN}",
    "masked again, by arithmetic": f"{SCORES} {BLEND} w0 = Softmax<axis = -1>(s) "
    "h = Mul(f, w0) i = Mul(zero, g) w = Add(h, i) y = MatMul(w, v)",
    "shared out anew": f"{SCORES} {SHARED}",
    "shared out anew behind a mask": f"{SCORES} b = Where(causal, a, none) {SHARED}"
    .replace("Softmax<axis = 3>(a)", "Softmax<axis = 3>(b)"),
    "keys by queries": "t = Transpose<perm = [0, 1, 3, 2]>(q) z = Mul(t, c) p = MatMul(k, z) "
    f"a = Transpose<perm = [0, 1, 3, 2]>(p) s = Where(keep, a, low) {SOFT}",
}  # fmt: skip


@pytest.fixture
def masked(build, noise):
    """`masked("…", low=…)` → a model whose body is that; `keep` is a mask that it is given."""

    def make(body, stored=False, **others):
        keep = np.tril(np.ones((QUERIES, KEYS), bool), 2)
        constants = {
            "c": np.float32(0.5),
            "low": np.float32(-2.3e38),
            "much": np.float32(1e9),
            "none": np.float32(-np.inf),
            "zero": np.float32(0),
            "one": np.float32(1),
            "true": np.array(True),
            "last": np.array([3]),
            "causal": keep,
            "hide": ~keep,
            "keep01": keep.astype(np.float32),
        } | ({"keep": keep} if stored else {}) | others  # fmt: skip
        for mark in "(),":
            body = body.replace(mark, f" {mark} ")
        words = body.split()
        chosen = {name: array for name, array in constants.items() if name in words}
        given = ", bool[N,1,M,7] keep" if "keep" in words and "keep" not in constants else ""
        text = (
            f"(float[N,3,5,4] q, float[N,3,7,4] k, float[N,3,7,4] v{given}) => "
            f"(float[N,3,5,4] y) {{ {body} }}"
        )
        return inferred(build(text, **chosen))

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


def emptiness(proto):
    (node,) = fused(proto)
    return next(a.s.decode() for a in node.attribute if a.name == "empty")


def mask(rows, empty):
    keep = np.random.default_rng(4).random((BATCH, 1, rows, KEYS)) > 0.5
    keep[..., 0] = True
    if empty:
        keep[0, 0, rows - 1] = False
    return keep


@pytest.mark.parametrize("form", FORMS)
def test_every_choice_becomes_one_node(masked, rewrite, form):
    proto = masked(FORMS[form])
    after = rewrite(passes.FuseAttention(), proto)
    assert len(fused(after)) == 1
    assert not {"Softmax", "MatMul"} & set(operators(after))


@pytest.mark.parametrize("empty", [False, True], ids=["keys for all", "a query without"])
@pytest.mark.parametrize("rows", [1, QUERIES])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_stay(masked, runtime, qkv, form, rows, empty):
    proto = masked(FORMS[form])
    given = (*qkv, mask(rows, empty)) if len(proto.graph.input) == 4 else qkv
    (expected,) = runtime(proto, *given)
    assert not np.isnan(expected).any()
    weights = torch.from_numpy(np.random.default_rng(6).normal(size=expected.shape)).float()
    if empty and form == "raised by less than nothing":
        # A sum that rounding takes all of has a slope for autograd, and none in fact.
        weights[0, :, :] = 0
    found = []
    for fuse in (False, True):
        tensors = [torch.from_numpy(array) for array in given]
        for tensor in tensors[:3]:
            tensor.requires_grad_()
        y = onnxattr.to_torch(proto, fuse=fuse)(*tensors)
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=0, atol=2e-6)
        found.append(torch.autograd.grad((y * weights).sum(), tensors[:3]))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * theirs.abs().max().item())


@pytest.mark.parametrize(
    ("form", "stored", "empty"),
    [
        ("by arithmetic", False, "mean"),
        ("by arithmetic", True, "none"),
        ("by stored numbers", False, "none"),
        ("lowered", False, "none"),
        ("masked again", False, "zero"),
        ("masked again", True, "none"),
        ("shared out anew", False, "zero"),
        ("shared out anew behind a mask", False, "zero"),
    ],
)
def test_what_a_query_without_keys_sees(masked, rewrite, form, stored, empty):
    after = rewrite(passes.FuseAttention(), masked(FORMS[form], stored))
    assert emptiness(after) == empty


LIKE = {
    "gates that are not opposite": FORMS["by arithmetic"].replace("Not(keep)", "Not(causal)"),
    "the same gate twice": FORMS["by arithmetic"].replace("Cast<to = 1>(n)", "Cast<to = 1>(keep)"),
    "numbers that are no gate": FORMS["by stored numbers"].replace("keep01", "half"),
    "stored gates that are not opposite": FORMS["by stored numbers"].replace("hide", "causal"),
    "ones of another shape": FORMS["beside what always holds"].replace("Shape(a)", "Shape(v)"),
    "what does not always hold": FORMS["beside what always holds"].replace("(true,", "(false,"),
    "lowered by little": FORMS["lowered"].replace("much", "little"),
    "lowered from others": FORMS["lowered"].replace("Sub(a, much)", "Sub(p, much)"),
    "weights masked otherwise": FORMS["masked again"].replace("Where(keep, w0", "Where(causal, w0"),
    "weights masked where scores are not": f"{SCORES} {AGAIN}".replace("(s)", "(a)"),
    "weights made one": FORMS["masked again"].replace("w0, zero", "w0, one"),
    "shared out otherwise": FORMS["shared out anew"].replace("Div(m, d)", "Div(w, d)"),
    "summed over queries": FORMS["shared out anew"].replace("last", "rows"),
    "the sum of all weights": FORMS["shared out anew"].replace("(m, last)", "(w, last)"),
    "shared out behind a mask of which a row is empty": FORMS["shared out anew behind a mask"]
    .replace("causal", "blind"),
    "turned as a whole": FORMS["keys by queries"].replace(
        "a = Transpose<perm = [0, 1, 3, 2]>(p)", "a = Transpose<perm = [1, 0, 3, 2]>(p)"),
}  # fmt: skip


@pytest.mark.parametrize("form", LIKE)
def test_what_is_like_it_stays(masked, rewrite, noise, form):
    blind = np.ones((QUERIES, KEYS), bool)
    blind[1] = False
    others = {
        "half": np.full((QUERIES, KEYS), 0.5, np.float32),
        "little": np.float32(1e3),
        "false": np.array(False),
        "rows": np.array([2]),
        "blind": blind,
    }
    assert not fused(rewrite(passes.FuseAttention(), masked(LIKE[form], **others)))


@pytest.mark.parametrize("inside", ["yes", "both", "z2", "s"])
def test_what_others_read_stays(masked, rewrite, inside):
    proto = masked(f"{FORMS['beside what always holds']} other = Identity({inside})")
    proto.graph.output.add(name="other")
    kind = {"yes": 1, "s": 1, "both": 9, "z2": 7}[inside]
    proto.graph.output[1].type.tensor_type.elem_type = kind
    assert not fused(rewrite(passes.FuseAttention(), proto))


def test_masks_are_shared_by_layers(masked, rewrite):
    """What only the mask is read by may be read elsewhere, too."""
    proto = masked(f"{FORMS['by arithmetic']} other = Neg(no)")
    proto.graph.output.add(name="other")
    proto.graph.output[1].type.tensor_type.elem_type = 1
    assert fused(rewrite(passes.FuseAttention(), proto))
