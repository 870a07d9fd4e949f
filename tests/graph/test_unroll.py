"""Loops written out: graphs before and after, values, gradients and names, and what stays."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx_ir.passes import common

import onnxattr
from onnxattr.attribution.relevance import elrp
from onnxattr.attribution.setting import Setting
from onnxattr.convert.torch import to_network
from onnxattr.graph import passes
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise
from onnxattr.types import OnnxNode

#: The since-versions. A Loop of version 1 is of opset 9, where its body's operators are at hand.
LOOP = (9, 11, 13, 16, 19, 21, 23, 24, 25)
SCAN = (9, 11, 16, 19, 21, 23, 24, 25)

YES = "c = Constant<value = bool {1}>()"
FOUR = f"m = Constant<value = int64 {{4}}>() {YES}"
GRAPH = "(float[2,3] x) => (float[2,3] y, float[a,2,3] ys)"

LOOPS = {
    "numbered and collected": f"""{GRAPH} {{ {FOUR}
        y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] s) {{
            k2 = Identity(k) f = Cast<to=1>(i) g = Add(h, x) t = Tanh(g) h2 = Add(t, f)
            s = Mul(t, h) }}> }}""",
    "two states that change places": f"""{GRAPH} {{ {FOUR} r = Neg(x)
        y, z, ys = Loop(m, c, x, r) <body = b (int64 i, bool k, float[2,3] h, float[2,3] j)
            => (bool k2, float[2,3] j, float[2,3] h2, float[2,3] h) {{
            k2 = Constant<value = bool {{1}}>() h2 = Sub(h, j) }}> }}""",
    "what is handed on": f"""{GRAPH} {{ {FOUR} r = Sigmoid(x)
        y, ys = Loop(m, c, r) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k, float[2,3] h, float[2,3] s) {{ s = Identity(x) }}> }}""",
    "a condition that is computed": f"""{GRAPH} {{ {YES}
        n = Constant<value = int64 {{1}}>() many = Constant<value = int64 {{1000000}}>()
        q, y, ys = Loop(many, c, n, x) <body = b (int64 i, bool k, int64 p, float[2,3] h)
            => (bool k2, int64 p2, float[2,3] h2, float[2,3] h) {{
            p2 = Add(p, p) e = Constant<value = int64 {{9}}>() k2 = Less(p2, e)
            h2 = Tanh(h) }}> }}""",
    "no limit": f"""{GRAPH} {{ {YES}
        y, ys = Loop(, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] h) {{
            e = Constant<value = int64 {{2}}>() k2 = Less(i, e) h2 = Sigmoid(h) }}> }}""",
    "nested, with names of its own": f"""{GRAPH} {{ {FOUR}
        y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] s) {{
            k2 = Identity(k) one = Constant<value = int64 {{1}}>() n = Add(i, one)
            h2, t = Loop(n, k, h) <body = b (int64 j, bool l, float[2,3] g)
                => (bool l2, float[2,3] g2, float[2,3] u) {{
                l2 = Identity(l) v = Mul(g, h) g2 = Tanh(v) u = Add(g2, x) }}>
            p = Constant<value = int64 {{0}}>() s = Gather(t, p) }}> }}""",
    "branches inside": f"""{GRAPH} {{ {FOUR}
        y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] h) {{
            k2 = Identity(k) e = Constant<value = int64 {{2}}>() d = Less(i, e)
            h2 = If(d) <then_branch = t () => (float[2,3] p) {{ p = Sin(h) }},
                        else_branch = e () => (float[2,3] p) {{ q = Exp(h) p = Neg(q) }}> }}> }}""",
    "branches that stay": f"""{GRAPH} {{ {FOUR} a = Constant<value = int64 {{0}}>()
        w = Flatten<axis=0>(x) r = Gather<axis=1>(w, a) w3 = Neg(x)
        o = Constant<value = float[1] {{0}}>() d = Less(o, r)
        y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] h) {{
            k2 = Identity(k)
            h2 = If(d) <then_branch = t () => (float[2,3] p) {{ p = Cos(h) }},
                        else_branch = e () => (float[2,3] p) {{
                q = Sin(h) p = Add(q, w3) }}> }}> }}""",
    "two of the same names": f"""{GRAPH} {{ {FOUR}
        z, zs = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] s) {{
            k2 = Identity(k) w = Constant<value = float {{0.5}}>() h2 = Mul(h, w) s = Neg(h2) }}>
        y, ys = Loop(m, c, z) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] s) {{
            k2 = Identity(k) w = Constant<value = float {{2}}>() h2 = Add(h, w)
            s = Tanh(h2) }}> }}""",
}

SCANS = {
    "both ways": """(float[4,2,3] x) => (float[2,3] y, float[4,2,3] ys, float[4,2,3] zs) {
        r = Constant<value = float[2,3] {1,2,3,4,5,6}>() u = Neg(x)
        y, ys, zs = Scan<num_scan_inputs=2, scan_input_directions=[0,1],
            scan_output_directions=[1,0],
            body = b (float[2,3] h, float[2,3] e, float[2,3] f)
                => (float[2,3] h2, float[2,3] s, float[2,3] t) {
                g = Mul(h, e) p = Add(g, f) h2 = Tanh(p) s = Add(h2, e)
                t = Mul(h, r) }>(r, x, u) }""",
    "other axes": """(float[2,4,3] x) => (float[2,3] y, float[2,4,3] ys, float[2,3,4] zs) {
        r = Constant<value = float[2,3] {1,2,3,4,5,6}>() u = Transpose<perm=[0,2,1]>(x)
        y, ys, zs = Scan<num_scan_inputs=2, scan_input_axes=[1,2], scan_output_axes=[1,2],
            body = b (float[2,3] h, float[2,3] e, float[2,3] f)
                => (float[2,3] h2, float[2,3] s, float[2,3] t) {
                g = Mul(h, e) p = Sub(g, f) h2 = Tanh(p) s = Add(h2, e)
                t = Neg(h) }>(r, x, u) }""",
    "without states": """(float[4,2,3] x) => (float[4,2,3] ys) {
        ys = Scan<num_scan_inputs=1, body = b (float[2,3] e) => (float[2,3] s) {
            s = Sin(e) }>(x) }""",
    "inside of a loop": f"""(float[3,2] x) => (float[2] y, float[4,3,2] ys) {{ {FOUR}
        r = Constant<value = float[2] {{1,2}}>()
        y, ys = Loop(m, c, r) <body = b (int64 i, bool k, float[2] h)
            => (bool k2, float[2] h2, float[3,2] s) {{
            k2 = Identity(k)
            h2, s = Scan<num_scan_inputs=1, body = b (float[2] g, float[2] e)
                => (float[2] g2, float[2] p) {{ p = Mul(g, e) g2 = Tanh(p) }}>(h, x) }}> }}""",
}

#: From opset 11 on.
NEGATIVE = """(float[2,4,3] x) => (float[2,3] y, float[2,4,3] ys) {
    r = Constant<value = float[2,3] {1,2,3,4,5,6}>()
    y, ys = Scan<num_scan_inputs=1, scan_input_axes=[-2], scan_output_axes=[-2],
        body = b (float[2,3] h, float[2,3] e) => (float[2,3] h2, float[2,3] s) {
            g = Mul(h, e) h2 = Tanh(g) s = Add(h2, e) }>(r, x) }"""

GRADED = {**LOOPS, **SCANS, "negative axes": NEGATIVE}

CASES = {
    **{name: (text, 17) for name, text in GRADED.items()},
    **{f"{name}, opset {v}": (LOOPS[name], v) for v in LOOP for name in list(LOOPS)[::5]},
    **{f"{name}, opset {v}": (SCANS[name], v) for v in SCAN for name in list(SCANS)[::3]},
    **{f"negative axes, opset {v}": (NEGATIVE, v) for v in SCAN[1:]},
}


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def loops(proto):
    return [label for label in operators(proto) if label.startswith(("Loop", "Scan"))]


def known(proto):
    """The model as the pass finds it."""
    graph = ir.from_proto(onnx.ModelProto.FromString(proto.SerializeToString()))
    graph = common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    return ir.to_proto(passes.KnownShapes()(graph.model).model)


def computed(proto, *feeds):
    """What the converted module of a model gives."""
    outputs = onnxattr.to_torch(proto)(*map(torch.from_numpy, feeds))
    return [y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def same(got, expected, **tolerance):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


def input_of(proto, noise):
    return noise(*(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim))


@pytest.fixture
def staying(monkeypatch):
    """Call it, and loops stay."""
    return lambda: monkeypatch.setattr(passes.Unroll, "ROUNDS", 0)


@pytest.mark.parametrize(("text", "opset"), CASES.values(), ids=CASES)
def test_loops_are_written_out(build, rewrite, runtime, noise, staying, text, opset):
    """ONNX Runtime computes the same of what the pass writes, and our converter of both forms."""
    proto = build(text, opset=opset)
    x = input_of(proto, noise)
    expected = runtime(proto, x)
    written = rewrite(passes.Unroll(), known(proto))
    onnx.checker.check_model(written)
    assert not loops(written)
    same(runtime(written, x), expected)
    dialect = normalise(load(proto))
    assert not loops(dialect.proto)
    same(computed(proto, x), expected)
    staying()
    assert loops(normalise(load(proto)).proto)
    same(computed(proto, x), expected)


@pytest.mark.parametrize("text", GRADED.values(), ids=GRADED)
def test_gradients_are_those_of_finite_differences(build, noise, staying, text):
    text = text.replace("float[", "double[").replace("float {", "double {").replace("to=1", "to=11")
    proto = build(text)
    x = torch.from_numpy(input_of(proto, noise)).double().requires_grad_()
    module = onnxattr.to_torch(proto)
    assert torch.autograd.gradcheck(module, (x,))
    staying()
    outputs = (module(x), onnxattr.to_torch(proto)(x))
    ones = [o if isinstance(o, tuple) else (o,) for o in outputs]
    written, kept = (torch.autograd.grad(sum(y.sum() for y in ys), x)[0] for ys in ones)
    torch.testing.assert_close(written, kept)


# The graph


def test_what_a_loop_becomes(build, rewrite):
    text = """(float[2,3] x) => (float[2,3] y, float[3,2,3] ys) {
        m = Constant<value = int64 {3}>() c = Constant<value = bool {1}>()
        y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] s) {
            k2 = Identity(k) h2 = Add(h, x) s = Neg(h2) }> }"""
    turn = ["Add", "Neg"]
    after = [*turn * 3, *["Unsqueeze"] * 3, "Concat"]
    assert operators(rewrite(passes.Unroll(), known(build(text)))) == after
    older = rewrite(passes.Unroll(), known(build(text, opset=12)))
    assert operators(older) == after
    assert [len(n.input) for n in older.graph.node if n.op_type == "Unsqueeze"] == [1, 1, 1]


@pytest.mark.parametrize(("opset", "lists"), [(12, 1), (13, 2)])
def test_what_a_scan_becomes(build, rewrite, opset, lists):
    text = """(float[3,2] x) => (float[3,2] ys) {
        ys = Scan<num_scan_inputs=1, body = b (float[2] e) => (float[2] s) { s = Sin(e) }>(x) }"""
    written = rewrite(passes.Unroll(), known(build(text, opset=opset)))
    after = ["Split", *["Squeeze"] * 3, *["Sin"] * 3, *["Unsqueeze"] * 3, "Concat"]
    assert operators(written) == after
    assert len(written.graph.node[0].input) == lists


def test_arithmetic_on_the_iteration_s_number_folds(build, runtime, noise):
    text = f"""(float[4,3] x) => (float[a,3] ys) {{ {FOUR} three = Constant<value = int64 {{3}}>()
        ys = Loop(m, c) <body = b (int64 i, bool k) => (bool k2, float[3] s) {{
            k2 = Identity(k) p = Sub(three, i) s = Gather(x, p) }}> }}"""
    proto, x = build(text), noise(4, 3)
    dialect = normalise(load(proto))
    assert not [label for label in operators(dialect.proto) if label.startswith("Sub")]
    same(computed(proto, x), runtime(proto, x))


def test_what_a_body_stores_is_stored_once(build):
    text = f"""(float[1,50] x) => (float[1,50] y) {{ {FOUR}
        y = Loop(m, c, x) <body = b (int64 i, bool k, float[1,50] h) => (bool k, float[1,50] h2) {{
            w = Constant<value = float[50] {{{",".join("2" * 50)}}}>() h2 = Mul(h, w) }}> }}"""
    dialect = normalise(load(build(text)))
    assert [array.shape for array in dialect.stored.values()] == [(50,)]


def test_loops_that_tell_the_length_of_others(build, runtime, noise):
    text = f"""(float[2,3] x) => (float[a,2,3] y) {{ {FOUR}
        r, rs = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k2, float[2,3] h2, float[2,3] s) {{ k2 = Identity(k) h2 = Sin(h) s = Neg(h) }}>
        y = Scan<num_scan_inputs=1, body = b (float[2,3] e) => (float[2,3] s) {{ s = Tanh(e) }}>(rs)
        }}"""
    proto, x = build(text), noise(2, 3)
    assert not loops(normalise(load(proto)).proto)
    same(computed(proto, x), runtime(proto, x))


def test_an_iteration_s_number_has_the_rank_that_the_body_states(build, runtime, noise):
    text = f"""(float[2] x) => (float[a] y) {{ {FOUR}
        y = Loop(m, c, x) <body = b (int64[1] i, bool k, float[n] h) => (bool k, float[m] h2) {{
            f = Cast<to=1>(i) h2 = Concat<axis=0>(h, f) }}> }}"""
    proto, x = build(text), noise(2)
    same(computed(proto, x), runtime(proto, x))


def test_a_sequence_may_be_carried(build, runtime, noise):
    text = f"""(float[2,3] x) => (float[a,3] y) {{ {FOUR} q = SequenceEmpty<dtype=1>()
        r = Loop(m, c, q) <body = b (int64 i, bool k, seq(float[2,3]) h)
            => (bool k2, seq(float[2,3]) h2) {{
            k2 = Identity(k) f = Cast<to=1>(i) t = Mul(x, f) h2 = SequenceInsert(h, t) }}>
        y = ConcatFromSequence<axis=0>(r) }}"""
    proto, x = build(text), noise(2, 3)
    assert not loops(normalise(load(proto)).proto)
    same(computed(proto, x), runtime(proto, x))


HANDED_OUT = """(float[4,2,3] x) => (float[2,3] y, float[4,2,3] ys, float[4,2,3] zs) {
    r = Neg(w) y, ys, zs = Scan<num_scan_inputs=1, body = b (float[2,3] h, float[2,3] e)
        => (float[2,3] h2, float[2,3] h, float[2,3] e) { h2 = Add(h, e) }>(r, x) }"""


def test_what_a_body_takes_may_be_given_out(build, reference, noise):
    """Onnx's reference says what: ONNX Runtime leaves such memory as it was."""
    proto, x = build(HANDED_OUT, w=noise(2, 3)), noise(4, 2, 3)
    assert not loops(normalise(load(proto)).proto)
    same(computed(proto, x), reference(proto, x))


