"""Gradient fields against integrals that are written out, and what must hold of them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from exported import Attending, Functional, Residual, Words, ids, made, network, networked, pixels
from nets import RANGE, SIZE, Net, probes
from nets import network as image_network
from scipy.special import roots_legendre
from torch import nn

from onnxattr.attribution import fields
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.fields import gradient_field
from onnxattr.attribution.paths import contributions
from onnxattr.attribution.reductions import Reduction, Target
from onnxattr.attribution.setting import Setting
from onnxattr.attribution.units import MOST, STEPS, arranged_field
from onnxattr.errors import SupportError
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES
from onnxattr.types import IMAGE, TOKENS, InputSpec


def plain_field(
    slope: Callable[[np.ndarray], np.ndarray], x: np.ndarray, x0: np.ndarray, steps: int
) -> np.ndarray:
    """The field of one probe, [step, …]: the sum of the quadrature, term by term."""
    places, weights = roots_legendre(steps)
    return np.stack(
        [
            sum(
                weights[s] / 2 * slope(x0 + (places[s] + 1) / 2 * (x - x0)) * (x - x0)
                for s in range(t + 1)
            )
            for t in range(steps)
        ]
    )


@pytest.mark.parametrize("function", ["Tanh", "Relu", "Softplus"])
def test_fields_of_images_by_hand(function: str) -> None:
    """A net of numpy whose gradient is worked out by hand, in another range than that of probes."""
    net, given, others = Net.random(function, 0), probes(3).images, probes(3, seed=1).images
    low, high = RANGE.range
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (RANGE.mean, RANGE.std))

    def slope(x: np.ndarray) -> np.ndarray:
        return net.relevance((x * (high - low) + low - mean) / std, None) * (high - low) / std

    found = Engine(image_network(net.onnx()), batch_size=2).fields(given, others)
    assert found.shape == (3, STEPS, SIZE, SIZE)
    assert found.dtype == np.float32
    for k in range(3):
        x, x0 = (v[k].transpose(2, 0, 1) / 255.0 for v in (given, others))
        expected = plain_field(slope, x, x0, STEPS).mean(axis=1)
        np.testing.assert_allclose(found[k], expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", [Functional, Residual, Attending])
def test_fields_of_arrays_by_autograd(kind: type[nn.Module]) -> None:
    x, x0, module = pixels(), pixels(seed=1), made(kind)

    def slope(here: np.ndarray) -> np.ndarray:
        leaf = torch.from_numpy(here)[None].requires_grad_()
        (found,) = torch.autograd.grad(module(leaf).sum(), leaf)
        return found[0].numpy()

    found = gradient_field(Setting(networked(kind)), x, x0, steps=6).numpy()
    assert found.shape == (3, 6, x[0].numel())
    for k in range(3):
        expected = plain_field(slope, x[k].numpy(), x0[k].numpy(), 6).reshape(6, -1)
        np.testing.assert_allclose(found[k], expected, rtol=1e-6, atol=1e-10)


def test_of_a_linear_net_the_field_is_known() -> None:
    """F(t) = t · w ⊙ (x − x′), and so its cosine with another net's is the same at every step."""

    def linear(seed: int) -> tuple[nn.Module, torch.Tensor]:
        module = nn.Sequential(nn.Flatten(), made(nn.Linear, seed, in_features=192, out_features=4))
        return module, module[1].weight.sum(0)

    x, x0 = pixels(), pixels(seed=1)
    weights = np.cumsum(roots_legendre(STEPS)[1] / 2)
    evidence, products = [], []
    for seed in (0, 1):
        module, slope = linear(seed)
        found = gradient_field(Setting(network(module, x)), x, x0).numpy()
        product = ((x - x0).flatten(1) * slope).numpy()
        expected = weights[:, None] * product[:, None]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        evidence.append(Evidence(str(seed), field=found))
        products.append(product)
    one, other = products
    cosines = (one * other).sum(1) / np.sqrt((one**2).sum(1) * (other**2).sum(1))
    np.testing.assert_allclose(MEASURES["modelgif"](*evidence), cosines, atol=1e-9)


