"""Bodies that run again and again: what they make is added up as a plain sum over their turns."""

import numpy as np
import pytest
from onnx import numpy_helper

from onnxattr.errors import LimitError
from onnxattr.graph.budget import require_budget
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.limits import Limits

#: Bytes of one image, which is what the graphs below start from.
ONE = 4 * 3 * 8 * 8

#: The condition that a body makes anew.
FLAG = 1

STATE = "float[a,b,c,d]"
YES = {"yes": np.array(True)}
GROWS = "t2 = Concat <axis=2> (t, x)"
DOUBLES = "t2 = Concat <axis=2> (t, t)"


def net(build, text, **stored):
    return load(build(f"(float[N,3,8,8] x) => (float[e,f,g,h] y) {{ {text} }}", **stored))


def loop(build, body, trips, *, goes="on = Identity(go)", behind="y = Identity(l)", **stored):
    text = f"""l = Loop <body = turn (int64 i, bool go, {STATE} t) => (bool on, {STATE} t2)
        {{ {goes} {body} }}> (n, yes, x) {behind}"""
    return net(build, text, n=np.array(trips), **YES, **stored)


def passes(model, **limits):
    try:
        require_budget(model, image_input(model), Limits(**limits))
    except LimitError:
        return False
    return True


def costs(model, exact):
    """Whether one pass over a model takes this many bytes, no more and no less."""
    return passes(model, tensors=exact) and not passes(model, tensors=exact - 1)


@pytest.mark.parametrize("trips", [1, 2, 5, 9])
@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("t2 = Relu(t)", lambda turn: 1),
        (GROWS, lambda turn: turn + 1),
        (DOUBLES, lambda turn: 2**turn),
        ("t2 = MaxPool <kernel_shape=[2,2], strides=[2,2]> (t)", None),
    ],
)
def test_what_a_loop_carries_is_followed(build, runtime, body, size, trips):
    if size is None:
        trips = min(trips, 3)  # of eight pixels no more than one is left
        size = lambda turn: 4.0**-turn  # noqa: E731
    model = loop(build, body, trips)
    inside = sum(ONE * size(turn) + FLAG for turn in range(1, trips + 1))
    # The loop's own output, and the copy of it.
    assert costs(model, int(inside + 2 * ONE * size(trips)))
    (y,) = runtime(model.proto, np.zeros((1, 3, 8, 8), np.float32))
    assert y.nbytes == ONE * size(trips)


@pytest.mark.parametrize("trips", [65, 100, 300])
def test_a_long_loop_is_never_taken_for_more_than_it_is(build, trips):
    """It is followed for a while only; what is beyond counts as what was last seen."""
    model = loop(build, GROWS, trips)
    exact = sum(ONE * (turn + 1) + FLAG for turn in range(1, trips + 1))
    seen = sum(ONE * (turn + 1) + FLAG for turn in range(1, 66))
    assert passes(model, tensors=exact + 2 * ONE * (trips + 1))
    assert not passes(model, tensors=seen - 1)


def test_what_follows_a_loop_has_a_size(build):
    model = loop(build, DOUBLES, 3, behind="y = Concat <axis=1> (l, l, l, l)")
    assert costs(model, ONE * (2 + 4 + 8) + 3 * FLAG + ONE * 8 + ONE * 8 * 4)


def test_loops_one_after_the_other(build):
    second = f"""y = Loop <body = next (int64 j, bool g, {STATE} u) => (bool o, {STATE} u2)
        {{ o = Identity(g) u2 = Concat <axis=2> (u, u) }}> (n, yes, l)"""
    model = loop(build, DOUBLES, 2, behind=second)
    assert costs(model, ONE * (2 + 4) + 2 * FLAG + ONE * 4 + ONE * (8 + 16) + 2 * FLAG + ONE * 16)


def test_a_loop_in_a_loop(build):
    inner = f"""t2 = Loop <body = next (int64 j, bool g, {STATE} u) => (bool o, {STATE} u2)
        {{ o = Identity(g) u2 = Concat <axis=2> (u, u) }}> (n, yes, t)"""
    model = loop(build, inner, 2)
    turns = [ONE * (s * 2 + s * 4) + 2 * FLAG + ONE * s * 4 + FLAG for s in (1, 4)]
    assert costs(model, sum(turns) + 2 * ONE * 16)


def test_a_condition_may_end_it_early_so_nothing_is_known_of_what_follows(build, runtime):
    model = loop(build, DOUBLES, 4, goes="on = Less(i, one)", one=np.array(1))
    (y,) = runtime(model.proto, np.zeros((1, 3, 8, 8), np.float32))
    assert y.nbytes == 4 * ONE
    assert costs(model, ONE * (2 + 4 + 8 + 16) + 4 * FLAG)
    # What stays as it is is known.
    model = loop(build, "t2 = Relu(t)", 4, goes="on = Less(i, one)", one=np.array(1))
    assert costs(model, 4 * (ONE + FLAG) + 2 * ONE)


def test_claims_of_a_body_do_not_count(build):
    model = loop(build, "t2 = Relu(t)", 3)
    for value in (v for n in model.proto.graph.node for a in n.attribute for v in a.g.input):
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_value = 1
    assert costs(model, 3 * (ONE + FLAG) + 2 * ONE)


def test_what_a_loop_collects(build):
    text = f"""l, all = Loop <body = turn (int64 i, bool go, {STATE} t) =>
        (bool on, {STATE} t2, {STATE} s) {{ on = Identity(go) t2 = Relu(t) s = Neg(t) }}>
        (n, yes, x) y = ReduceMax <axes=[0], keepdims=0> (all)"""
    model = net(build, text, n=np.array(5), **YES)
    assert costs(model, 5 * (2 * ONE + FLAG) + ONE + 5 * ONE + ONE)