RETURNED = f"""(float[2,3] x) => (float[2,3] y, float[a,2,3] ys) {{ {FOUR}
    r = Sin(x) o = Constant<value = float {{0.5}}>() q = ReduceMax<keepdims=0>(x) d = Less(o, q)
    y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
        => (bool k, float[2,3] h2, float[2,3] s) <float[2,3] w = {{1,2,3,4,5,6}}> {{
        h2 = If(d) <then_branch = t () => (float[2,3] p) {{ p = Identity(r) }},
                    else_branch = e () => (float[2,3] g) {{ g = Identity(h) }}>
        s = Identity(w) }}> }}"""


@pytest.mark.parametrize("sign", [1, -1])
def test_a_body_and_a_branch_may_return_what_is_outside(build, rewrite, runtime, noise, sign):
    proto, x = build(RETURNED), sign * np.abs(noise(2, 3))
    dropped = ir.to_proto(passes.DropIdentities()(ir.from_proto(known(proto))).model)
    written = rewrite(passes.Unroll(), dropped)
    assert not loops(written)
    same(runtime(written, x), runtime(proto, x))
    same(computed(proto, x), runtime(proto, x))


@pytest.mark.parametrize(
    ("body", "branch"), [("", "p = Identity(h)"), ("s = Identity(h)", "")], ids=["body", "branch"]
)
def test_a_graph_that_returns_another_s_value_as_its_own_stays(build, rewrite, body, branch):
    """ONNX Runtime refuses it."""
    text = f"""(float[2,3] x) => (float[2,3] y, float[a,2,3] ys) {{ {FOUR}
        r = Sin(x) o = Constant<value = float {{0.5}}>() q = ReduceMax<keepdims=0>(x) d = Less(o, q)
        y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k, float[2,3] h2, float[2,3] {"s" if body else "r"}) {{ {body}
            h2 = If(d) <then_branch = t () => (float[2,3] {"p" if branch else "r"}) {{ {branch} }},
                        else_branch = e () => (float[2,3] g) {{ g = Neg(h) }}> }}> }}"""
    written = rewrite(passes.Unroll(), known(build(text)))
    assert loops(written) == ["Loop"]


