"""What the graph says of nodes: what moves, gates, cannot be negative, or comes first."""

import time

import numpy as np
import pytest
from onnx import numpy_helper, parser

import onnxattr.attribution.rules.operators  # noqa: F401 - fills the table
from onnxattr.attribution.rules.graph import bearing, facts
from onnxattr.attribution.rules.table import GATE, SIGNAL, WEAK_GATE
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise

STORED = {
    "zero": 0.0, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "half": 0.5, "minus": -1.0,
    "row": [0.5, -0.5, 0.25, 1.0], "plus": [0.5, 0.5, 0.25, 1.0],
    "w": np.eye(4), "ax": np.array([0]), "less": -0.5,
}  # fmt: skip


def analysed(body, *, opset=17):
    """The facts of each node of a graph, by its first output, and what relevance reaches."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}]> g'
    proto = parser.parse_model(f"{header} (float[2,4] x) => (float[a,b] y) {{ {body} }}")
    for name, value in STORED.items():
        kind = np.int64 if name == "ax" else np.float32
        if any(name in node.input for node in proto.graph.node):
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), name))
    dialect = normalise(load(proto))
    graph = dialect.proto.graph
    found = facts(graph, dialect.stored, [v.name for v in graph.input])
    names = {n.name: dialect.names.values.get(n.output[0], n.op_type) for n in graph.node}
    reached = {names[name] for name in bearing(graph, found)}
    return {names[name]: known for name, known in found.items()}, reached


GATES = {
    "g = Sigmoid(x)": GATE,
    "g = HardSigmoid(x)": GATE,
    "g = Softmax(x)": GATE,
    "g = Tanh(x)": WEAK_GATE,
    "g = Erf(x)": WEAK_GATE,
    "a = Tanh(x) g = Mul(a, half)": WEAK_GATE,
    "a = Tanh(x) g = Add(a, one)": GATE,
    "a = Erf(x) b = Add(one, a) g = Mul(half, b)": GATE,
    "a = Sigmoid(x) g = Sub(one, a)": GATE,
    "a = Sigmoid(x) b = Softmax(x) g = Mul(a, b)": GATE,
    "a = Sigmoid(x) b = Tanh(x) g = Mul(a, b)": SIGNAL,
    "a = Clip(x, zero, one) g = Identity(a)": GATE,
    "a = Add(x, three) g = Clip(a, zero, six)": GATE,
    "a = Add(x, three) b = Clip(a, zero, six) g = Div(b, six)": GATE,
    "g = Clip(x, zero, six)": SIGNAL,
    "a = Add(x, two) g = Clip(a, zero, six)": SIGNAL,
    "a = Sigmoid(x) g = Transpose(a)": GATE,
    "a = Sigmoid(x) b = Unsqueeze(a, ax) g = Squeeze(b, ax)": GATE,
    "a = Exp(x) b = ReduceSum(a, ax) g = Div(a, b)": GATE,
    "a = Exp(x) b = ReduceSum(x, ax) g = Div(a, b)": SIGNAL,
    "a = Tanh(x) g = Add(a, row)": SIGNAL,
    "a = Sigmoid(x) b = Add(a, x) g = Identity(b)": SIGNAL,
    "g = Relu(x)": SIGNAL,
    "g = Neg(x)": SIGNAL,
}


@pytest.mark.parametrize("body", GATES)
def test_the_rank_of_a_value(body):
    found, _ = analysed(f"{body} y = Mul(g, x)")
    assert found["y"].ranks == (GATES[body], SIGNAL)


MOVING = {
    "g = Identity(x)": True,
    "g = Relu(x)": True,
    # What is stored, computed from it, or from sizes.
    "g = Add(one, two)": False,
    "s = Shape(x) g = Cast<to = 1>(s)": False,
    # What only chooses.
    "c = Greater(x, zero) g = Cast<to = 1>(c)": False,
    "c = Greater(x, zero) g = Where(c, one, two)": False,
    "c = Greater(x, zero) g = Where(c, x, two)": True,
    # What divides.
    "g = Reciprocal(x)": False,
    "g = Div(one, x)": False,
    "g = Pow(x, less)": False,
    "g = Pow(x, two)": True,
    "g = Floor(x)": False,
}


@pytest.mark.parametrize("body", MOVING)
def test_what_moves(body):
    found, _ = analysed(f"{body} y = Mul(g, x)")
    assert found["y"].moving == (MOVING[body], True)


NONNEGATIVE = {
    "g = Relu(x)": True,
    "g = Sigmoid(x)": True,
    "g = Clip(x, zero, six)": True,
    "g = Clip(x, minus, six)": False,
    "a = Relu(x) g = Clip(a, minus, six)": True,
    "g = Abs(x)": True,
    "g = Identity(x)": False,
    "g = Neg(x)": False,
    "a = Relu(x) b = Abs(x) g = Add(a, b)": True,
    "a = Relu(x) g = Add(a, x)": False,
    "a = Relu(x) g = Add(a, plus)": True,
    "a = Relu(x) g = Add(a, row)": False,
    "a = Relu(x) g = Mul(a, plus)": True,
    "a = Relu(x) g = Sub(a, plus)": False,
    "a = Relu(x) b = Sigmoid(x) g = Concat<axis = 0>(a, b)": True,
    "a = Relu(x) g = Concat<axis = 0>(a, x)": False,
    "a = Relu(x) b = Unsqueeze(a, ax) g = Squeeze(b, ax)": True,
    "g = Pow(x, two)": True,
    "g = Pow(x, three)": False,
    "g = Tanh(x)": False,
}


@pytest.mark.parametrize("body", NONNEGATIVE)
def test_what_cannot_be_negative(body):
    found, _ = analysed(f"{body} y = MatMul(g, w)")
    assert found["y"].nonnegative == NONNEGATIVE[body]


def test_only_layers_without_a_layer_before_them_are_first():
    found, _ = analysed(
        "a = MatMul(x, w) b = MatMul(x, w) c = Relu(a) d = MatMul(c, w) e = Add(x, d) "
        "f = MatMul(e, w) g = Mul(x, two) h = MatMul(g, w) i = Add(f, b) j = Add(i, h) y = Relu(j)"
    )
    assert {name for name, known in found.items() if known.first} == {"a", "b", "h"}


def test_a_product_with_weights_that_move_is_no_layer():
    found, _ = analysed("t = Transpose(x) a = MatMul(x, t) b = MatMul(t, x) y = MatMul(a, a)")
    assert not any(known.first for known in found.values())
    assert found["a"].moving == (True, True)


def test_relevance_does_not_reach_what_gates_divides_or_chooses():
    _, reached = analysed(
        "a = Log(x) g = Sigmoid(a) p = Mul(x, g) b = Abs(x) d = Add(b, one) q = Div(p, d) "
        "m = Exp(x) c = Greater(m, one) y = Where(c, q, p)"
    )
    assert {"p", "q", "y"} <= reached
    assert reached.isdisjoint({"a", "g", "b", "d", "m", "c"})


def test_it_takes_time_in_proportion_to_the_graph():
    count = 20_000
    body = " ".join(f"v{i + 1} = {'Relu' if i % 2 else 'Tanh'}(v{i})" for i in range(count))
    header = '<ir_version: 8, opset_import: ["" : 17]> g'
    graph = parser.parse_model(
        f"{header} (float[2] v0) => (float[2] y) {{ {body} y = Identity(v{count}) }}"
    ).graph
    for i, node in enumerate(graph.node):
        node.name = f"n{i}"
    graph.node[-1].op_type = "Outputs"
    start = time.process_time()
    found = facts(graph, {}, ["v0"])
    assert len(bearing(graph, found)) == count + 1
    # About 0.3 seconds; were it quadratic, minutes.
    assert time.process_time() - start < 10
