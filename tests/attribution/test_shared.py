"""Methods on the same probes share their passes, and give the maps that they give alone."""

import numpy as np
import pytest
import torch
from nets import RANGE, Net, network, probes
from test_array_maps import export
from test_array_maps import network as array_network
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.graph.normalise import FUSIONS

PAPER = ("saliency", "grad-input", "elrp")


class Passes(TorchDispatchMode):
    """Counts how often convolutions are computed, and their gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.forwards = self.backwards = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        self.forwards += name == "aten::convolution"
        self.backwards += name == "aten::convolution_backward"
        return function(*args, **(kwargs or {}))


#: Convolutions of the net.
LAYERS = 3


def passes(methods: tuple[str, ...], reduction: Reduction | None = None) -> tuple[float, float]:
    """The forward and backward passes that one batch costs."""
    net = network(Net.random("Relu", 0).onnx())
    engine = Engine(net, methods=[parse(m) for m in methods], reduction=reduction)
    engine.maps(probes(2).images)  # What is done once is not counted.
    with Passes() as counted:
        engine.maps(probes(2).images)
    return counted.forwards / LAYERS, counted.backwards / LAYERS


@pytest.mark.parametrize(
    ("methods", "cost"),
    [
        (("saliency",), (1, 1)),
        (("grad-input",), (1, 1)),
        (("elrp",), (1, 1)),
        (("saliency", "grad-input"), (1, 1)),
        (("grad-input", "elrp"), (1, 2)),
        (("grad-input", "saliency", "elrp"), (1, 2)),
    ],
    ids=str,
)
def test_methods_share_their_passes(methods: tuple[str, ...], cost: tuple[int, int]) -> None:
    assert passes(methods) == cost


def test_targets_share_the_forward_pass() -> None:
    assert passes(("saliency",), Reduction("projection", 3)) == (1, 3)
    assert passes(PAPER, Reduction("projection", 3)) == (1, 6)


@pytest.mark.parametrize("function", ["Relu", "Elu", "Sigmoid", "Tanh", "Softplus", "LeakyRelu"])
@pytest.mark.parametrize("reduction", ["sum", "rms", "projection"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_maps_are_those_of_each_method_alone(function: str, reduction: str, layout: str) -> None:
    net = network(Net.random(function, 1).onnx(layout=layout, dtype=np.float64), RANGE)
    reduced = Reduction(reduction, 2)
    together = Engine(net, methods=[parse(m) for m in PAPER], reduction=reduced)
    maps = together.maps(probes(3).images)
    for name, ours in zip(PAPER, maps, strict=True):
        (alone,) = Engine(net, methods=[parse(name)], reduction=reduced).maps(probes(3).images)
        np.testing.assert_allclose(ours, alone, rtol=0, atol=1e-6 * np.abs(alone).max())


def test_the_order_of_the_methods_is_the_order_of_the_maps() -> None:
    net = network(Net.random("Tanh", 2).onnx())
    maps = Engine(net, methods=[parse(m) for m in PAPER]).maps(probes(2).images)
    turned = Engine(net, methods=[parse(m) for m in reversed(PAPER)]).maps(probes(2).images)
    np.testing.assert_array_equal(maps, turned[::-1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_maps_of_tokens_are_those_of_each_method_alone() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 8)
            self.layer = nn.Linear(8, 6)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.layer(self.embedding(ids)))

    torch.manual_seed(0)
    ids = np.random.default_rng(0).integers(0, 20, (3, 5))
    net = array_network(
        export(Encoder(), torch.from_numpy(ids), free=("batch",)), ids, fuse=FUSIONS
    )
    maps = Engine(net, methods=[parse(m) for m in PAPER]).maps(ids)
    for name, ours in zip(PAPER, maps, strict=True):
        (alone,) = Engine(net, methods=[parse(name)]).maps(ids)
        np.testing.assert_allclose(ours, alone, rtol=0, atol=1e-6 * np.abs(alone).max())
    assert np.abs(maps[1] - maps[2]).max() > 1e-6