NEVER = {
    "the limit is zero": ("int64 {0}", "bool {1}"),
    "the limit is below zero": ("int64 {-3}", "bool {1}"),
    "the condition does not hold": ("int64 {3}", "bool {0}"),
}


@pytest.mark.parametrize(("limit", "start"), NEVER.values(), ids=NEVER)
def test_a_loop_that_never_runs_hands_its_states_on(build, rewrite, runtime, noise, limit, start):
    text = f"""(float[2,3] x) => (float[2,3] z) {{
        m = Constant<value = {limit}>() c = Constant<value = {start}>() r = Sin(x)
        y, ys = Loop(m, c, r) <body = b (int64 i, bool k, float[2,3] h)
            => (bool k, float[2,3] h2, float[2,3] h) {{ h2 = Neg(h) }}> z = Cos(y) }}"""
    proto, x = build(text), noise(2, 3)
    assert operators(rewrite(passes.Unroll(), known(proto))) == ["Sin", "Cos"]
    same(computed(proto, x), runtime(proto, x))


def test_states_that_nothing_changes_are_those_at_the_start(build, runtime, noise):
    text = f"""(float[2,3] x) => (float[2,3] y, float[2,3] z) {{ {FOUR}
        w = Constant<value = float[2,3] {{1,2,3,4,5,6}}>()
        y, z = Loop(m, c, x, w) <body = b (int64 i, bool k, float[2,3] h, float[2,3] j)
            => (bool k, float[2,3] h, float[2,3] j) {{ }}> }}"""
    proto, x = build(text), noise(2, 3)
    assert operators(normalise(load(proto)).proto) == ["Parameter", "Outputs"]
    same(computed(proto, x), runtime(proto, x))


