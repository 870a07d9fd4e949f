"""ε-LRP of networks against DeepExplain's definition, written down plainly in float64 torch.

DeepExplain overrides the gradient of TensorFlow's Relu, Elu, Sigmoid, Tanh and Softplus, and leaves
that of all else as it is. Here each is a function of torch whose value is f(z), and which is linear
in z with the slope f(z) / (z + ε·sign z): autograd of the native network does the rest.
"""

import copy
import io

import numpy as np
import onnx
import pytest
import torch
from nets import RANGE, SIZE, probes
from test_methods import fed
from torch import nn

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS

EPSILON = 1e-4

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)


class Linear(nn.Module):
    """f(z), taken to be linear in z."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        fixed, y = z.detach(), self.function(z).detach()
        sign = 2.0 * (fixed >= 0) - 1.0
        return y + (z - fixed) * (y / (fixed + EPSILON * sign))


def overridden(module: nn.Module) -> nn.Module:
    """A copy of a native network in which the five are linear."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU | nn.ELU | nn.Sigmoid | nn.Tanh | nn.Softplus):
                setattr(parent, name, Linear(child))
    return module


class Excitation(nn.Module):
    """A gate of a channel, made of all pixels: its Sigmoid is one of the five."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.relu, self.gate = nn.ReLU(), nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.second(self.relu(self.first(pooled))))


class Residual(nn.Module):
    """Convolution, normalisation and an activation around which the input goes."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(6, 6, 3, padding=1)
        self.normalisation, self.activation = nn.BatchNorm2d(6), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.activation(self.normalisation(self.convolution(x)))


class Mixer(nn.Module):
    """Layer normalisation and attention among the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.rows, self.last = nn.LayerNorm(6), nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = self.rows(tokens).chunk(3, dim=-1)
        scores = torch.softmax(q @ k.transpose(1, 2) * 6**-0.5, dim=-1)
        return x + self.last(scores @ v).transpose(1, 2).reshape(x.shape)


ACTIVATIONS = {
    "relu": nn.ReLU, "elu": nn.ELU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softplus": nn.Softplus,
    "gelu": nn.GELU, "gelu-tanh": lambda: nn.GELU("tanh"), "silu": nn.SiLU, "mish": nn.Mish,
    "hardswish": nn.Hardswish, "relu6": nn.ReLU6, "leaky": nn.LeakyReLU,
}  # fmt: skip


def net(activation: str) -> nn.Module:
    torch.manual_seed(3)
    make = ACTIVATIONS[activation]
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), make(), Residual(make()), nn.MaxPool2d(2), Excitation(),
        Residual(nn.Tanh()), Mixer(), nn.Conv2d(6, 4, 1), make(),
    )  # fmt: skip
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return module.double().eval().requires_grad_(False)


def export(module: nn.Module, opset: int) -> onnx.ModelProto:
    file = io.BytesIO()
    x = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.float64)
    torch.onnx.export(
        module, (x,), file, opset_version=opset, dynamo=False, input_names=["x"],
        dynamic_axes={"x": {0: "batch"}},
    )  # fmt: skip
    return onnx.ModelProto.FromString(file.getvalue())


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_maps_are_those_of_the_definition(activation: str, opset: int) -> None:
    module = net(activation)
    network = to_network(load(export(module, opset)), at="output", options=RANGE, fuse=FUSIONS)
    images = probes(3).images
    (maps,) = Engine(network, methods=[parse("elrp")]).maps(images)
    x = torch.from_numpy(np.stack([fed(image)[0] for image in images])).requires_grad_()
    linear = overridden(module)
    units = linear(x)
    torch.testing.assert_close(units, module(x))
    (slope,) = torch.autograd.grad(units.sum(), x)
    expected = (x * slope).detach().mean(dim=1).numpy()
    np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
