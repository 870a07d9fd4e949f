"""Guided backpropagation against Captum's, and what is a rectifier."""

import numpy as np
import onnx
import pytest
import torch
from captum.attr import GuidedBackprop
from exported import Plain, Pooled, Reused, made, networked, pixels
from onnx import numpy_helper, parser
from torch import nn

from onnxattr.attribution.guided import guided_backprop
from onnxattr.attribution.setting import Setting
from onnxattr.convert.torch import to_network
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY

pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks:UserWarning")


@pytest.mark.parametrize("kind", [Plain, Pooled, Reused])
def test_captum_agrees(kind: type[nn.Module]) -> None:
    class Total(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = made(kind)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.module(x).flatten(1).sum(1, keepdim=True)

    x = pixels()
    expected = GuidedBackprop(Total()).attribute(x.clone().requires_grad_(), target=0)
    found = guided_backprop(Setting(networked(kind)))(x).double()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    plain = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(made(kind)(plain).sum(), plain)
    assert float((gradient - expected).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("function", "version", "guided"),
    [
        ("Relu", 17, True),
        ("Clip", 17, True),
        ("Clip<min = 0.0, max = 6.0>", 10, True),
        ("LeakyRelu", 17, False),
        ("Elu", 17, False),
        ("Clip<min = -1.0, max = 1.0>", 10, False),
    ],
)
def test_what_is_a_rectifier(function: str, version: int, guided: bool) -> None:
    """y = w · f(x): only through a rectifier does a negative weight pass nothing back."""
    extra = ", zero" if function == "Clip" else ""
    name, _, attributes = function.partition("<")
    text = f'<ir_version: 8, opset_import: ["" : {version}]> g (float[N,4] x) => (float[N,1] y) '
    called = f"{name}<{attributes}(x{extra})" if attributes else f"{name}(x{extra})"
    proto = parser.parse_model(f"{text} {{ h = {called} y = MatMul(h, w) }}")
    w = np.array([[2.0], [-3], [1], [-1]], np.float32)
    stored = {"w": w, "zero": np.float32(0)} if extra else {"w": w}
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()
    )
    model = load(onnx.ModelProto.SerializeToString(proto))
    net = to_network(model, at="output", spec=probe_input(model, InputOptions(), ARRAY, (4,)))
    x = torch.tensor([[0.5, 0.25, -0.5, -0.25]])
    found = guided_backprop(Setting(net))(x)[0]
    if guided:
        assert found.tolist() == [2, 0, 0, 0]
    else:
        assert found[1] == -3