# What stays

STAY = {
    "the limit is computed": (
        """(float[2,3] x) => (float[2,3] y) { r = ReduceMax<keepdims=0>(x) m = Cast<to=7>(r)
            c = Constant<value = bool {1}>()
            y = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h) => (bool k, float[2,3] s) {
                s = Neg(h) }> }""",
        17,
    ),
    "the condition is computed from data": (
        f"""(float[2,3] x) => (float[2,3] y) {{ {FOUR} e = Constant<value = float {{0.5}}>()
            y = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
                => (bool k2, float[2,3] s) {{
                s = Tanh(h) r = ReduceMax<keepdims=0>(s) k2 = Less(e, r) }}> }}""",
        17,
    ),
    "the length is free": (
        """(float[N,3] x) => (float[N,3] y) {
            y = Scan<num_scan_inputs=1, body = b (float[3] e) => (float[3] s) {
                s = Sin(e) }>(x) }""",
        17,
    ),
    "one step, which may be the batch": (
        """(float[1,3] x) => (float[1,3] y) {
            y = Scan<num_scan_inputs=1, body = b (float[3] e) => (float[3] s) {
                s = Sin(e) }>(x) }""",
        17,
    ),
    "a Scan with a batch": (
        """(float[1,4,3] x) => (float[1,4,3] y) {
            y = Scan<num_scan_inputs=1, body = b (float[3] e) => (float[3] s) { s = Neg(e) }>(, x)
            }""",
        8,
    ),
    "it never runs, but its scan output is read": (
        """(float[2,3] x) => (float[2,3] y, float[a,2,3] ys) {
            m = Constant<value = int64 {0}>() c = Constant<value = bool {1}>()
            y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
                => (bool k, float[2,3] s, float[2,3] h) { s = Neg(h) }> }""",
        17,
    ),
    "a list of integers that grows": (
        f"""(float[2,3] x) => (int64[a] y) {{ {FOUR} r = Shape(x)
            y = Loop(m, c, r) <body = b (int64 i, bool k, int64[n] h) => (bool k, int64[l] s) {{
                s = Concat<axis=0>(h, h) }}> }}""",
        17,
    ),
    "more iterations than are written out": (
        """(float[2,3] x) => (float[2,3] y) {
            m = Constant<value = int64 {65}>() c = Constant<value = bool {1}>()
            y = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h) => (bool k, float[2,3] s) {
                s = Sin(h) }> }""",
        17,
    ),
}


