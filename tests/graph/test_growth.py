"""Lists of numbers that grow by joining are found before inference takes them along."""

import numpy as np

import onnxattr
from onnxattr.graph.growth import numbers_stay_few


def test_a_list_that_is_joined_with_itself(build):
    joined = " ".join(f"s{i + 1} = Concat<axis = 0>(s{i}, s{i})" for i in range(60))
    proto = build(
        "(float[N,3] x) => (float[N,3] y, int64[K] z) { s0 = Shape(x) "
        + joined
        + " z = Identity(s60) y = Identity(x) }"
    )
    assert not numbers_stay_few(proto.graph)
    # Inference that took the numbers along would take all memory here.
    assert onnxattr.to_torch(proto) is not None


def test_what_networks_do_with_shapes(build):
    text = """(float[N,3,4,4] x) => (float[a,b] y) {
        s = Shape(x) n = Gather(s, zero) u = Unsqueeze(n, axes) t = Concat<axis = 0>(u, minus)
        y = Reshape(x, t) }"""
    weights = {"zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1])}
    assert numbers_stay_few(build(text, **weights).graph)


def test_dense_networks_join_what_they_computed(build, noise):
    """Each layer takes all before it: what it makes of them is new, and not as long as they are."""
    layers, taken = [], ["x"]
    for i in range(60):
        layers.append(f"c{i} = Concat<axis = 1>({', '.join(taken)}) r{i} = Relu(c{i})")
        layers.append(f"m{i} = ReduceMean<axes = [1]>(r{i})")
        taken.append(f"m{i}")
    text = f"(float[N,3,4,4] x) => (float[N,1,4,4] y) {{ {' '.join(layers)} y = Identity(m59) }}"
    assert numbers_stay_few(build(text).graph)
