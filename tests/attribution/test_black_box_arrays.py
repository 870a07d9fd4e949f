"""Black-box maps of arrays against plain loops and weights."""

from itertools import pairwise, product

import numpy as np
import pytest
from nets import Net, probes
from onnx import helper, numpy_helper
from runtimes import Perceptron, arrays, black_box, images, linear, maps_of, text

from onnxattr.attribution.blackbox import BlackBox
from onnxattr.convert.session import Runtime
from onnxattr.errors import LimitError, ParityError, SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.graph.outputs import representation
from onnxattr.types import TOKENS

METHODS = ["occlusion", "rise:masks=60", "kernel-shap:samples=300"]


def weighted(weight, kind="float", batch="N"):
    """w ⊙ x, of one axis at least; an empty batch is no axis at all."""
    dtype = helper.tensor_dtype_to_np_dtype({"float": 1, "float16": 10, "double": 11}[kind])
    axes = ",".join(str(size) for size in (batch, *weight.shape) if size != "")
    body = f"({kind}[{axes}] x) => ({kind}[{axes}] y) {{ y = Mul(x, w) }}"
    return text(body, w=weight.astype(dtype))


def slowly(total, x, runs, fill):
    """T(x) − T(x with a cell hidden), over the cell's places; `runs` are the edges of each axis."""
    found = np.zeros(x.shape)
    for cell in product(*[pairwise(edges) for edges in runs]):
        here = tuple(slice(*edges) for edges in cell)
        hidden = x.astype(float).copy()
        hidden[here] = fill
        found[here] = (total(x) - total(hidden)) / x[here].size
    return found


def even(size, count):
    return [round(i * size / count) for i in range(count + 1)]


@pytest.mark.parametrize("fill", ["auto", "mean", "zero"])
@pytest.mark.parametrize(
    ("shape", "counts"),
    [((5,), (5,)), ((100,), (64,)), ((4, 80), (4, 16)), ((3, 10, 20), (3, 4, 4))],
)
def test_occlusion_of_a_net_against_plain_loops(shape, counts, fill):
    net, some = Perceptron(*shape, scale=0.2), arrays(2, *shape)
    found = maps_of(net.onnx(), some, at="output", method=f"occlusion:fill={fill}")
    runs = [even(size, count) for size, count in zip(shape, counts, strict=True)]
    for values, x in zip(found, some, strict=True):
        expected = slowly(net.total, x, runs, x.mean() if fill == "mean" else 0.0)
        np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("span", [2, 3])
def test_overlapping_patches_of_features(span):
    net, some = Perceptron(7), arrays(1, 7)
    (found,) = maps_of(net.onnx(), some, at="output", method=f"occlusion:span={span}")
    sums, counts = np.zeros(7), np.zeros(7)
    for start in range(7 - span + 1):
        hidden = some[0].astype(float).copy()
        hidden[start : start + span] = 0
        sums[start : start + span] += (net.total(some[0]) - net.total(hidden)) / span
        counts[start : start + span] += 1
    np.testing.assert_allclose(found, sums / counts, atol=1e-5)