@pytest.mark.parametrize(("text", "opset"), STAY.values(), ids=STAY)
def test_loops_that_stay(build, rewrite, runtime, noise, text, opset):
    proto = build(text, opset=opset)
    before = known(proto)
    assert operators(rewrite(passes.Unroll(), before)) == operators(before)
    assert len(loops(normalise(load(proto)).proto)) == 1
    shape = [d.dim_value or 2 for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = noise(*shape)
    same(computed(proto, x), runtime(proto, x))


def nested(depth, times, nodes=1, level=0):
    """Loops in loops: what `s{level}` becomes, as `y{level}`."""
    if level == depth:
        steps = [f"t{i + 1} = Sin(t{i})" for i in range(nodes)]
        return f"t0 = Sin(s{level}) {' '.join(steps)} y{level} = Neg(t{nodes})"
    inner = nested(depth, times, nodes, level + 1)
    return (
        f"m{level} = Constant<value = int64 {{{times}}}>() "
        f"y{level} = Loop(m{level}, c, s{level}) <body = b (int64 i{level}, bool k{level}, "
        f"float[2] s{level + 1}) => (bool k{level}, float[2] y{level + 1}) {{ {inner} }}>"
    )


def of_loops(text):
    return f"(float[2] x) => (float[2] y0) {{ {YES} s0 = Neg(x) {text} }}"


def count(proto):
    return sum(1 for _ in onnxattr.graph.walk.nodes(proto.graph))


@pytest.mark.parametrize(("depth", "times"), [(10, 64), (3, 64), (2, 64), (13, 2)])
def test_nests_are_written_out_as_a_whole_or_not_at_all(build, rewrite, depth, times):
    nodes = 2 if depth == 2 else 1
    before = known(build(of_loops(nested(depth, times, nodes))))
    # Each iteration of the innermost has Sin, `nodes` times Sin, and Neg.
    fits = times**depth * (nodes + 2) <= passes.Unroll.NODES
    assert not fits
    assert operators(rewrite(passes.Unroll(), before)) == operators(before)


@pytest.mark.parametrize(("depth", "times"), [(5, 2), (3, 6), (12, 1)])
def test_nests_that_fit_are_written_out(build, rewrite, runtime, noise, depth, times):
    proto = build(of_loops(nested(depth, times)))
    written = rewrite(passes.Unroll(), known(proto))
    assert operators(written) == ["Neg", *["Sin", "Sin", "Neg"] * times**depth]
    same(runtime(written, noise(2)), runtime(proto, noise(2)))


def test_loops_become_so_many_nodes_and_no_more(build, rewrite, monkeypatch):
    """One behind the other, of 120 nodes each: four are written out, the last one stays."""
    monkeypatch.setattr(passes.Unroll, "NODES", 500)
    body = "(bool k, float[2] t6) {" + " ".join(f"t{i + 1} = Sin(t{i})" for i in range(6)) + "}"
    steps = "".join(
        f"s{i + 1} = Loop(m, c, s{i}) <body = b (int64 i, bool k, float[2] t0) => {body}>"
        for i in range(5)
    )
    text = f"(float[2] x) => (float[2] s5) {{ m = Constant<value = int64 {{20}}>() {YES} "
    before = known(build(f"{text} s0 = Neg(x) {steps} }}"))
    written = rewrite(passes.Unroll(), before)
    assert len(loops(written)) == 1
    assert count(written) <= 500 + count(before)


def test_a_condition_is_not_looked_at_forever(build, rewrite, monkeypatch):
    """It never ends, and would take as many steps as there may be iterations, times nodes."""
    seen = []
    compute = onnxattr.graph.loops.computed
    monkeypatch.setattr(
        onnxattr.graph.loops, "computed", lambda *given: seen.append(given) or compute(*given)
    )
    monkeypatch.setattr(passes.Unroll, "NODES", 1000)
    body = " ".join(f"p{i + 1} = Add(p{i}, one)" for i in range(30))
    text = f"""(float[2] x) => (float[2] y) {{ {YES} one = Constant<value = int64 {{1}}>()
        e = Constant<value = int64 {{15000}}>()
        q, y = Loop(, c, one, x) <body = b (int64 i, bool k, int64 p0, float[2] h)
            => (bool k2, int64 p30, float[2] h2) {{ {body} k2 = Less(p30, e) h2 = Sin(h) }}> }}"""
    graph = ir.from_proto(known(build(text)))
    assert not passes.Unroll()(graph).modified
    assert 500 < len(seen) <= 1000


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.attribute.pop(),
        lambda node: node.attribute[0].g.input.pop(),
        lambda node: node.attribute[0].g.output.pop(),
        lambda node: node.input.pop(),
        lambda node: node.output.extend(["more", "and more"]),
    ],
)
def test_a_loop_that_is_no_loop_is_left_to_others(build, change):
    proto = build(LOOPS["numbered and collected"])
    (node,) = (n for n in proto.graph.node if n.op_type == "Loop")
    change(node)
    graph = ir.from_proto(proto)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    assert not passes.Unroll()(graph).modified


