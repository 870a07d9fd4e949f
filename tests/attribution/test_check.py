"""The gradient against finite differences that torch has no part in."""

import numpy as np
import pytest
import torch
from nets import FUNCTIONS, Net, network, probes
from torch import nn

from onnxattr.attribution.check import TOLERANCE, check_gradient
from onnxattr.convert.parity import Gate
from onnxattr.errors import ParityError


def check(net, count=3):
    return check_gradient(net, Gate(net), probes(count).images)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_right_gradients_pass(function, seed, layout):
    result = check(network(Net.random(function, seed).onnx(layout=layout)))
    assert result.error < TOLERANCE / 4
    assert result.probes == 2


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_fixed_batches(batch, count):
    result = check(network(Net.random("Tanh", 1).onnx(batch=batch)), count)
    assert result.error < TOLERANCE / 4
    assert result.probes == min(batch, count, 2)


class Graded(nn.Module):
    """The right values; of their gradient a part."""

    def __init__(self, right, part):
        super().__init__()
        self.right, self.part = right, part

    def forward(self, *inputs):
        y = self.right(*inputs)
        return y.detach() + self.part * (y - y.detach())


@pytest.mark.parametrize("part", [0.0, 0.5, 0.8, 1.2, -1.0])
@pytest.mark.parametrize("operator", ["Softplus", "Add"])
def test_values_that_are_right_with_a_gradient_that_is_not(operator, part):
    """Softplus: one of two branches. Add: all of it."""
    net = network(Net.random("Softplus", 2).onnx())
    name = next(n for n, node in net.operators.items() if node.op_type == operator)
    net.module.add_module(name, Graded(net.module.get_submodule(name), part))
    gate = Gate(net)
    gate.check(probes(3).images)
    with pytest.raises(ParityError, match="gradient is not that of its values"):
        check_gradient(net, gate, probes(3).images)


def test_half_precision_is_not_checked():
    assert check(network(Net.random("Relu", 0).onnx(dtype=np.float16))) is None


def test_a_constant_is_not_wrong():
    """Its maps are all zero, which is told elsewhere."""
    net = Net.random("Relu", 0)
    for weight in (net.first, net.second, net.skip):
        weight[:] = 0
    assert check(network(net.onnx())).error == 0


def test_the_network_is_left_as_it_was():
    net = network(Net.random("Relu", 0).onnx())
    before = torch.get_rng_state()
    check(net)
    assert all(p.grad is None for p in net.module.parameters())
    assert torch.equal(torch.get_rng_state(), before)
