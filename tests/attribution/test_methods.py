"""The three methods against a float64 re-implementation from the paper, and finite differences."""

import numpy as np
import pytest
import torch
from nets import FUNCTIONS, PAPER, RANGE, SIZE, Net, attribute, background, network, probes
from onnx.reference import ReferenceEvaluator

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import BY_GRADIENT, find, parse
from onnxattr.attribution.relevance import with_secants
from onnxattr.attribution.setting import Setting
from onnxattr.graph.load import load


def fed(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the model is fed for a uint8 image, [3, y, x], and ∂fed/∂probe a channel."""
    low, high = RANGE.range
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (RANGE.mean, RANGE.std))
    x = (image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)).astype(np.float64)
    return (x * (high - low) + low - mean) / std, (high - low) / std


def oracle(net: Net, image: np.ndarray, method: str) -> np.ndarray:
    x, scale = fed(image)
    if method == "saliency":
        return np.abs(net.relevance(x, None) * scale).mean(axis=0)
    epsilon = 1e-4 if method == "elrp" and net.function in PAPER else None
    return (x * net.relevance(x, epsilon)).mean(axis=0)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("method", ["saliency", "grad-input", "elrp"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_maps_equal_the_papers_arithmetic(
    dtype: type, method: str, function: str, seed: int
) -> None:
    if (dtype, method, function) == (np.float32, "elrp", "Sigmoid"):
        # σ(z) / z has a pole where σ has none: near it, the rounding of z alone moves the quotient.
        pytest.skip("the definition is ill-conditioned in float32; checked in float64")
    net, images = Net.random(function, seed), probes(seed=seed)
    maps = attribute(network(net.onnx(dtype=dtype)), images, method=method)
    tolerance = 1e-6 if dtype is np.float64 else 1e-4
    for ours, image in zip(maps, images.images, strict=True):
        expected = oracle(net, image, method)
        allowed = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=allowed)


@pytest.mark.parametrize("function", ["Tanh", "Softplus", "Sigmoid"])
def test_gradients_equal_finite_differences_of_the_onnx_reference(function: str) -> None:
    net = Net.random(function, 3)
    reference = ReferenceEvaluator(load(net.onnx(dtype=np.float64)).proto)
    image = probes(1).images[0]
    x, scale = fed(image)
    step, expected = 1e-5, np.zeros_like(x)
    for index in np.ndindex(x.shape):
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[index] += sign * step
            (y,) = reference.run(None, {"x": moved[None]})
            expected[index] += sign * y.sum() / (2 * step)
    data = net.onnx()
    saliency = attribute(network(data), probes(1), method="saliency")[0]
    np.testing.assert_allclose(saliency, np.abs(expected * scale).mean(axis=0), rtol=1e-4)
    product = attribute(network(data), probes(1), method="grad-input")[0]
    expected_product = (x * expected).mean(axis=0)
    np.testing.assert_allclose(
        product, expected_product, rtol=1e-4, atol=1e-5 * np.abs(expected_product).max()
    )


def test_elrp_of_a_relu_net_tends_to_gradient_times_input() -> None:
    net = network(Net.random("Relu", 5).onnx())
    x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def distance(epsilon: float) -> float:
        def run(module: torch.nn.Module) -> torch.Tensor:
            leaf = x.clone().requires_grad_()
            return torch.autograd.grad(module(leaf).sum(), leaf)[0]

        return float((run(with_secants(net, epsilon)) - run(net.module)).abs().max())

    distances = [distance(epsilon) for epsilon in (1e-2, 1e-4, 1e-6)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-3


def test_the_secant_takes_the_sign_of_zero_for_plus() -> None:
    # Sigmoid is 1/2 at zero: with sign 0 = -1 its secant there would be -5000, not +5000.
    net = network(Net.random("Sigmoid", 0).onnx())
    secant = dict(with_secants(net).named_modules())
    (name,) = [n for n, op in net.operators.items() if op.op_type == "Sigmoid"][:1]
    z = torch.tensor([0.0, -0.0, 1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(secant[name](z).sum(), z)
    expected = [0.5 / 1e-4, 0.5 / 1e-4, float(torch.sigmoid(torch.tensor(1.0))) / (1 + 1e-4)]
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("method", BY_GRADIENT)
def test_layouts_give_the_same_map(method: str) -> None:
    net = Net.random("Relu", 7)
    first = attribute(network(net.onnx(layout="NCHW")), probes(), method=method)
    last = attribute(network(net.onnx(layout="NHWC")), probes(), method=method)
    np.testing.assert_allclose(first, last, rtol=1e-5, atol=1e-6 * np.abs(first).max())


@pytest.mark.parametrize("method", BY_GRADIENT)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_graph_with_a_fixed_batch_takes_any_number_of_probes(method: str, batch: int) -> None:
    net = Net.random("Tanh", 8)
    free = attribute(network(net.onnx()), probes(5), method=method)
    fixing = network(net.onnx(batch=batch))
    engine = Engine(fixing, methods=[parse(method)], background=background())
    (fixed,) = engine.maps(probes(5).images)
    assert engine.size == batch
    np.testing.assert_allclose(fixed, free, rtol=1e-4, atol=1e-5 * np.abs(free).max())


@pytest.mark.parametrize("method", BY_GRADIENT)
def test_batch_size_does_not_matter_and_repeats_are_identical(method: str) -> None:
    net = network(Net.random("Relu", 9).onnx())
    whole = attribute(net, probes(7), method=method, batch_size=7)
    again = attribute(net, probes(7), method=method, batch_size=7)
    parts = attribute(net, probes(7), method=method, batch_size=2)
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6 * np.abs(whole).max())


@pytest.mark.parametrize("method", BY_GRADIENT)
def test_the_network_is_left_as_it_was(method: str) -> None:
    net = network(Net.random("Relu", 10).onnx())
    before = {k: v.clone() for k, v in net.module.state_dict().items()}
    modules = dict(net.module.named_modules())
    attribute(net, probes(), method=method)
    assert all(torch.equal(before[k], v) for k, v in net.module.state_dict().items())
    assert dict(net.module.named_modules()) == modules
    assert all(p.grad is None and not p.requires_grad for p in net.module.parameters())


@pytest.mark.parametrize("method", BY_GRADIENT)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_no_tensor_is_left_on_another_device(method: str, layout: str) -> None:
    """The meta device refuses to meet a tensor of the CPU, as a GPU would."""
    net = network(Net.random("Elu", 11).onnx(layout=layout), device="meta")
    x = torch.empty(2, 3, SIZE, SIZE, device="meta")
    setting = Setting(net, background=x)
    maps = find(method)(setting, **parse(method).options)(x)
    assert maps.shape == (2, SIZE, SIZE)
    assert maps.device.type == "meta"