# Names

NAMED = f"""(float[2,3] x) => (float[2,3] out) {{ {FOUR}
    [turns] y, ys = Loop(m, c, x) <body = b (int64 i, bool k, float[2,3] h)
        => (bool k2, float[2,3] h2, float[2,3] s) {{
        k2 = Identity(k) [squash] h2 = Tanh(h) [after] s = Neg(h2) }}>
    p = Constant<value = int64 {{1}}>() [pick] r = Gather(ys, p) [sum] out = Add(r, y) }}"""


def test_nodes_keep_the_vendor_s_names(build):
    names = normalise(load(build(NAMED))).names
    vendor = [node for node in names.nodes.values() if node.name]
    assert vendor[:8] == [OnnxNode("Tanh", "squash"), OnnxNode("Neg", "after")] * 4
    assert vendor[8:] == [
        *[OnnxNode("Unsqueeze", "turns")] * 4,
        OnnxNode("Concat", "turns"),
        OnnxNode("Gather", "pick"),
        OnnxNode("Add", "sum"),
    ]
    # Of the tensors, those of the main graph: the others cannot be asked for.
    assert {"x", "y", "ys", "r", "out"} <= set(names.values.values())
    assert not {"h2", "s"} & set(names.values.values())


@pytest.mark.parametrize("output", ["y", "ys"])
def test_an_output_of_a_loop_can_be_cut_at(build, runtime, noise, output):
    proto, x = build(NAMED), noise(2, 3)
    dialect = normalise(load(proto), outputs=[output])
    assert not loops(dialect.proto)
    last = dialect.proto.graph.node[-1].input[0]
    assert dialect.names.values[last] == output
    proto.graph.output[0].name = output
    if output == "ys":
        proto.graph.output[0].type.tensor_type.shape.dim.add()
        for dim in proto.graph.output[0].type.tensor_type.shape.dim:
            dim.Clear()
    same(computed(proto, x), runtime(proto, x))


