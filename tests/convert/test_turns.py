"""Bodies that run again and again are bounded as the network runs, whatever decides how often."""

import numpy as np
import pytest
import torch

import onnxattr
from onnxattr.convert.parity import Gate, Session
from onnxattr.convert.torch import to_network
from onnxattr.errors import LimitError, ParityError
from onnxattr.graph.load import load
from onnxattr.limits import Limits

STATE = "float[a,b,c,d]"
YES = {"yes": np.array(True), "one": np.array(1)}


def counting(text, *, collects=False):
    """A Loop over `x` that runs as often as the largest pixel says."""
    more, given = (f", {STATE} s", " s = Neg(t)") if collects else ("", "")
    return f"""(float[N,3,8,8] x) => (float[e,f,g,h] y) {{
        m = ReduceMax <keepdims=0> (x) n = Cast <to=7> (m)
        y{", all" if collects else ""} = Loop <body = turn (int64 i, bool go, {STATE} t) =>
            (bool on, {STATE} t2{more}) {{ on = Identity(go) {text}{given} }}> (n, yes, x) }}"""


def of(largest):
    return torch.full((1, 3, 8, 8), float(largest))


def named(proto):
    for node in proto.graph.node:
        node.name = f"the/{node.op_type}"
    return proto


def module(proto, **limits):
    return onnxattr.to_torch(named(proto), limits=Limits(**limits))


def test_as_many_turns_as_are_allowed_and_no_more(build, runtime):
    proto = build(counting("t2 = Relu(t)"), **YES)
    network = module(proto, iterations=9)
    for _ in range(2):  # What one call has spent is not held against the next.
        assert torch.equal(network(of(9)), torch.from_numpy(runtime(proto, of(9).numpy())[0]))
        with pytest.raises(LimitError, match=r"`the/Loop` takes more than the 9 turns") as caught:
            network(of(10))
    assert "--max-iterations" in caught.value.hint


def test_a_loop_that_nothing_ends(build):
    text = f"""(float[N,3,8,8] x) => (float[e,f,g,h] y) {{
        y = Loop <body = turn (int64 i, bool go, {STATE} t) => (bool on, {STATE} t2)
            {{ on = Less(i, far) t2 = Relu(t) }}> (, yes, x) }}"""
    with pytest.raises(LimitError, match="100 turns"):
        module(build(text, far=np.array(2**62), **YES), iterations=100)(of(1))


def test_what_is_inside_is_counted_with_what_is_around_it(build):
    inner = f"""t2 = Loop <body = inner (int64 j, bool g, {STATE} u) => (bool o, {STATE} u2)
        {{ o = Identity(g) u2 = Relu(u) }}> (n, yes, t)"""
    proto = build(counting(inner), **YES)
    assert module(proto, iterations=3 + 9)(of(3)).shape == (1, 3, 8, 8)
    with pytest.raises(LimitError, match="turns that are allowed"):
        module(proto, iterations=3 + 9 - 1)(of(3))


@pytest.mark.parametrize(
    ("body", "collects", "images"),
    [
        ("t2 = Relu(t)", False, 3),
        ("t2 = Concat <axis=2> (t, t)", False, 2 + 4 + 8),
        ("t2 = Relu(t)", True, 3 * 2),
    ],
)
def test_as_many_bytes_as_are_allowed_and_no_more(build, body, collects, images):
    proto = build(counting(body, collects=collects), **YES)
    made = images * of(1).nbytes
    assert module(proto, tensors=made)(of(3)) is not None
    with pytest.raises(LimitError, match=r"`the/Loop` makes tensors of more than the .* GiB"):
        module(proto, tensors=made - 1)(of(3))


def test_a_scan_and_a_map_of_a_sequence_are_bounded_too(build):
    scan = """(float[N,3,8,8] x) => (float[e,f,g,h] y) {
        y = Scan <num_scan_inputs = 1, scan_input_axes = [2], scan_output_axes = [2], body = b
            (float[k,l,m] u) => (float[k,l,m] v) { v = Relu(u) }> (x) }"""
    each = """(float[N,3,8,8] x) => (float[e,f,g,h] y) {
        s = SplitToSequence <axis=2> (x, one)
        t = SequenceMap <body = b (float[k,l,m,n] u) => (float[k,l,m,n] v) { v = Relu(u) }> (s)
        y = ConcatFromSequence <axis=2> (t) }"""
    # As many turns as are not written out.
    x = torch.rand(1, 3, 80, 8)
    for text in (scan, each):
        proto = build(text.replace("N,3,8,8", "N,3,80,8"), one=np.array(1))
        assert torch.equal(module(proto, iterations=80)(x), x)
        with pytest.raises(LimitError, match="79 turns"):
            module(proto, iterations=79)(x)


def test_a_loop_is_refused_before_onnx_runtime_is_asked(build, probes, monkeypatch):
    """It would run as often as a maker likes: it has no such bound."""
    text = f"""(float[N,3,8,8] x) => (float[e,f,g,h] y) {{
        c = Conv(x, w)
        y = Loop <body = turn (int64 i, bool go, {STATE} t) => (bool on, {STATE} t2)
            {{ on = Less(i, far) t2 = Relu(t) }}> (, yes, c) }}"""
    proto = build(text, w=np.ones((3, 3, 1, 1), np.float32), far=np.array(2**62), **YES)
    gate = Gate(to_network(load(proto), limits=Limits(iterations=50)))
    monkeypatch.setattr(Session, "run", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(LimitError, match="50 turns"):
        gate.check(probes(2).images)


@pytest.mark.parametrize("turned", [False, True])
def test_a_maximum_of_the_batch_is_found_wherever_it_is(build, probes, noise, turned):
    text = """(float[N,3,8,8] x) => (float[N,3,a,b] y) {
        h = Conv(x, w) m = ReduceMax <keepdims=0> (h) y = Add(h, m) }"""
    images = np.zeros((2, 12, 12, 3), np.uint8)
    images[0] = 255
    network = to_network(load(build(text, w=np.abs(noise(3, 3, 1, 1)))))
    with pytest.raises(ParityError, match="depends on the other probes of the batch"):
        Gate(network).check(images[::-1].copy() if turned else images)
