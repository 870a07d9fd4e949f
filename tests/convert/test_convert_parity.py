"""The gate between a converted network and ONNX Runtime."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from onnxattr.convert.array_feed import wrap
from onnxattr.convert.ops.calls import Call
from onnxattr.convert.parity import TOLERANCE, Gate, relative_error
from onnxattr.convert.torch import to_network
from onnxattr.errors import LimitError, ParityError, SupportError
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_equal_networks_pass(image_net, probes, layout, batch, count):
    network = to_network(load(image_net(layout=layout, batch=batch)))
    assert network.spec.layout == layout
    gate = Gate(network)
    assert gate.tolerance == TOLERANCE[torch.float32]
    assert 0 <= gate.check(probes(count).images) < 1e-5


class Wrong(nn.Module):
    """The right answer, and a little more."""

    def __init__(self, right, error):
        super().__init__()
        self.right, self.error = right, error

    def forward(self, *args):
        return self.right(*args) * (1 + self.error)


def broken(network, vendor_name, error=1e-2):
    (name,) = (k for k, node in network.operators.items() if node.name == vendor_name)
    network.module.add_module(name, Wrong(network.module.get_submodule(name), error))
    return network


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    "culprit", ["conv1", "bn1", "act1", "pool1", "conv2", "act2", "gap", "flat"]
)
def test_the_first_node_that_differs_is_named(image_net, probes, culprit, layout):
    network = broken(to_network(load(image_net(layout=layout), name="net")), culprit)
    with pytest.raises(ParityError, match=rf"first node that differs is \w+ `{culprit}`") as caught:
        Gate(network).check(probes(3).images)
    assert caught.value.model == "net"
    assert caught.value.hint


def test_the_first_of_two_is_named(image_net, probes):
    network = broken(broken(to_network(load(image_net())), "act2"), "bn1")
    with pytest.raises(ParityError, match="BatchNormalization `bn1`"):
        Gate(network).check(probes(3).images)


@pytest.fixture
def wrong(monkeypatch):
    """`wrong("_relu", change)` passes what that operator's function gives through `change`."""

    def patch(name, change):
        right = Call.forward
        monkeypatch.setattr(
            Call,
            "forward",
            lambda self, *values: (
                change(right(self, *values))
                if self.function.__name__ == name
                else right(self, *values)
            ),
        )

    return patch


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("_average_pool", "AveragePool `pool1`"),
        ("_batch_normalization", "BatchNormalization `bn1`"),
    ],
)
def test_a_wrong_converter_is_caught(image_net, probes, wrong, name, says):
    wrong(name, lambda y: y + 0.1)
    with pytest.raises(ParityError, match=says):
        Gate(to_network(load(image_net()))).check(probes(2).images)


def test_a_wrong_shape_is_caught(image_net, probes, wrong):
    wrong("_average_pool", lambda y: y[..., :-1])
    network = to_network(load(image_net()), at="p")
    with pytest.raises(ParityError, match=r"shape .* against .*AveragePool `pool1`"):
        Gate(network).check(probes(2).images)


def test_what_is_wrong_far_from_the_probes_is_caught_by_noise(build, wrong, probes):
    """Black probes do not tell a clip at 0.9 from none."""
    proto = build("(float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }")
    images = np.zeros_like(probes(2).images)
    wrong("_relu", lambda y: y.clamp(max=0.9))
    with pytest.raises(ParityError, match="Relu"):
        Gate(to_network(load(proto))).check(images)


@pytest.mark.parametrize(("error", "passes"), [(0.5e-4, True), (2e-4, False)])
def test_the_tolerance_is_where_it_is_said_to_be(image_net, probes, error, passes):
    network = broken(to_network(load(image_net())), "flat", error)
    if passes:
        assert Gate(network).check(probes(3).images) == pytest.approx(error, rel=0.1)
    else:
        with pytest.raises(ParityError):
            Gate(network).check(probes(3).images)


def test_networks_that_return_nothing_finite(image_net, probes):
    network = broken(to_network(load(image_net())), "flat", float("nan"))
    with pytest.raises(ParityError, match="Flatten `flat`"):
        Gate(network).check(probes(3).images)


def test_a_reference_that_is_not_finite(build, probes, noise):
    text = "(float[N,3,8,8] x) => (float[N,3,a,b] y) { h = Conv(x, w) y = Log(h) }"
    network = to_network(load(build(text, w=-np.abs(noise(3, 3, 1, 1))), name="net"))
    with pytest.raises(ParityError, match="not finite") as caught:
        Gate(network).check(probes(2).images)
    assert "--range" in caught.value.hint