def test_names_that_the_vendor_took_are_left_to_him(build, runtime, noise):
    text = LOOPS["nested, with names of its own"]
    for i, name in enumerate(("h2", "t", "s", "g2")):
        text = text.replace(f"{name} = ", f'"onnxattr.unrolled.{i}" = ')
    proto = build(LOOPS["nested, with names of its own"])
    for node in onnxattr.graph.walk.nodes(proto.graph):
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = TAKEN.get(name, name)
        for body in onnxattr.graph.walk.graphs(node):
            for value in (*body.input, *body.output):
                value.name = TAKEN.get(value.name, value.name)
    x = noise(2, 3)
    same(computed(proto, x), runtime(proto, x))


TAKEN = {"h2": "onnxattr.unrolled.0", "g2": "onnxattr.unrolled.1", "t": "onnxattr.0"}

ROWS = """(float[N,3,8,8] x) => (float[N,3,8] y) {
    p = Constant<value = int64 {0}>() h0 = Gather<axis=2>(x, p)
    y = Scan<num_scan_inputs=1, scan_input_axes=[2],
        body = b (float[N,3,8] h, float[N,3,8] e) => (float[N,3,8] h2) {
            s = Add(h, e) h2 = Tanh(s) }>(h0, x) }"""

ROWS_BY_HAND = (
    "(float[N,3,8,8] x) => (float[N,3,8] y) { p0 = Constant<value = int64 {0}>() "
    "h0 = Gather<axis=2>(x, p0) "
    + " ".join(
        f"q{i} = Constant<value = int64 {{{i}}}>() e{i} = Gather<axis=2>(x, q{i}) "
        f"s{i} = Add(h{i}, e{i}) h{i + 1} = Tanh(s{i})"
        for i in range(8)
    )
    + " y = Identity(h8) }"
)


