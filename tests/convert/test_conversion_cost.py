"""What a conversion costs grows as its graph does: in calls of functions, not in seconds."""

import itertools
import sys

import numpy as np
import pytest

import onnxattr

#: A link of a chain, from the value {0} to {1}, and what it stores.
LINKS = {
    "Relu": ("{1} = Relu({0})", {}),
    "Softmax": ("{1} = Softmax({0})", {}),
    "Cast": ("{1} = Cast<to=1>({0})", {}),
    "Identity": ("{1} = Identity({0})", {}),
    "a weight for all": ("{1} = Add({0}, w)", {"w": np.ones(4, np.float32)}),
    "a weight of its own": ("{1} = Add({0}, w{0})", {"w{0}": np.ones(4, np.float32)}),
    "numbers of its own": ("{1} = Reshape({0}, s{0})", {"s{0}": np.array([0, 4])}),
    "numbers that follow": ("s{0} = Shape({0}) {1} = Reshape({0}, s{0})", {}),
}


def calls(proto):
    """Returns how many functions a conversion calls, those of C among them."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        onnxattr.to_torch(proto)
    finally:
        sys.setprofile(before)
    return count


def chain(build, link, stored, length):
    values = [f"h{i}" for i in range(length + 1)]
    body = " ".join(link.format(a, b) for a, b in itertools.pairwise(values))
    weights = {name.format(value): array for name, array in stored.items() for value in values}
    text = f"(float[N,4] x) => (float[N,4] y) {{ h0 = Relu(x) {body} y = Relu({values[-1]}) }}"
    return build(text, **weights)


@pytest.mark.parametrize(("link", "stored"), LINKS.values(), ids=LINKS)
def test_twice_the_nodes_cost_twice_as_much(build, link, stored):
    short, long = (chain(build, link, stored, length) for length in (200, 400))
    calls(short)  # what is cached of an operator once and for all
    assert calls(long) / calls(short) < 2.05


def test_a_chain_of_casts_to_its_own_type_is_followed_once(build):
    body = " ".join(f"h{i + 1} = CastLike(h{i}, h{i})" for i in range(64))
    text = f"(float[N,4] x) => (float[N,4] y) {{ h0 = Softmax(x) {body} y = Relu(h64) }}"
    assert onnxattr.to_torch(build(text)) is not None
