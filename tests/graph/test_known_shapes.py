"""Arithmetic of sizes: what is known of them is stored, an If that is decided is taken."""

import itertools
import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common

import onnxattr
from onnxattr.graph import passes
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def computed(proto, *feeds):
    """What the converted module of a model gives: the dialect is read by nothing else."""
    outputs = onnxattr.to_torch(proto)(*map(torch.from_numpy, feeds))
    return [y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def stored(proto):
    return {t.name: onnx.numpy_helper.to_array(t).tolist() for t in proto.graph.initializer}


COMPUTED = {
    "a known size": (
        "i = Constant<value = int64 {1}>() s = Shape(x) n = Gather(s, i) "
        "z = Constant<value = int64[1] {0}>() u = Unsqueeze(n, z) "
        "m = Constant<value = int64[1] {-1}>() t = Concat<axis=0>(m, u) y = Reshape(x, t)",
        [-1, 12],
    ),
    "the batch kept by its place": (
        "i = Constant<value = int64 {0}>() s = Shape(x) n = Gather(s, i) "
        "z = Constant<value = int64[1] {0}>() u = Unsqueeze(n, z) "
        "m = Constant<value = int64[1] {-1}>() t = Concat<axis=0>(u, m) y = Reshape(x, t)",
        [0, -1],
    ),
    "the batch moved": (
        "s = Shape(x) a = Constant<value = int64[1] {0}>() b = Constant<value = int64[1] {1}>() "
        "e = Constant<value = int64[1] {9}>() n = Slice(s, a, b) r = Slice(s, b, e) "
        "t = Concat<axis=0>(r, n) y = Reshape(x, t)",
        [12, 5, -1],
    ),
    "sizes multiplied": (
        "i = Constant<value = int64 {1}>() j = Constant<value = int64 {2}>() s = Shape(x) "
        "n = Gather(s, i) m = Gather(s, j) p = Mul(n, m) z = Constant<value = int64[1] {0}>() "
        "u = Unsqueeze(p, z) k = Constant<value = int64[1] {-1}>() t = Concat<axis=0>(k, u) "
        "y = Reshape(x, t)",
        [-1, 60],
    ),
    "an expansion by the batch it has": (
        "s = Shape(x) o = Constant<value = float[1,12,5] {" + ",".join("1" * 60) + "}>() "
        "h = Add(x, o) y = Expand(h, s)",
        [1, 12, 5],
    ),
}


@pytest.mark.parametrize(("body", "target"), COMPUTED.values(), ids=COMPUTED)
def test_a_computed_target_is_stored(build, noise, reference, body, target):
    axes = ",".join("abc"[: len(target)])
    proto = build(f"(float[N,12,5] x) => (float[{axes}] y) {{ {body} }}")
    dialect = normalise(load(proto))
    (node,) = (n for n in dialect.proto.graph.node if n.op_type.startswith(("Reshape", "Expand")))
    assert dialect.stored[node.input[1]].tolist() == target
    assert not any(n.op_type.startswith("Shape") for n in dialect.proto.graph.node)
    for batch in (1, 3):
        x = noise(batch, 12, 5)
        np.testing.assert_array_equal(computed(proto, x)[0], reference(proto, x)[0])


#: As torch's exporter by tracing writes what a window of 5 lacks of the sizes, last axis first.
PADDED = """(float[N,12,8] x) => (float[N,a,b] y) {
    s = Shape(x) one = Constant<value = int64 {1}>() two = Constant<value = int64 {2}>()
    h = Gather(s, one) w = Gather(s, two) five = Constant<value = int64 {5}>()
    h1 = Mod(h, five) h2 = Sub(five, h1) h3 = Mod(h2, five)
    w1 = Mod(w, five) w2 = Sub(five, w1) w3 = Mod(w2, five)
    zero = Constant<value = int64[1] {0}>() first = Constant<value = int64[1] {0}>()
    hu = Unsqueeze(h3, zero) wu = Unsqueeze(w3, zero)
    given = Concat<axis = 0>(zero, wu, zero, hu, zero, zero)
    pairs = Constant<value = int64[2] {-1, 2}>() back = Constant<value = int64[1] {-1}>()
    end = Constant<value = int64[1] {-9223372036854775807}>()
    p = Reshape(given, pairs) r = Slice(p, back, end, first, back) t = Transpose<perm = [1, 0]>(r)
    pads = Reshape(t, back) y = Pad(x, pads) }"""


def test_the_amounts_of_a_pad_are_computed(build, noise, reference, runtime):
    proto = build(PADDED)
    dialect = normalise(load(proto))
    *_, pad, _ = dialect.proto.graph.node
    assert [n.partition("_")[0] for n in operators(dialect.proto)] == [
        "Parameter",
        "Pad",
        "Outputs",
    ]
    assert dialect.stored[pad.input[1]].tolist() == [0, 0, 0, 0, 3, 2]
    x = noise(2, 12, 8)
    for y in (reference(proto, x)[0], runtime(proto, x)[0]):
        np.testing.assert_array_equal(computed(proto, x)[0], y)


def padded(given, made):
    """The nodes that pad `given` to `made`; all other names end like the latter."""
    body = PADDED[PADDED.index("{") + 1 : PADDED.rindex("}")]
    names = {name: f"{name}{made}" for name in re.findall(r"(\w+) = [A-Z]", body)}
    names |= {"x": given, "y": made}
    return re.sub(r"\b\w+\b", lambda word: names.get(word[0], word[0]), body)


def test_each_of_some_pads_decides_the_next(build, noise, runtime):
    values = ["x", "p1", "p2", "p3", "p4", "y"]
    text = " ".join(padded(a, b) for a, b in itertools.pairwise(values))
    proto = build(f"(float[N,12,8] x) => (float[N,a,b] y) {{ {text} }}")
    kinds = {n.partition("_")[0] for n in operators(normalise(load(proto)).proto)}
    assert kinds == {"Parameter", "Pad", "Outputs"}
    x = noise(2, 12, 8)
    np.testing.assert_array_equal(computed(proto, x)[0], runtime(proto, x)[0])


@pytest.mark.parametrize(
    "body",
    [
        "a = Slice(p, one, two, one) y = Reshape(a, back)",
        "a = Slice(p, one, two) y = Reshape(a, back)",
        "m = Mod<fmod = 1>(s, s) y = Mod(s, m)",
    ],
    ids=["another axis", "both axes", "another remainder"],
)
def test_what_is_not_computed_stays(build, noise, runtime, body):
    """Or is computed as ONNX Runtime does."""
    proto = build(f"""(float[2,3,4,5] x) => (int64[a] y) {{
        s = Shape(x) pairs = Constant<value = int64[2] {{2, 2}}>()
        one = Constant<value = int64[1] {{1}}>() two = Constant<value = int64[1] {{2}}>()
        back = Constant<value = int64[1] {{-1}}>() p = Reshape(s, pairs) {body} }}""")
    if "fmod" in body:
        assert "Mod_13" in operators(normalise(load(proto)).proto)
        return
    x = noise(2, 3, 4, 5)
    np.testing.assert_array_equal(computed(proto, x)[0], runtime(proto, x)[0])


def test_a_free_size_that_is_not_the_inputs_is_left_to_be_computed(build):
    text = """(float[N,M] x, float[K] z) => (float[a,b] y) {
        s = Shape(z) m = Constant<value = int64[1] {-1}>() t = Concat<axis=0>(s, m, s)
        y = Reshape(x, t) }"""
    assert "Concat_13" in operators(normalise(load(build(text))).proto)


DECIDED = """(float[N,{size}] x) => (float[a,b] y) {{
    i = Constant<value = int64 {{1}}>() s = Shape(x) n = Gather(s, i)
    one = Constant<value = int64 {{1}}>() c = Equal(n, one)
    y = If (c) <
        then_branch = a () => (float[p,q] p) {{ p = Neg(x) }},
        else_branch = b () => (float[p,q] q) {{ h = Abs(x) q = Relu(h) }}> }}"""


@pytest.mark.parametrize(("size", "taken"), [(1, ["Neg_13"]), (3, ["Abs_13", "Relu_14"])])
def test_a_branch_that_is_decided_is_taken(build, size, taken):
    dialect = normalise(load(build(DECIDED.format(size=size))))
    assert operators(dialect.proto) == [*taken, "Outputs"]
    names = [dialect.names.nodes[n.name].op_type for n in dialect.proto.graph.node[:-1]]
    assert names == [label.partition("_")[0] for label in taken]


def test_a_branch_that_is_not_decided_stays(build):
    assert "If_16" in operators(normalise(load(build(DECIDED.format(size="M")))).proto)


def test_branches_of_the_same_names_do_not_meet(build, noise):
    text = """(float[2,3] x) => (float[2,3] y) {
        c = Constant<value = bool {1}>()
        a = If (c) < then_branch = a () => (float[2,3] h) { t = Neg(x) h = Abs(t) },
                     else_branch = b () => (float[2,3] h) { h = Abs(x) }>
        y = If (c) < then_branch = a () => (float[2,3] h) { t = Exp(a) h = Neg(t) },
                     else_branch = b () => (float[2,3] h) { h = Abs(x) }> }"""
    proto, x = build(text), noise(2, 3)
    dialect = normalise(load(proto))
    assert operators(dialect.proto) == ["Neg_13", "Abs_13", "Exp_13", "Neg_13", "Outputs"]
    np.testing.assert_allclose(computed(proto, x)[0], -np.exp(np.abs(x)), rtol=1e-6)


def test_known_shapes_keep_the_contract(build, rewrite):
    for text in (DECIDED.format(size=1), DECIDED.format(size="M")):
        proto = ir.to_proto(
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(
                ir.from_proto(build(text))
            ).model
        )
        rewrite(passes.KnownShapes(), proto)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=2),
    chain=st.lists(
        st.sampled_from(
            ["Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Concat", "Gather", "Slice"]
        ),
        max_size=6,
    ),
    numbers=st.lists(st.integers(1, 4), min_size=6, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_the_arithmetic_is_onnx_s(sizes, chain, numbers):
    """What is folded, of chains of operators on a shape, is what onnx's reference computes."""
    nodes = [helper.make_node("Shape", ["x"], ["v0"])]
    stored = []
    for i, (op, number) in enumerate(zip(chain, numbers, strict=False)):
        name = f"c{i}"
        values, attributes, inputs = [number], {}, [f"v{i}", name]
        if op == "Concat":
            attributes = {"axis": 0}
        elif op == "Gather":
            values = [0, 0, -1][:number]
        elif op == "Slice":
            inputs = [f"v{i}", "zero", name]
        stored.append(onnx.numpy_helper.from_array(np.array(values), name))
        nodes.append(helper.make_node(op, inputs, [f"v{i + 1}"], **attributes))
    stored.append(onnx.numpy_helper.from_array(np.array([0]), "zero"))
    last = f"v{len(nodes) - 1}"
    nodes.append(helper.make_node("Cast", [last], ["y"], to=onnx.TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, sizes)],
        [helper.make_empty_tensor_value_info("y")],
        stored,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.zeros(sizes, np.float32)
    try:
        (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    except (ValueError, IndexError):
        return  # shapes of the chain do not fit each other
    folded = ir.from_proto(proto)
    passes.KnownShapes()(folded)
    (cast,) = folded.graph
    assert cast.inputs[0].const_value.numpy().tolist() == expected.astype(int).tolist()


@given(
    numbers=st.lists(st.integers(-9, 9), min_size=12, max_size=12),
    axis=st.integers(-2, 1),
    begin=st.integers(-5, 5),
    end=st.sampled_from([-(2**63) + 1, -2, 0, 2, 2**63 - 1]),
    stride=st.sampled_from([-2, -1, 1, 2]),
)
@settings(max_examples=60, deadline=None)
def test_tables_of_numbers_are_turned_and_cut_as_onnx_does(numbers, axis, begin, end, stride):
    """Torch's legacy exporter reads the pads of an axis as rows of a table, and turns it."""
    chain = [
        ("Reshape", ["numbers", "table"], {}),
        ("Slice", ["v0", "begin", "end", "axis", "stride"], {}),
        ("Transpose", ["v1"], {"perm": [1, 0]}),
        ("Reshape", ["v2", "row"], {}),
        ("Mod", ["v3", "three"], {}),
        ("Cast", ["v4"], {"to": onnx.TensorProto.FLOAT}),
    ]
    nodes = [helper.make_node(op, x, [f"v{i}"], **more) for i, (op, x, more) in enumerate(chain)]
    values = {
        "numbers": numbers,
        "table": [4, 3],
        "begin": [begin],
        "end": [end],
        "axis": [axis],
        "stride": [stride],
        "row": [-1],
        "three": [3],
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [],
        [helper.make_empty_tensor_value_info("v5")],
        [onnx.numpy_helper.from_array(np.array(v), k) for k, v in values.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (expected,) = ReferenceEvaluator(proto).run(None, {})
    folded = ir.from_proto(proto)
    passes.KnownShapes()(folded)
    if expected.size:
        (cast,) = folded.graph
        assert cast.inputs[0].const_value.numpy().tolist() == expected.astype(int).tolist()


def test_the_remainder_of_c_is_left_to_be_computed(build, runtime, noise):
    text = (
        "(float[N] x) => (float[N] y, int64[1] f) { m = Mod<fmod=1>(a, b) f = Neg(m) y = Relu(x)}"
    )
    proto = build(text, a=np.array([-7]), b=np.array([3]))
    assert computed(proto, noise(2))[1] == runtime(proto, noise(2))[1] == 1


@pytest.mark.parametrize("blocks", [2, 12])
def test_a_chain_of_pads_is_known_at_once(build, blocks):
    """Windows of a Swin pad what the block before gave: sizes must not take a round for each."""
    body = "".join(
        f"s{i} = Shape(v{i}) n{i} = Gather(s{i}, last) k{i} = Mod(n{i}, five) "
        f"p{i} = Concat<axis=0>(none, k{i}) v{i + 1} = Pad(v{i}, p{i}) "
        for i in range(blocks)
    )
    text = f"(float[1,3] v0) => (float[1,a] v{blocks}) {{ {body} }}"
    numbers = {"last": [1], "five": [5], "none": [0, 0, 0]}
    graph = ir.from_proto(build(text, **{k: np.array(v) for k, v in numbers.items()}))
    passes.KnownShapes()(graph)
    sizes = [3]
    for _ in range(blocks):
        sizes.append(sizes[-1] + sizes[-1] % 5)
    assert [node.op_type for node in graph.graph] == ["Pad"] * blocks
    assert [node.outputs[0].shape[1] for node in graph.graph] == sizes[1:]


TWO_NAMES = """(float[N] x, float[M] z) => (float[K] y) {
    s = Shape(x) t = Shape(z) c = Equal(s, t)
    y = If (c) < then_branch = a () => (float[p] p) { p = Neg(x) },
                 else_branch = b () => (float[q] q) { q = Abs(x) }> }"""


@pytest.mark.parametrize("size", [1, 3])
def test_sizes_of_two_names_may_be_equal(build, noise, size):
    x = np.abs(noise(1)) + 1
    (y,) = computed(build(TWO_NAMES), x, noise(size))
    np.testing.assert_array_equal(y, -x if size == 1 else x)


def test_a_zero_that_is_not_known_yet_still_means_zero(build):
    text = """(float[N,M] x, float[A,B] z) => (float[a,b] y) {
        s = Shape(z) y = Reshape<allowzero=1>(x, s) }"""
    module = onnxattr.to_torch(build(text))
    assert module(torch.zeros(0, 3), torch.zeros(5, 0)).shape == (5, 0)


def test_what_single_precision_rounds_is_not_computed_in_double(build, runtime, noise):
    """3 · 2.3333333 is 7 there, and a little less here."""
    text = "(float[N] x) => (float[N] y, float f) { m = Mul(a, c) f = Floor(m) y = Relu(x) }"
    text = text.replace("f = Floor(m)", "g = Floor(m) f = Neg(g)")
    proto = build(text, a=np.float32(3), c=np.float32(2.3333333))
    assert computed(proto, noise(2))[1] == runtime(proto, noise(2))[1] == -7


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers_that_wrap_are_left_to_be_computed(build, runtime, noise, dtype):
    kind = np.dtype(dtype).name
    text = f"(float[N] x) => (float[N] y, {kind} f) {{ m = Mul(a, a) f = Mul(m, a) y = Relu(x) }}"
    proto = build(text, a=dtype(2 ** (np.iinfo(dtype).bits // 2 + 3) + 1))
    assert computed(proto, noise(2))[1] == runtime(proto, noise(2))[1]