@pytest.mark.parametrize("trips", [0, -1, -(2**63)])
def test_a_loop_without_turns_gives_what_it_got(build, trips):
    assert costs(loop(build, DOUBLES, trips), 2 * ONE)


def test_turns_are_counted(build):
    model = loop(build, "t2 = Relu(t)", 40)
    assert passes(model, iterations=40)
    with pytest.raises(LimitError, match=r"its Loop would take 40 turns, and 39 are allowed"):
        require_budget(model, image_input(model), Limits(iterations=39))


def test_turns_of_turns_are_counted(build):
    inner = f"""t2 = Loop <body = next (int64 j, bool g, {STATE} u) => (bool o, {STATE} u2)
        {{ o = Identity(g) u2 = Relu(u) }}> (n, yes, t)"""
    model = loop(build, inner, 7)
    assert passes(model, iterations=7 + 49)
    assert not passes(model, iterations=7 + 49 - 1)


@pytest.mark.parametrize(("axis", "turns"), [(1, 3), (2, 8), (-1, 8)])
def test_turns_of_a_scan_are_counted(build, axis, turns):
    text = f"""s = Scan <num_scan_inputs = 1, scan_input_axes = [{axis}], body = b
        (float[k,l,m] u) => (float[k,l,m] v) {{ v = Relu(u) }}> (x) y = Identity(s)"""
    model = net(build, text)
    assert passes(model, iterations=turns)
    assert not passes(model, iterations=turns - 1)


@pytest.mark.parametrize(
    ("split", "parts"), [(None, 8), (1, 8), (3, 3), (8, 1), ([1, 2, 5], 3), (100, 1)]
)
def test_parts_of_a_sequence_are_counted(build, split, parts):
    stored = {} if split is None else {"s": np.array(split)}
    text = f"""q = SplitToSequence <axis=2> (x{", s" if stored else ""})
        y = ConcatFromSequence <axis=2> (q)"""
    model = net(build, text, **stored)
    assert passes(model, iterations=parts)
    with pytest.raises(LimitError, match=f"make a sequence of {parts} tensors"):
        require_budget(model, image_input(model), Limits(iterations=parts - 1))


ENDLESS = {
    "on = Identity(go)": True,
    "k = Identity(go) on = Identity(k)": True,
    "on = Identity(yes)": True,
    "on = Constant <value = bool {1}> ()": True,
    "on = Constant <value = bool {0}> ()": False,
    "on = Less(i, n)": False,
    "on = Not(go)": False,
}


def _unbounded(goes, start="yes"):
    return f"""l = Loop <body = turn (int64 i, bool go, {STATE} t) => (bool on, {STATE} t2)
        {{ {goes} t2 = Relu(t) }}> (, {start}, x)"""


@pytest.mark.parametrize(("goes", "endless"), ENDLESS.items())
def test_a_loop_that_never_ends(build, goes, endless):
    model = net(build, f"{_unbounded(goes)} y = Identity(l)", n=np.array(5), **YES)
    if endless:
        with pytest.raises(LimitError, match="its Loop never ends"):
            require_budget(model, image_input(model), Limits())
    else:
        assert passes(model)


def test_a_loop_that_never_begins_is_not_endless(build):
    text = f"{_unbounded('on = Identity(go)', 'no')} y = Identity(l)"
    assert passes(net(build, text, no=np.array(False)))


def test_an_endless_loop_may_be_in_a_branch(build):
    branch = _unbounded("on = Identity(go)").replace("l = Loop", "z = Loop")
    text = f"""y = If (yes) <then_branch = g1 () => ({STATE} w) {{ w = Relu(x) }},
        else_branch = g2 () => ({STATE} z) {{ {branch} }}>"""
    assert passes(net(build, text, **YES))


def test_an_endless_loop_in_a_loop_is_found(build):
    inner = _unbounded("o = Identity(g)").replace("l = Loop", "t2 = Loop")
    inner = inner.replace("(int64 i, bool go", "(int64 j, bool g").replace("bool on", "bool o")
    inner = inner.replace(f"{STATE} t)", f"{STATE} u)").replace(f"{STATE} t2)", f"{STATE} u2)")
    inner = inner.replace("t2 = Relu(t)", "u2 = Relu(u)").replace("yes, x", "yes, t")
    model = loop(build, inner, 2)
    with pytest.raises(LimitError, match="never ends"):
        require_budget(model, image_input(model), Limits())


def test_a_max_unpool_is_as_large_as_it_is_told(build, runtime, noise):
    text = """p, i = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)
        y = MaxUnpool <kernel_shape=[2,2], strides=[2,2]> (p, i, s)"""
    model = net(build, text, s=np.array([1, 3, 9, 9]))
    (y,) = runtime(model.proto, noise(1, 3, 8, 8))
    assert y.shape == (1, 3, 9, 9)
    # Values and places, which are twice as wide, of a quarter; and the output.
    assert costs(model, ONE // 4 + ONE // 2 + y.nbytes)


def test_weights_of_a_body_may_be_sizes(build):
    model = loop(build, "t2 = Tile(t, r)", 2, r=np.array([1, 1, 2, 1]))
    assert costs(model, ONE * (2 + 4) + 2 * FLAG + 2 * ONE * 4)
    inner = model.proto.graph.node[0].attribute[0].g
    moved = next(t for t in model.proto.graph.initializer if t.name == "r")
    assert numpy_helper.to_array(moved).tolist() == [1, 1, 2, 1]
    inner.initializer.append(moved)
    model.proto.graph.initializer.remove(moved)
    assert costs(load(model.proto), ONE * (2 + 4) + 2 * FLAG + 2 * ONE * 4)