def test_what_onnx_runtime_cannot_run(build, probes, noise):
    text = """(float[N,3,H,W] x) => (float[N,3,a,b] y) {
        c = Conv(x, w) h = Add(c, k) y = Relu(h) }"""
    proto = build(text, w=noise(3, 3, 1, 1), k=noise(3, 5, 5))
    network = to_network(load(proto), options=InputOptions(size=(5, 5)))
    assert Gate(network).check(probes(2).images) < 1e-5
    network = to_network(load(proto), options=InputOptions(size=(7, 7)))
    with pytest.raises(SupportError, match="ONNX Runtime cannot run it") as caught:
        Gate(network).check(probes(2).images)
    assert "--size" in caught.value.hint


def test_what_asks_for_more_memory_than_there_is(build, probes, noise):
    text = """(float[N,3,8,8] x) => (float[N,3,a,b] y) {
        c = Conv(x, w) y = com.microsoft.Pad(c, p) }"""
    pads = np.array([0, 0, 0, 0, 0, 0, 2**24, 2**24])
    proto = build(text, imports=', "com.microsoft" : 1', w=noise(3, 3, 1, 1), p=pads)
    proto.graph.node[1].name = "wide"
    network = to_network(load(proto))
    with pytest.raises(LimitError, match=r"its Pad `wide` asks for [\d.e+]+ GiB at once"):
        Gate(network).check(probes(2).images)


def test_the_vendors_graph_is_the_judge_not_ours(image_net, probes):
    network = to_network(load(image_net()))
    other = image_net()
    weight = next(t for t in other.graph.initializer if t.name == "b1")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) + 1).tobytes()
    network = dataclasses.replace(network, model=load(other))
    with pytest.raises(ParityError, match="Conv `conv1`"):
        Gate(network).check(probes(2).images)


def test_functions_are_compared_too(image_net, probes):
    functions = """<domain: "f", opset_import: ["" : 17]>
        act (x) => (y) { s = Sigmoid(x) y = Mul(x, s) }"""
    proto = image_net(functions=functions, imports=', "f" : 1')
    proto.graph.node[3].op_type, proto.graph.node[3].domain = "act", "f"
    network = to_network(load(proto))
    assert Gate(network).check(probes(3).images) < 1e-5
    with pytest.raises(ParityError, match="AveragePool `pool1`"):
        Gate(broken(network, "pool1")).check(probes(3).images)


# ONNX Runtime has no double convolution on the CPU.
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("double", "h = Mul(x, w) y = Sigmoid(h)"),
        ("float16", "h = Conv(x, w) y = Relu(h)"),
    ],
)
def test_other_float_types(build, probes, noise, kind, body):
    text = f"({kind}[N,3,8,8] x) => ({kind}[N,3,8,8] y) {{ {body} }}"
    dtype = np.dtype({"double": "float64"}.get(kind, kind))
    proto = build(text, w=noise(3, 3, 1, 1)[: 1 if kind == "double" else 3].astype(dtype))
    gate = Gate(to_network(load(proto), at="y"))
    assert gate.check(probes(3).images) <= gate.tolerance == TOLERANCE[getattr(torch, dtype.name)]


def test_a_model_that_is_random_under_onnx_runtime_is_refused(image_net, probes, monkeypatch):
    """Its network agrees with the first run, as one that draws the same numbers would."""
    gate = Gate(to_network(load(image_net())))
    runs = iter(range(100))
    inner = gate.observer.run

    def run(given):
        units, outputs = inner(given)
        return units * (1 + 1e-5 * next(runs)), outputs

    monkeypatch.setattr(gate.observer, "run", run)
    with pytest.raises(ParityError, match="a second run on the same probes gives another output"):
        gate.check(probes(3).images)


def test_relative_error():
    a = np.array([1.0, -4.0], np.float32)
    assert relative_error(a, a) == 0
    assert relative_error(a + np.float32([0, 1]), a) == pytest.approx(0.25)
    assert relative_error(a * 0 + 3, a * 0) == 3
    assert relative_error(a * np.float32(np.nan), a) == float("inf")
    assert relative_error(a[:0], a[:0]) == 0


def test_wrap_repeats_probes_up_to_the_batch():
    x = torch.arange(2.0)[:, None]
    assert wrap(x, 5)[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert wrap(x, 2) is x


def test_the_error_of_some_probes_does_not_depend_on_what_was_checked_before(image_net, probes):
    """A ranking that goes on where it was stores what one run would have stored."""
    network, images = to_network(load(image_net())), probes(12).images
    whole = Gate(network)
    first, second = whole.check(images[:6]), whole.check(images[6:])
    assert Gate(network).check(images[6:]) == second
    assert Gate(network).check(images[:6]) == first


def test_a_representation_of_text_is_refused(build, probes):
    proto = build("(float[N,3,8,8] x) => (string[N,3,8,8] y) { y = Cast<to = 8>(x) }")
    network = to_network(load(build("(float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }")))
    text = dataclasses.replace(network, model=load(proto))
    with pytest.raises(ParityError, match="no number"):
        Gate(text).check(probes(2).images)
