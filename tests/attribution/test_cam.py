"""Grad-CAM: Captum's, the channels' axis in any layout, and tensors that have no places."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from captum.attr import LayerGradCam
from exported import (
    Attending,
    Plain,
    Residual,
    Words,
    export,
    ids,
    made,
    network,
    networked,
    pixels,
)
from nets import Net
from nets import network as image_network
from onnx import parser
from torch import nn

from onnxattr.attribution.cam import grad_cam
from onnxattr.attribution.methods import METHODS
from onnxattr.attribution.setting import Setting
from onnxattr.convert.torch import to_network
from onnxattr.errors import SupportError, UsageError
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY, IMAGE, TOKENS


class Total(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("kind", [ARRAY, IMAGE])
def test_captum_agrees_at_the_last_tensor_with_places(kind: str) -> None:
    """In Plain it is what Flatten takes: the second activation."""
    x = pixels()
    module = made(Plain)
    theirs = LayerGradCam(Total(module), module[3]).attribute(x, target=0, relu_attributions=True)
    if kind == IMAGE:
        net = network(made(Plain).float(), x.float(), kind=IMAGE)
        found = grad_cam(Setting(net), layer="last", of="grad-cam")(x.float())
        expected = F.interpolate(theirs, (8, 8), mode="bilinear")[:, 0]
    else:
        found = grad_cam(Setting(networked(Plain)), layer="last", of="grad-cam")(x)
        # Of an array of three rows of planes each has the same map.
        expected = F.interpolate(theirs, (8, 8), mode="bilinear").expand(-1, 3, -1, -1)
    torch.testing.assert_close(found.double(), expected.detach(), rtol=1e-4, atol=1e-8)
    assert float(found.max()) > 0


def test_a_gradient_for_each_place() -> None:
    x, module = pixels(), made(Plain)
    layers = list(module)
    inner = nn.Sequential(*layers[:4])(x).requires_grad_()
    (slope,) = torch.autograd.grad(nn.Sequential(*layers[4:])(inner).sum(), inner)
    expected = F.interpolate((inner * slope).sum(1, keepdim=True), (8, 8), mode="bilinear")
    found = grad_cam(Setting(networked(Plain)), layer="last", of="grad-input")(x).double()
    torch.testing.assert_close(found[:, 1], expected[:, 0].detach(), rtol=1e-5, atol=1e-8)


def test_a_tensor_by_its_name_in_the_vendors_graph() -> None:
    """The first activation of `Plain`, which is not the last with places."""
    x, module = pixels(), made(Plain)
    net = networked(Plain, False)
    node = next(n for n in net.model.proto.graph.node if n.op_type == "Relu")
    theirs = LayerGradCam(Total(module), module[1]).attribute(x, target=0, relu_attributions=True)
    found = grad_cam(Setting(net), layer=node.output[0], of="grad-cam")(x).double()
    torch.testing.assert_close(found[:, 0], theirs[:, 0].detach(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("written", ["conv/Relu:0", "conv/Relu"])
def test_a_name_of_tensorflow(written: str) -> None:
    """A colon ends an option: the `:0` of their names may be left out."""
    body = "(float[N,3,4,4] x) => (float[N,3] y) { h = Relu(x) y = ReduceMean<axes = [2, 3], "
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g {body} keepdims = 0>(h) }}'
    )
    proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = "conv/Relu:0"
    net = to_network(load(proto.SerializeToString()), at="output")
    x = torch.rand(2, 3, 4, 4)
    found = grad_cam(Setting(net), layer=written, of="grad-input")(x)
    torch.testing.assert_close(found, x.sum(1) / 16)
    with pytest.raises(UsageError) as caught:
        grad_cam(Setting(net), layer="conv/relu", of="grad-cam")
    assert "did you mean `conv/Relu:0`?" in caught.value.hint


class Encoder(nn.Module):
    """Of channels last, as its tensors are on the way: `turned` between its layers."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.second(F.relu(self.first(x))))
        if not self.last:
            return (x * x).mean((2, 3))
        x = x.permute(0, 2, 3, 1)
        return (x * x).mean((1, 2))


def test_channels_may_be_the_last_axis() -> None:
    x = pixels()
    maps = [
        grad_cam(Setting(network(made(Encoder, last=last), x)), layer="last", of="grad-cam")(x)
        for last in (False, True)
    ]
    assert float(maps[0].max()) > 0
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_encoder_ends_at_its_last_layer(layout: str) -> None:
    """Of `Net` the last tensor that a layer takes is the first activation."""
    net = Net.random("Relu", 2)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((2, 3, 6, 6), np.float32))
    found = grad_cam(Setting(image_network(net.onnx(layout=layout))), layer="last", of="grad-cam")(
        x
    )
    options = image_network(net.onnx()).spec
    low, high = options.range
    mean, std = (torch.tensor(v).reshape(3, 1, 1).double() for v in (options.mean, options.std))
    fed = (x.double() * (high - low) + low - mean) / std
    weights = [torch.from_numpy(v) for v in (net.first, net.first_bias, net.second, net.skip)]
    a = F.relu(F.conv2d(fed, weights[0], weights[1], padding=1)).requires_grad_()
    second = F.conv2d(a, weights[2], torch.from_numpy(net.second_bias), padding=1)
    (slope,) = torch.autograd.grad((F.relu(second) + F.conv2d(a, weights[3])).sum(), a)
    expected = (a * slope.mean((2, 3), keepdim=True)).sum(1).clamp(min=0).detach()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


