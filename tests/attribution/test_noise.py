"""SmoothGrad and VarGrad, against the same draws with torch's own gradients, and Captum's."""

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from exported import Attending, Functional, made, network, networked, pixels
from torch import nn

from onnxattr.attribution.noise import smoothgrad, vargrad
from onnxattr.attribution.setting import Setting
from onnxattr.types import IMAGE


def rows(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).sum(1)


def slopes(module: nn.Module, x: torch.Tensor, deviation: torch.Tensor, seed: int, count: int):
    """The gradients at noisy probes, [draw, probe, …], one probe and one draw at a time."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        draw = torch.randn(x.shape[1:], generator=generator).double()
        each = []
        for one, size in zip(x, deviation, strict=True):
            at = (one + size * draw)[None].requires_grad_()
            each.append(torch.autograd.grad(module(at).sum(), at)[0][0])
        found.append(torch.stack(each))
    return torch.stack(found)


@pytest.mark.parametrize("kind", [Functional, Attending])
def test_of_arrays_the_noise_goes_by_their_range(kind: type[nn.Module]) -> None:
    x = 7 * pixels() - 2
    size = 0.2 * (x.flatten(1).amax(1) - x.flatten(1).amin(1))
    expected = slopes(made(kind), x, size, 5, 6)
    setting = Setting(networked(kind), seed=5)

    found = smoothgrad(setting, samples=6, noise=0.2, of="saliency")(x).double()
    torch.testing.assert_close(found, expected.mean(0).abs(), rtol=1e-6, atol=1e-9)
    product = smoothgrad(setting, samples=6, noise=0.2, of="grad-input")(x).double()
    torch.testing.assert_close(product, x * expected.mean(0), rtol=1e-6, atol=1e-8)
    variance = vargrad(setting, samples=6, noise=0.2)(x).double()
    torch.testing.assert_close(variance, expected.var(0, correction=0), rtol=1e-5, atol=1e-10)


def test_of_images_the_range_is_one() -> None:
    x = pixels().float()
    net = network(made(Functional).float(), x, kind=IMAGE)
    expected = slopes(made(Functional), x.double(), torch.full((3,), 0.15), 0, 4)
    found = smoothgrad(Setting(net), samples=4, noise=0.15, of="saliency")(x).double()
    torch.testing.assert_close(found, expected.mean(0).abs().mean(1), rtol=1e-4, atol=1e-7)
    variance = vargrad(Setting(net), samples=4, noise=0.15)(x).double()
    torch.testing.assert_close(
        variance, expected.var(0, correction=0).mean(1), rtol=1e-3, atol=1e-9
    )


def test_no_noise_is_the_saliency() -> None:
    x, module = pixels(), made(Functional)
    expected = Saliency(lambda v: rows(module(v))).attribute(x.clone().requires_grad_(), abs=True)
    setting = Setting(networked(Functional))
    found = smoothgrad(setting, samples=2, noise=0.0, of="saliency")(x).double()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert float(vargrad(setting, samples=3, noise=0.0)(x).abs().max()) < 1e-12


@pytest.mark.parametrize("method", ["smoothgrad", "vargrad"])
def test_captum_agrees_where_it_draws_the_same(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captum draws for each probe apart; one probe, and our generator, make the draws the same."""
    x, module, samples = pixels(1), made(Functional), 5
    generator = torch.Generator().manual_seed(2)
    draws = torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in range(samples)])

    def drawn(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        return mean + std * draws.double()

    monkeypatch.setattr(torch, "normal", drawn)
    size = float(x.max() - x.min()) * 0.15
    tunnel = NoiseTunnel(Saliency(lambda v: rows(module(v))))
    theirs = tunnel.attribute(
        x.clone().requires_grad_(), nt_type=method, nt_samples=samples, stdevs=size, abs=False
    )
    monkeypatch.undo()
    setting = Setting(networked(Functional), seed=2)
    if method == "smoothgrad":
        theirs = theirs.abs()
        found = smoothgrad(setting, samples=samples, noise=0.15, of="saliency")(x)
    else:
        found = vargrad(setting, samples=samples, noise=0.15)(x)
    torch.testing.assert_close(found.double(), theirs, rtol=1e-5, atol=1e-9)


def test_draws_do_not_depend_on_the_batch_and_follow_the_seed() -> None:
    x = pixels(4)
    explain = smoothgrad(Setting(networked(Functional)), samples=3, noise=0.1, of="saliency")
    whole, parts = explain(x), torch.cat([explain(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(whole, parts, rtol=1e-6, atol=1e-9)
    other = smoothgrad(Setting(networked(Functional), seed=1), samples=3, noise=0.1, of="saliency")
    assert not np.allclose(whole, other(x), rtol=1e-3)
