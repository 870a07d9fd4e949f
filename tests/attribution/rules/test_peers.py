"""Relevance against Zennit, on nets that its canonizers know, and Captum, on sequential ones."""

import io
import warnings

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule
from torch import nn
from zennit.attribution import Gradient
from zennit.composites import (
    EpsilonAlpha2Beta1,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    LayerMapComposite,
    layer_map_base,
)
from zennit.layer import Sum
from zennit.rules import Epsilon, Norm
from zennit.torchvision import ResNetCanonizer, VGGCanonizer
from zennit.types import AvgPool, Linear

from onnxattr.attribution.rules.apply import with_rules
from onnxattr.attribution.rules.composites import (
    CONVOLUTIONS,
    LAYERS,
    Choice,
    Composite,
    built_in,
    layer_rule,
)
from onnxattr.attribution.rules.multipliers import nonzero
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.types import Network

SIZE = 32

#: Zennit shares out what a sum adds up with a stabilizer, too; a plain gradient has none.
EXACT = [(Sum, Norm(stabilizer=1e-15)), (AvgPool, Norm(stabilizer=1e-15))]


def vgg() -> tuple[nn.Module, list]:
    """VGG11 with batch normalisation, narrower."""
    cfg = [8, "M", 12, "M", 16, 16, "M", 20, 20, "M", 24, 24, "M"]
    net = torchvision.models.VGG(torchvision.models.vgg.make_layers(cfg, batch_norm=True), 10)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10))
    return net, [VGGCanonizer()]


def resnet() -> tuple[nn.Module, list]:
    return torchvision.models.resnet18(weights=None, num_classes=10), [ResNetCanonizer()]


def settled(net: nn.Module, seed: int) -> nn.Module:
    """The net in float64, with statistics of its own."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Zennit leaves the ε of a normalisation that it has merged: 5e-6 a layer.
            module.eps = 1e-12
            for values, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 1.5),
            ):
                values.data.uniform_(low, high, generator=generator)
    return net.double().eval().requires_grad_(False)


def converted(net: nn.Module) -> Network:
    """The net through ONNX, attributed at its logits."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter warns that it is the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.float64),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            dynamic_axes={"x": {0: "N"}},
        )
    return to_network(load(file.getvalue()), at="logits", fuse=FUSIONS)


def ours(network: Network, composite: Composite, x: torch.Tensor) -> np.ndarray:
    leaf = x.clone().requires_grad_()
    y = with_rules(network, composite)(leaf)
    return (nonzero(x) * torch.autograd.grad(y.sum(), leaf)[0]).numpy()


def probes(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, SIZE, SIZE, generator=generator).double() * 4 - 2


def bounds(network: Network) -> dict[str, torch.Tensor]:
    """What black and white probes are for a model that is fed numbers in [0, 1]."""
    spec = network.spec
    mean, std = (torch.tensor(v).double().reshape(1, -1, 1, 1) for v in (spec.mean, spec.std))
    low, high = spec.range
    whole = torch.ones(1, 3, SIZE, SIZE, dtype=torch.float64)
    return {"low": (low - mean) / std * whole, "high": (high - mean) / std * whole}


COMPOSITES = {
    "epsilon": lambda net, canonizers: LayerMapComposite(
        [*EXACT, *layer_map_base(), (Linear, Epsilon(1e-6))], canonizers=canonizers
    ),
    "epsilon-plus": lambda net, canonizers: EpsilonPlus(layer_map=EXACT, canonizers=canonizers),
    "epsilon-plus-flat": lambda net, canonizers: EpsilonPlusFlat(
        layer_map=EXACT, canonizers=canonizers
    ),
    "epsilon-alpha2-beta1": lambda net, canonizers: EpsilonAlpha2Beta1(
        layer_map=EXACT, canonizers=canonizers
    ),
    "epsilon-gamma-box": lambda net, canonizers: EpsilonGammaBox(
        **bounds(net), layer_map=EXACT, canonizers=canonizers
    ),
}


@pytest.fixture(scope="module", params=[vgg, resnet], ids=["vgg11_bn", "resnet18"])
def nets(request):
    torch.manual_seed(0)
    net, canonizers = request.param()
    net = settled(net, 0)
    return net, canonizers, converted(net)


@pytest.mark.parametrize("name", COMPOSITES)
def test_zennit_has_the_same_relevance(name: str, nets) -> None:
    net, canonizers, network = nets
    x = probes(1)
    composite = COMPOSITES[name](network, canonizers)
    with Gradient(model=net, composite=composite) as attributor:
        _, expected = attributor(x, lambda units: units)
    expected = expected.numpy()
    assert np.isfinite(expected).all()
    found = ours(network, built_in(name), x)
    scale = np.abs(expected).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
def test_captum_has_the_same_relevance_of_a_sequential_net(rule: str) -> None:
    torch.manual_seed(1)
    # Captum's γ leaves biases as they are.
    bias = rule == "epsilon"
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, bias=bias),
        nn.ReLU(),
        nn.AvgPool2d(7),
        nn.Flatten(),
        nn.Linear(48, 10),
    )
    net = net.double().eval().requires_grad_(False)
    network, x = converted(net), probes(2).abs()
    # Captum turns on the gradient of what it is given, and warns of it.
    given = x.clone().requires_grad_()
    expected = torch.zeros_like(x)
    for unit in range(10):
        # It takes the rules away when it is done.
        for module in net:
            convolution = rule == "gamma" and isinstance(module, nn.Conv2d)
            epsilon = 1e-3 if hasattr(module, "weight") else 1e-12
            module.rule = GammaRule(0.3) if convolution else EpsilonRule(epsilon)
        expected += LRP(net).attribute(given, target=unit).detach()
    choices = [Choice(LAYERS, layer_rule("epsilon", epsilon=1e-3))]
    if rule == "gamma":
        choices.insert(0, Choice(CONVOLUTIONS, layer_rule("gamma", gamma=0.3, stabilizer=1e-9)))
    found = ours(network, Composite(tuple(choices)), x)
    scale = float(expected.abs().max())
    np.testing.assert_allclose(found / scale, expected.numpy() / scale, rtol=0, atol=1e-7)
