"""What is refused for its attributes, types or shapes is named before anything is run."""

import time

import numpy as np
import pytest
import torch

import onnxattr
from onnxattr.convert.refusals import refusals
from onnxattr.errors import SupportError
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise

IMPORTS = ', "com.acme" : 1, "com.microsoft" : 1'


def found(proto):
    """What is refused, and what was not checked."""
    result = refusals(normalise(load(proto)))
    return (
        {(r.operator, r.nodes, r.certain) for r in result.refused},
        {(u.operator, u.nodes) for u in result.unchecked},
    )


def named(proto):
    """Names nodes, at any depth, by their outputs."""
    graphs = [proto.graph]
    for graph in graphs:
        for node in graph.node:
            node.name = f"/{node.output[0]}"
            graphs += [a.g for a in node.attribute if a.HasField("g")]
    return proto


def test_all_of_them_at_once_by_their_names(build, tmp_path, noise):
    text = """(float[N,3,8,8] x) => (float[a,b,d,e] y) {
        up = Resize<mode="bilinear">(x, , s)
        odd = com.microsoft.Gelu<degree=1>(up)
        pool = LpPool<kernel_shape=[2,2], auto_pad="ODD">(odd)
        strange = com.acme.Odd(pool)
        again = Resize<mode="bilinear">(strange, , s)
        conv = Conv(again, w)
        y = Relu(conv) }"""
    proto = named(build(text, imports=IMPORTS, s=np.float32([1, 1, 2, 2]), w=noise(4, 3, 1, 1)))
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (model,) = onnxattr.inspect([tmp_path / "net.onnx"], at="output").models
    assert [(u.operator, u.nodes) for u in model.unsupported] == [("com.acme.Odd", ("/strange",))]
    # Behind a stranger's operator shapes are guessed, and nothing is certain.
    assert [(r.operator, r.nodes, r.reason, r.certain) for r in model.refused] == [
        ("Gelu", ("/odd",), "the attribute `degree`", True),
        ("LpPool", ("/pool",), "auto_pad `ODD`", False),
        ("Resize", ("/again",), "Resize with mode `bilinear`", False),
        ("Resize", ("/up",), "Resize with mode `bilinear`", True),
    ]
    assert len(model.problems) == 3
    assert not model.unchecked


def test_what_can_be_run_is_not_refused(image_net):
    assert found(image_net()) == (set(), set())


def test_what_does_not_fit_is_told_in_the_words_of_torch(build, noise):
    text = "(float[1,3,8,8] x) => (float[a,b,c,d] y) { h = Relu(x) y = Conv(h, w) }"
    proto = named(build(text, w=noise(4, 5, 1, 1)))
    assert found(proto) == ({("Conv", ("/y",), True)}, set())
    with pytest.raises(RuntimeError):
        onnxattr.to_torch(proto)(torch.zeros(1, 3, 8, 8))


def test_values_that_must_be_read_are_no_refusal(build):
    text = """(float[2,4] x, int64[2] s, float[4] r) => (float[2,4] y, float[a,b] z) {
        h = Reshape(x, s) y = Add(h, r) places = NonZero(x) z = Cast<to=1>(places) }"""
    refused, unchecked = found(named(build(text)))
    assert not refused
    # Of the sum nobody knows the shape, either.
    assert unchecked == {("Reshape", ("/h",)), ("Add", ("/y",)), ("NonZero", ("/places",)),
                         ("Cast", ("/z",))}  # fmt: skip


def test_behind_values_that_must_be_read_onnx_knows_shapes(build):
    text = """(float[1,6,4] x, int64[1] a) => (float[1,6,2] y) {
        n = CumSum(x, a) y = LpPool<kernel_shape=[2], strides=[2], auto_pad="ODD">(n) }"""
    refused, unchecked = found(named(build(text)))
    assert unchecked == {("CumSum", ("/n",))}
    assert refused == {("LpPool", ("/y",), True)}


BRANCH = """(float[1,4,2,2] x, bool c) => (float[a,b,d,e] y) { CONDITION y = If (c2) <
    then_branch = a () => (float[1,4,2,2] p) { p = DepthToSpace<mode="ODD", blocksize=1>(x) },
    else_branch = b () => (float[1,4,2,2] q) { q = Relu(x) }> }"""