def test_rules_of_relevance_reach_into_loops(build, noise):
    """ε-LRP replaces the derivative of Tanh: a loop has the maps of the same graph by hand."""
    x = torch.from_numpy(noise(2, 3, 8, 8))
    maps, operators = [], []
    for text in (ROWS, ROWS_BY_HAND):
        network = to_network(load(build(text)), at="output")
        operators.append([n.op_type for n in network.operators.values() if n.op_type == "Tanh"])
        maps.append(elrp(Setting(network))(x))
    assert operators[0] == operators[1] == ["Tanh"] * 8
    torch.testing.assert_close(maps[0], maps[1])


# A batch of one


def test_the_batch_of_a_recurrent_net_is_freed(build, runtime, noise):
    text = """(float[1,4,3] x) => (float[1,3] y) {
        h0 = Constant<value = float[1,3] {1,2,3}>()
        y = Scan<num_scan_inputs=1, scan_input_axes=[1],
            body = b (float[1,3] h, float[1,3] e) => (float[1,3] h2) {
                s = Mul(h, e) h2 = Tanh(s) }>(h0, x) }"""
    proto, x = build(text), noise(3, 4, 3)
    rows = [runtime(proto, row[None])[0] for row in x]
    same(computed(proto, x), [np.concatenate(rows)])


def test_a_scan_of_the_batch_goes_through_all_of_it(build, runtime, noise):
    text = STAY["one step, which may be the batch"][0].replace("[1,3]", "[N,3]")
    proto, x = build(text), noise(3, 3)
    rows = [runtime(proto, row[None])[0] for row in x]
    same(computed(proto, x), [np.concatenate(rows)])
