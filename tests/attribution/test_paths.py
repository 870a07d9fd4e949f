"""Integrated and expected gradients: complete, as Captum has them, and as a plain mean."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from exported import (
    Attending,
    Functional,
    Recurrent,
    Residual,
    Words,
    ids,
    made,
    network,
    networked,
    pixels,
)
from torch import nn

from onnxattr.attribution.baselines import baselines
from onnxattr.attribution.deeplift import deeplift
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.attribution.paths import contributions, expected_gradients, integrated_gradients
from onnxattr.attribution.setting import Setting
from onnxattr.errors import SupportError, UsageError
from onnxattr.types import IMAGE, TOKENS


def rows(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).sum(1)


@pytest.mark.parametrize("kind", [Attending, Recurrent])
@pytest.mark.parametrize("baseline", ["black", "noise"])
def test_smooth_nets_are_complete(kind: type[nn.Module], baseline: str) -> None:
    """Gauss and Legendre's error falls faster than any power of the number of steps."""
    x, net = pixels(), networked(kind)
    (before,) = baselines(Setting(net), baseline)
    delta = rows(net.module(x) - net.module(before(x)))
    errors = [
        float((rows(contributions(Setting(net), x, before, steps)) - delta).abs().max())
        for steps in (4, 8, 32)
    ]
    scale = float(delta.abs().max())
    assert errors[2] < 1e-6 * scale
    assert errors[2] < 1e-2 * errors[0] or errors[0] < 1e-6 * scale


def test_kinks_leave_an_error_that_falls_with_the_steps() -> None:
    x, net = pixels(), networked(Residual)
    (before,) = baselines(Setting(net), "black")
    delta = rows(net.module(x) - net.module(before(x)))
    error = [
        float((rows(contributions(Setting(net), x, before, n)) - delta).abs().sum())
        for n in (4, 32, 256)
    ]
    assert error[0] > error[1] > error[2]
    assert error[2] < 1e-2 * float(delta.abs().sum())


def test_a_polynomial_is_exact() -> None:
    """T = Σ x³, whose gradient is of degree 2: two points are enough, one is not."""

    class Cube(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x * x

    x = pixels()
    setting = Setting(network(Cube(), x))
    (before,) = baselines(setting, "noise")
    x0 = before(x)
    exact = x**3 - x0**3
    torch.testing.assert_close(contributions(setting, x, before, 2), exact, rtol=1e-10, atol=1e-12)
    assert float((contributions(setting, x, before, 1) - exact).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", [Functional, Residual, Attending])
def test_captum_agrees(kind: type[nn.Module]) -> None:
    x, module = pixels(), made(kind)
    setting = Setting(networked(kind))
    (before,) = baselines(setting, "mean")
    theirs = IntegratedGradients(lambda v: rows(module(v)), multiply_by_inputs=True)
    expected = theirs.attribute(x, baselines=before(x), n_steps=12, method="gausslegendre")
    found = contributions(setting, x, before, 12)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


def test_several_baselines_are_averaged() -> None:
    x, setting = pixels(), Setting(networked(Functional))
    maps = [
        integrated_gradients(setting, steps=4, baseline=name)(x)
        for name in ("black", "noise", "mean", "black+noise+mean")
    ]
    torch.testing.assert_close(maps[3], sum(maps[:3]) / 3, rtol=1e-5, atol=1e-8)


def test_of_images_a_map_holds_the_mean_over_the_channels() -> None:
    x, module = pixels().float(), made(Functional).float()
    net = network(module, x, kind=IMAGE)
    explain = integrated_gradients(Setting(net), steps=64, baseline="white")
    found = explain(x)
    module = made(Functional)
    delta = rows(module(x.double()) - module(torch.ones_like(x).double()))
    torch.testing.assert_close(3 * rows(found).double(), delta, rtol=1e-2, atol=1e-4)


def test_expected_gradients_are_the_mean_over_pairs() -> None:
    """The same draws, with a gradient of torch's own, one pair at a time."""
    x, module, background = pixels(), made(Functional), pixels(5, seed=9)
    setting = Setting(networked(Functional), seed=3, background=background)
    found = expected_gradients(setting, samples=8)(x)

    generator = torch.Generator().manual_seed(3)
    order = [torch.randperm(5, generator=generator) for _ in range(2)]
    chosen = torch.cat(order)[:8]
    parts = torch.randperm(8, generator=generator)
    places = (parts + torch.rand(8, generator=generator, dtype=torch.float64)) / 8
    total = torch.zeros_like(x)
    for x0, place in zip(background[chosen], places, strict=True):
        at = (x0 + place * (x - x0)).requires_grad_()
        total += (x - x0) * torch.autograd.grad(rows(module(at)).sum(), at)[0] / 8
    torch.testing.assert_close(found.double(), total, rtol=1e-7, atol=1e-10)
    # Every part of the way is seen once, and no baseline more than one time more than others.
    assert sorted((places * 8).long().tolist()) == list(range(8))
    assert set(np.bincount(chosen.numpy())) == {1, 2}


def test_expected_gradients_tend_to_the_difference_to_the_background() -> None:
    x, module, background = pixels(), made(Functional), pixels(4, seed=9)
    setting = Setting(networked(Functional), background=background)
    found = rows(expected_gradients(setting, samples=256)(x)).double()
    delta = rows(module(x)) - rows(module(background)).mean()
    torch.testing.assert_close(found, delta, rtol=0.05, atol=0.05 * float(delta.abs().max()))


def test_token_ids_are_explained_at_their_embedding() -> None:
    """From the embedding of zeros, or from those of other rows."""
    x, others, module = ids(3), ids(2, seed=4), made(Words)
    net = network(module, x, kind=TOKENS)
    z, background = module.words(x), module.words(others)

    def slope(at: torch.Tensor) -> torch.Tensor:
        at = at.detach().requires_grad_()
        return torch.autograd.grad(module.behind(at).sum(), at)[0]

    setting = Setting(net, background=others)
    found = integrated_gradients(setting, steps=24, baseline="black")(x).double()
    delta = rows(module.behind(z) - module.behind(torch.zeros_like(z)))
    torch.testing.assert_close(6 * rows(found), delta, rtol=1e-5, atol=1e-8)
    multipliers = deeplift(setting, baseline="black")(x).double()
    torch.testing.assert_close(6 * rows(multipliers), delta, rtol=1e-5, atol=1e-8)

    found = expected_gradients(setting, samples=2)(x).double()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(2, generator=generator)
    parts = torch.randperm(2, generator=generator)
    places = (parts + torch.rand(2, generator=generator, dtype=torch.float64)) / 2
    pairs = zip(background[chosen], places, strict=True)
    expected = sum((z - b) * slope(b + place * (z - b)) for b, place in pairs) / 2
    torch.testing.assert_close(found, expected.mean(2), rtol=1e-5, atol=1e-8)
    with pytest.raises(SupportError, match="`noise` is no baseline of token ids"):
        integrated_gradients(setting, steps=2, baseline="noise")


def test_expected_gradients_want_a_background() -> None:
    with pytest.raises(UsageError, match="compares a probe with others"):
        Engine(networked(Functional), methods=[parse("expected-gradients")])