@pytest.mark.parametrize(
    ("condition", "certain"),
    [("c2 = Not(c)", [False]), ("c2 = Constant<value=bool {1}>()", [True]),
     ("c2 = Constant<value=bool {0}>()", [])],
)  # fmt: skip
def test_a_branch_is_refused_for_certain_if_it_is_taken(build, condition, certain):
    refused, _ = found(named(build(BRANCH.replace("CONDITION", condition))))
    assert [sure for _, _, sure in refused] == certain


LOOP = """(float[1,4,2,2] x, int64 n, bool c) => (float[1,4,2,2] y) { y = Loop(COUNT, , x) <
    body = b (int64 i, bool k, float[1,4,2,2] s) => (bool l, float[1,4,2,2] t) {
        l = Identity(k) t = DepthToSpace<mode="ODD", blocksize=1>(s) }> }"""


@pytest.mark.parametrize(("count", "certain"), [("n", False), ("m", True)])
def test_the_body_of_a_loop_is_refused_for_certain_if_it_runs(build, count, certain):
    stored = {"m": np.int64(7)} if count == "m" else {}
    refused, _ = found(named(build(LOOP.replace("COUNT", count), **stored)))
    assert refused == {("DepthToSpace", ("/t",), certain)}


def test_a_size_that_is_guessed_makes_no_refusal_certain(build):
    text = "(float[N,C,H,W] x) => (float[a,b,d,e] y) { y = LpPool<kernel_shape=[9,9]>(x) }"
    assert found(named(build(text))) == (set(), {("LpPool", ("/y",))})


def test_it_takes_neither_time_nor_memory(build, noise):
    """Its convolution would take a minute, and each tensor 3 TB."""
    text = """(float[1,3,500000,500000] x) => (float[a,b,c,d] y) {
        h = Conv<pads=[1,1,1,1]>(x, w) y = LpPool<kernel_shape=[2,2], auto_pad="ODD">(h) }"""
    dialect = normalise(load(named(build(text, w=noise(3, 3, 3, 3)))))
    start = time.process_time()
    (refused,) = refusals(dialect).refused
    assert refused.nodes == ("/y",)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("text", "when_called", "says"),
    [
        ("y = com.microsoft.Gelu<degree=1>(x)", False, "Gelu `/y`: the attribute `degree`"),
        ("h = com.microsoft.Gelu<degree=1>(x) y = com.microsoft.Gelu<degree=1>(h)", False,
         "Gelu `/h`, Gelu `/y`: the attribute `degree`"),
        ('y = LpPool<kernel_shape=[2], auto_pad="ODD">(x)', True, "LpPool `/y`: auto_pad `ODD`"),
    ],
)  # fmt: skip
def test_an_error_names_the_node(build, text, when_called, says):
    graph = f"(float[1,2,4] x) => (float[a,b,c] y) {{ {text} }}"
    proto = named(build(graph, imports=IMPORTS))
    module = onnxattr.to_torch(proto) if when_called else None
    with pytest.raises(SupportError, match=says) as caught:
        module(torch.zeros(1, 2, 4)) if module else onnxattr.to_torch(proto)
    assert "\n" not in str(caught.value)


def test_a_reason_is_short_whatever_the_attribute(build):
    text = "(float[1,2,4] x) => (float[a,b,c] y) { y = LpPool<kernel_shape=[2]>(x) }"
    proto = build(text)
    proto.graph.node[0].attribute.add(name="auto_pad", type=3, s=b"long" * 10_000)
    (refused,) = refusals(normalise(load(proto))).refused
    assert refused.reason.startswith("auto_pad `longlong")
    assert len(refused.reason) < 500


def test_branches_with_unlike_outputs_stop_nothing(build):
    """ONNX Runtime refuses them, and says so."""
    proto = build(BRANCH.replace("CONDITION", "c2 = Constant<value=bool {1}>()"))
    for attribute in proto.graph.node[1].attribute:
        given = attribute.g.output[0]
        attribute.g.output.add(name=f"{given.name}2", type=given.type)
        attribute.g.node.add(op_type="Identity", input=[given.name], output=[f"{given.name}2"])
    (refused,) = refusals(normalise(load(proto))).refused
    assert refused.operator == "DepthToSpace"