@pytest.mark.parametrize("batch", ["N", 1, 3, ""])
@pytest.mark.parametrize("kind", ["float", "double", "float16"])
@pytest.mark.parametrize("method", ["occlusion", "kernel-shap:samples=62"])
def test_of_a_linear_model_it_is_weights_times_input(batch, kind, method):
    weight, some = arrays(1, 2, 3, seed=1)[0], arrays(2, 2, 3)
    found = maps_of(weighted(weight, kind, batch), some, at="output", method=method)
    tolerance = 2e-2 if kind == "float16" else 1e-5
    np.testing.assert_allclose(found, weight * some, atol=tolerance * np.abs(weight * some).max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_gives_the_maps_of_a_free_one(method, batch):
    net, some = Perceptron(3, 4), arrays(5, 3, 4)
    free = maps_of(net.onnx(), some, at="output", method=method, seed=1)
    found = maps_of(net.onnx(batch), some, at="output", method=method, seed=1)
    np.testing.assert_allclose(found, free, atol=2e-5 * np.abs(free).max())
    for size in (1, 7):
        found = maps_of(net.onnx(), some, at="output", method=method, seed=1, batch_size=size)
        np.testing.assert_allclose(found, free, atol=2e-5 * np.abs(free).max())


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_mixes_its_batch_is_run_on_one_array_at_a_time(method):
    body = """(float[N,4] x) => (float[N,4] y)
    { a = Mul(x, w) b = Softmax<axis = 0>(a) c = Mul(a, b) y = Tanh(c) }"""
    weight, some = arrays(1, 4, seed=3)[0], arrays(3, 4)
    found = maps_of(text(body, w=weight), some, at="output", method=method)
    alone = """(float[N,4] x) => (float[N,4] y) { a = Mul(x, w) y = Tanh(a) }"""
    expected = maps_of(text(alone, w=weight), some, at="output", method=method)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_array_of_one_value_is_told_from_another():
    """What a model sees is asked of its negative in its range; of equal values, of others."""
    maker = black_box(weighted(np.ones(4, np.float32)), at="output", shape=(4,))
    assert maker.sees(np.full((1, 4), 3.0, np.float32))
    assert maker.sees(np.zeros((1, 4), np.float32))
    blind = black_box(weighted(np.zeros(4, np.float32)), at="output", shape=(4,))
    assert not blind.sees(arrays(1, 4))


@pytest.mark.parametrize("method", METHODS)
def test_a_random_model_is_refused(method):
    body = "(float[N,4] x) => (float[N,4] y) { r = RandomNormalLike(x) y = Add(x, r) }"
    with pytest.raises(ParityError, match="it is random"):
        maps_of(text(body), arrays(1, 4), at="output", method=method)


@pytest.mark.parametrize("method", METHODS)
def test_infinite_units_make_maps_of_no_numbers(method):
    """In silence: warnings are errors here."""
    body = "(float[N,4] x) => (float[N,4] y) { y = Reciprocal(x) }"
    found = maps_of(text(body), arrays(1, 4) + 5, at="output", method=method)
    assert not np.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_token_ids_are_refused(method):
    body = "(int64[N,7] x) => (float[N,7,4] y) { e = Gather(w, x) y = Tanh(e) }"
    proto = text(body, w=arrays(1, 9, 4)[0])
    model = load(proto)
    spec = probe_input(model, InputOptions(), TOKENS, (7,))
    with pytest.raises(SupportError, match="it takes token ids"):
        BlackBox(Runtime(model, spec, representation(model, "y"), threads=1))


def test_the_batch_is_large_where_inputs_are_small():
    assert black_box(weighted(np.ones(4)), at="output", shape=(4,)).size == 256
    sizes = {64: 32, 224: 8}
    for side, size in sizes.items():
        assert black_box(linear(np.ones((3, side, side)))).size == size
    assert black_box(linear(np.ones((3, 8, 8))), batch_size=3).size == 3


def test_a_batch_that_is_too_large_is_halved(monkeypatch):
    """As ONNX Runtime tells it: a node asks for more than there is."""
    run, sizes = Runtime.run_fed, []

    def limited(self, array):
        sizes.append(len(array))
        if len(array) > 20:
            raise LimitError("ONNX Runtime lacks memory for it")
        return run(self, array)

    net, some = Net.random("Relu", 0).onnx(), probes(2).images
    whole = maps_of(net, some)
    monkeypatch.setattr(Runtime, "run_fed", limited)
    maker = black_box(net, batch_size=64)
    np.testing.assert_allclose(maker.maps(some), whole, atol=1e-5 * np.abs(whole).max())
    assert maker.size == 16
    assert sizes[3:6] == [64, 32, 16]


def test_a_batch_of_one_that_is_too_large(monkeypatch):
    def full(self, array):
        raise LimitError("ONNX Runtime lacks memory for it")

    monkeypatch.setattr(Runtime, "run_fed", full)
    with pytest.raises(LimitError):
        maps_of(linear(np.ones((3, 8, 8))), images(1, 8))


def test_hidden_by_black():
    weight = np.random.default_rng(2).normal(size=(3, 8, 8)).astype(np.float32)
    some = images(2, 8)
    found = maps_of(linear(weight), some, method="occlusion:fill=zero")
    expected = (weight * some.transpose(0, 3, 1, 2) / 255).sum(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_stored_numbers_are_used_as_they_are():
    """A weight in the file, not a copy: what is fed does not write into it."""
    proto = weighted(np.arange(4, dtype=np.float32))
    before = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    maps_of(proto, arrays(2, 4), at="output")
    np.testing.assert_array_equal(numpy_helper.to_array(proto.graph.initializer[0]), before)