class Patches(nn.Module):
    """Rows of tokens, one in front of those of a grid, and a head on the first."""

    def __init__(self, front: bool) -> None:
        super().__init__()
        self.patches, self.mix, self.head = nn.Conv2d(3, 6, 2, 2), nn.Linear(6, 6), nn.Linear(6, 2)
        self.first = nn.Parameter(torch.randn(1, 1, 6)) if front else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.first is not None:
            x = torch.cat([self.first + torch.zeros_like(x[:, :1]), x], 1)
        x = torch.relu(self.mix(x))
        x = torch.softmax(x @ x.transpose(1, 2), -1) @ x
        return self.head(x[:, 0])


@pytest.mark.parametrize("front", [True, False])
def test_rows_of_patches_are_a_grid(front: bool) -> None:
    x, module = pixels().float(), made(Patches, front=front).float()
    net = network(module, x, kind=IMAGE, fuse=False)
    relu = next(n for n in net.model.proto.graph.node if n.op_type == "Relu")
    found = grad_cam(Setting(net), layer=relu.output[0], of="grad-input")(x)

    rows = module.patches(x).flatten(2).transpose(1, 2)
    if front:
        rows = torch.cat([module.first.expand(3, -1, -1), rows], 1)
    a = torch.relu(module.mix(rows)).detach().requires_grad_()
    y = module.head((torch.softmax(a @ a.transpose(1, 2), -1) @ a)[:, 0])
    (slope,) = torch.autograd.grad(y.sum(), a)
    grid = (a * slope).sum(-1)[:, int(front) :].reshape(3, 1, 4, 4).detach()
    expected = F.interpolate(grid, (8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_token_ids_are_places() -> None:
    x, module = ids(3), made(Words)
    net = network(module, x, kind=TOKENS)
    found = grad_cam(Setting(net), layer="last", of="grad-cam")(x)
    a = torch.tanh(module.mix(module.words(x))).requires_grad_()
    (slope,) = torch.autograd.grad(module.head(a.mean(1)).sum(), a)
    expected = (a * slope.mean(1, keepdim=True)).sum(-1).clamp(min=0).detach()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-9)


def test_maps_leave_out_what_is_around_a_probe() -> None:
    """A letterboxed input is wider than the probe in it."""

    class Wide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (2 * F.avg_pool2d(x, 4)).mean((2, 3))

    x = torch.rand(2, 3, 8, 8)
    model = load(export(Wide(), torch.rand(1, 3, 8, 16)))
    net = to_network(model, at="output", options=InputOptions(resize="letterbox"))
    found = grad_cam(Setting(net), layer="last", of="grad-input")(x)
    assert found.shape == (2, 8, 8)
    whole = F.pad(x, (4, 4, 0, 0), value=114 / 255)
    pooled = 2 * F.avg_pool2d(whole, 4)
    values = F.interpolate(pooled.sum(1, keepdim=True) / 8, (8, 16), mode="bilinear")
    torch.testing.assert_close(found, values[:, 0, :, 4:12], rtol=1e-5, atol=1e-6)


def test_what_has_no_places() -> None:
    net = networked(Attending, False)
    with pytest.raises(UsageError, match="computes no tensor `none` before"):
        grad_cam(Setting(net), layer="none", of="grad-cam")
    x = torch.rand(3, 7, dtype=torch.float64)
    mlp = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    flat = network(mlp, x, fuse=False)
    with pytest.raises(SupportError, match="no tensor before `y` has places"):
        grad_cam(Setting(flat), layer="last", of="grad-cam")
    name = next(n.output[0] for n in flat.model.proto.graph.node if n.op_type == "Relu")
    with pytest.raises(SupportError, match="has no places"):
        grad_cam(Setting(flat), layer=name, of="grad-cam")


def test_the_bottleneck() -> None:
    """The narrowest tensor has places here: between the halves of a small autoencoder."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 2, 3, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(2, 4, 2, 2), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2, 2),
    ).eval()  # fmt: skip
    x = pixels().float()
    net = network(module, x, kind=IMAGE)
    found = grad_cam(Setting(net), layer="bottleneck", of="grad-input")(x)
    a = module[:4](x).detach().requires_grad_()
    (slope,) = torch.autograd.grad(module[4:](a).sum(), a)
    grid = (a * slope).sum(1, keepdim=True).detach()
    expected = F.interpolate(grid, (8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_table_leaves_every_tensor_its_name() -> None:
    assert METHODS["grad-cam"].unfused == frozenset(FUSIONS)


def test_where_a_layer_mixes_the_batch_with_places() -> None:
    class Folded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(x).reshape(-1, 1, 8, 8)
            return F.avg_pool2d(x * 2, 2).reshape(-1, 48)

    x = pixels()
    net = network(Folded(), x)
    with pytest.raises(SupportError, match="has 9 rows for 3 probes"):
        grad_cam(Setting(net), layer="last", of="grad-cam")(x)


def test_the_residual_nets_last_tensor() -> None:
    """Of a net that ends in pools it is what the last of them takes."""
    x, module = pixels(), made(Residual)
    found = grad_cam(Setting(networked(Residual)), layer="last", of="grad-input")(x).double()
    stem = F.relu(module.stem(x))
    a = F.relu(stem + F.relu(module.branch(stem)))
    a = F.max_pool2d(module.last(a), 3, 2, 1).detach().requires_grad_()
    (slope,) = torch.autograd.grad(a.amax((2, 3)).sum(), a)
    grid = (a * slope).sum(1, keepdim=True).detach()
    expected = F.interpolate(grid, (8, 8), mode="bilinear")
    torch.testing.assert_close(found[:, :1], expected, rtol=1e-5, atol=1e-8)
