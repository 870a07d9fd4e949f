"""The end of a graph, as `inspect` draws it."""

import numpy as np

from onnxattr.graph.load import load
from onnxattr.graph.outputs import representation
from onnxattr.graph.tail import tail
from onnxattr.report.tail import tail_lines
from onnxattr.types import InputSpec

SPEC = InputSpec("x", "NCHW", 8, 8)

W = {"k": np.ones((4, 3, 3, 3), np.float32), "w": np.ones((4, 2), np.float32)}
NET = """(float[N,3,8,8] x) => (float[a,b] y) {
    c = Conv(x, k) r = Relu(c) g = GlobalAveragePool(r) f = Flatten(g) h = Gemm(f, w)
    y = Softmax(h) }"""


def drawn(build, text, at="feature", **weights):
    model = load(build(text, **weights))
    return tail(model, representation(model, at, SPEC), SPEC)


def test_the_last_nodes_with_shapes_of_one_probe(build):
    nodes = drawn(build, NET, **W)
    assert [(n.op_type, n.value, n.shape) for n in nodes] == [
        ("Conv", "c", "float32[1,4,6,6]"),
        ("Relu", "r", "float32[1,4,6,6]"),
        ("GlobalAveragePool", "g", "float32[1,4,1,1]"),
        ("Flatten", "f", "float32[1,4]"),
        ("Gemm", "h", "float32[1,2]"),
        ("Softmax", "y", "float32[1,2]"),
    ]
    assert [n.value for n in nodes if n.chosen] == ["f"]
    assert [n.value for n in nodes if n.output] == ["y"]
    assert not any(n.skipped for n in nodes)


def test_a_chosen_tensor_that_is_far_away_comes_first(build):
    steps = " ".join(f"t{i} = Tanh({f't{i - 1}' if i else 'c'})" for i in range(12))
    text = f"(float[N,3,8,8] x) => (float[a,b,d,e] t11) {{ c = Conv(x, k) {steps} }}"
    nodes = drawn(build, text, at="t1", k=W["k"])
    assert [n.value for n in nodes] == ["t1", *(f"t{i}" for i in range(4, 12))]
    assert [n.skipped for n in nodes] == [0, 2, *[0] * 7]
    assert nodes[0].chosen
    assert ": 2 more nodes" in list(tail_lines(nodes))


def test_every_output_is_drawn_and_arithmetic_of_shapes_is_not(build):
    text = """(float[N,3,8,8] x) => (float[a,b,d,e] p, float[f,g] q) {
        p = Conv(x, k) s = Shape(p) i = Gather(s, zero) j = Unsqueeze(i, axes)
        t = Concat<axis=0>(j, m) q = Reshape(p, t) }"""
    stored = {"zero": np.array(0), "axes": np.array([0]), "m": np.array([-1])}
    nodes = drawn(build, text, k=W["k"], **stored)
    assert [(n.value, n.output, n.chosen) for n in nodes] == [
        ("p", True, True),
        ("q", True, False),
    ]
    assert nodes[1].shape == "float32[1,144]"


def test_without_a_choice_and_without_shapes(build):
    nodes = tail(load(build(NET, **W)), None, None, shapes=False)
    assert [n.shape for n in nodes] == [""] * 6
    assert not any(n.chosen for n in nodes)


def test_the_drawing(build):
    lines = list(tail_lines(drawn(build, NET, **W)))
    assert lines == [
        "| Conv               float32[1,4,6,6]",
        "| Relu               float32[1,4,6,6]",
        "| GlobalAveragePool  float32[1,4,1,1]",
        "* Flatten            float32[1,4]      <- attributed",
        "| Gemm               float32[1,2]",
        "| Softmax            float32[1,2]      -> output `y`",
    ]


def test_names_of_a_file_cannot_move_the_cursor(build):
    proto = build(NET, **W)
    proto.graph.node[-1].name = "a\x1b[31m\nb"
    model = load(proto)
    lines = list(tail_lines(tail(model, representation(model), SPEC)))
    assert len(lines) == 6
    assert "\x1b" not in lines[-1]
    assert "\n" not in lines[-1]