def test_the_last_step_is_integrated_gradients_and_complete() -> None:
    """Of a smooth net: kinks leave an error that `test_paths` measures."""
    x, x0, module = pixels(), pixels(seed=1), made(Attending)
    setting = Setting(networked(Attending))
    last = gradient_field(setting, x, x0, steps=24)[:, -1]
    whole = contributions(setting, x, lambda _: x0, 24).flatten(1)
    torch.testing.assert_close(last, whole, rtol=1e-9, atol=1e-12)
    delta = (module(x) - module(x0)).flatten(1).sum(1)
    torch.testing.assert_close(last.sum(1), delta, rtol=1e-6, atol=1e-7)


def test_token_ids_have_a_number_a_token_and_are_complete() -> None:
    """The way leads through the embedding, whose mean over its numbers is kept."""
    module, x, x0 = made(Words).float(), ids(), ids(seed=1)
    net = network(module, x, kind=TOKENS)
    found = gradient_field(Setting(net), x, x0, steps=16)
    assert found.shape == (7, 16, 5)
    delta = (module(x) - module(x0)).sum(1)
    torch.testing.assert_close(6 * found[:, -1].sum(1), delta, rtol=1e-3, atol=1e-5)


def test_the_same_fields_again_and_in_other_batches() -> None:
    given, others = probes(7).images, probes(7, seed=1).images
    made_by = [
        Engine(image_network(Net.random("Relu", 0).onnx(batch=batch)), batch_size=size)
        for batch, size in (("N", 7), ("N", 7), ("N", 1), ("N", 3), (4, None))
    ]
    first, *rest = (engine.fields(given, others) for engine in made_by)
    np.testing.assert_array_equal(first, rest[0])
    for other in rest[1:]:
        assert other.shape == first.shape
        np.testing.assert_allclose(other, first, atol=1e-6 * np.abs(first).max())


def test_running_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    given, others = probes(9).images, probes(9, seed=1).images
    net = image_network(Net.random("Relu", 0).onnx())
    expected = Engine(net, batch_size=2).fields(given, others)
    inner = fields.gradient_field

    def fails(setting: Setting, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("GPU")
        return inner(setting, x, x0)

    monkeypatch.setattr("onnxattr.attribution.engine.gradient_field", fails)
    engine = Engine(net, batch_size=8)
    np.testing.assert_array_equal(engine.fields(given, others), expected)
    assert engine.size == 2


def test_each_projection_has_its_steps() -> None:
    given, others = probes(2).images, probes(2, seed=1).images
    net = image_network(Net.random("Tanh", 0).onnx())
    found = Engine(net, reduction=Reduction("projection", 2), seed=5).fields(given, others)
    x, x0 = (torch.from_numpy(v).permute(0, 3, 1, 2) / 255.0 for v in (given, others))
    apart = [gradient_field(Setting(net, Target("projection", i, 5)), x, x0) for i in (0, 1)]
    np.testing.assert_allclose(found, torch.cat(apart, 1).numpy(), rtol=1e-4, atol=1e-6)


def test_large_images_are_averaged_by_area() -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * x).sum((1, 2, 3))[:, None]

    generator = torch.Generator().manual_seed(0)
    x, x0 = torch.rand(2, 1, 3, 256, 64, generator=generator)
    net = network(Sum(), x, kind=IMAGE)
    found = gradient_field(Setting(net), x, x0, steps=4)
    assert found.shape == (1, 4, 128, 64)
    whole = (x**2 - x0**2).mean(1)
    expected = whole.reshape(1, 128, 2, 64).mean(2)
    torch.testing.assert_close(found[:, -1], expected, rtol=1e-4, atol=1e-6)
    kept = arranged_field(found.numpy(), net.spec)
    assert kept.whole == (4, 256, 64)


def test_fields_that_cannot_be_compared() -> None:
    spec = InputSpec("x", "N", 0, 0, kind="array", axes=(4,))
    bad = np.ones((2, 3, 4), np.float32)
    bad[1, 2, 3] = np.inf
    assert arranged_field(bad, spec).lacking == "some of its gradients are not finite"
    wide = np.broadcast_to(np.float32(1), (1, 8, MOST // 8 + 1))
    lacking = arranged_field(wide, spec).lacking
    assert lacking == "it has 4,194,312 numbers a probe, and at most 4,194,304 fit"
    assert arranged_field(bad[:1], spec).whole == (3, 4)


def test_units_that_cancel_have_no_field() -> None:
    """Of a softmax all gradients are rounding."""

    class Softmax(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(x.flatten(1), -1)

    x = pixels().float()
    engine = Engine(network(Softmax(), x), methods=())
    with pytest.raises(SupportError, match="cancel"):
        engine.fields(x.numpy(), x.flip(0).numpy())
