"""Networks of fused graphs: their names, their layout, their maps, and the collector's state."""

import gc
import threading

import numpy as np
import pytest
import torch

import onnxattr
from onnxattr.attribution.entries import GRADIENT
from onnxattr.attribution.methods import BY_GRADIENT, METHODS, find, parse
from onnxattr.attribution.setting import Setting
from onnxattr.convert import garbage
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS

BODY = """(float[N,3,8,8] x) => (float[N,4] y) {
    c = Conv(x, w) h = BatchNormalization(c, scale, shift, mean, variance)
    a = Div(h, root) e = Erf(a) p = Add(e, one) m = Mul(h, p) g = Mul(m, half)
    f = GlobalAveragePool(g) y = Flatten(f) }"""


@pytest.fixture
def model(build, noise):
    proto = build(
        BODY,
        w=noise(4, 3, 3, 3),
        scale=noise(4, seed=1),
        shift=noise(4, seed=2),
        mean=noise(4, seed=3),
        variance=noise(4, seed=4) ** 2 + 0.1,
        root=np.float32(np.sqrt(2)),
        one=np.float32(1),
        half=np.float32(0.5),
    )
    for number, node in enumerate(proto.graph.node):
        node.name = f"layer {number}"
    return load(proto)


@pytest.fixture
def networks(model):
    options = onnxattr.InputOptions(layout="NCHW")
    return [to_network(model, at="y", options=options, fuse=fuse) for fuse in (FUSIONS, ())]


def test_a_fused_operator_goes_by_its_last_node(networks):
    fused, plain = ([node.name for node in n.operators.values()] for n in networks)
    assert fused == ["layer 1", "layer 6", "layer 7", "layer 8"]
    assert plain == [f"layer {number}" for number in range(9)]


def test_convolutions_are_laid_out_for_the_cpu(networks):
    for network in networks:
        (weight,) = (p for p in network.module.parameters() if p.dim() == 4)
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_modules_for_users_have_plain_units(build, noise):
    proto = build(
        "(float[N,3,8,8] x) => (float[N,4,6,6] y) { y = Conv(x, w) }", w=noise(4, 3, 3, 3)
    )
    assert onnxattr.to_torch(proto)(torch.ones(2, 3, 8, 8)).view(2, -1).shape == (2, 144)


#: Relevance goes by the layers that fusions make: a batch normalisation is part of one, or none.
BY_VALUES = [m for m in BY_GRADIENT if METHODS[m].kind == GRADIENT and not METHODS[m].unfused]


@pytest.mark.parametrize("method", BY_VALUES)
def test_maps_are_those_of_the_plain_graph(networks, method):
    probes = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fused, plain = (
        find(method)(Setting(network, background=1 - probes), **parse(method).options)(probes)
        for network in networks
    )
    # Whitening multiplies rounding by up to 1 / ridge, which is 100.
    rounding = 1e-4 if method == "whitened" else 1e-6
    torch.testing.assert_close(fused, plain, rtol=0, atol=rounding * plain.abs().max().item())


def test_the_collector_is_as_it_was(build):
    proto = build("(float[N] x) => (float[N] y) { y = Relu(x) }")
    onnxattr.to_torch(proto)
    assert gc.isenabled()
    gc.disable()
    try:
        onnxattr.to_torch(proto)
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(onnxattr.OnnxattrError):
        onnxattr.to_torch(build("(float[N] x) => (float[N] y) { y = elsewhere.Relu(x) }",
                                imports=', "elsewhere" : 1'))  # fmt: skip
    assert gc.isenabled()


def test_the_collector_waits_for_the_last_conversion():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with garbage.kept():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with garbage.kept():
        thread.start()
        entered.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()
