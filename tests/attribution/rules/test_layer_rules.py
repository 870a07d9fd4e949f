"""Rules of layers against their definitions in matrix form."""

from functools import partial

import chains
import numpy as np
import pytest
import torch

from onnxattr.attribution.rules.apply import with_rules
from onnxattr.attribution.rules.composites import LAYERS, Choice, Composite, built_in, layer_rule
from onnxattr.attribution.rules.multipliers import nonzero
from onnxattr.convert.array_feed import feed_of

#: Rules for every layer, with numbers other than the defaults.
ANYWHERE = {
    "epsilon": {"epsilon": 0.03},
    "gamma": {"gamma": 0.4, "stabilizer": 0.01},
    "z-plus": {"stabilizer": 0.01},
    "alpha-beta": {"alpha": 3.0, "beta": 2.0, "stabilizer": 0.01},
}
FIRST = {
    "flat": {"stabilizer": 0.01},
    "w-square": {"stabilizer": 0.01},
    "z-box": {"low": -3.0, "high": 3.5, "stabilizer": 0.01},
}


def oracle(name: str, **options):
    return partial(getattr(chains, name.replace("-", "_")), **options)


def relevance(network, composite: Composite, x: torch.Tensor) -> np.ndarray:
    """z ⊙ c of the sum of all outputs."""
    leaf = x.clone().requires_grad_()
    y = with_rules(network, composite)(leaf)
    torch.testing.assert_close(y, network.module(x), rtol=1e-9, atol=1e-9)
    (c,) = torch.autograd.grad(y.sum(), leaf)
    return (nonzero(x) * c).numpy()


def probes(count: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, chains.SIZE, chains.SIZE, generator=generator).double()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ANYWHERE)
def test_a_rule_in_every_layer_is_its_definition(name: str, seed: int) -> None:
    layers, x = chains.chain(seed), probes(seed=seed)
    composite = Composite((Choice(LAYERS, layer_rule(name, **ANYWHERE[name])),))
    ours = relevance(chains.network(chains.build(layers)), composite, x)
    rules = [oracle(name, **ANYWHERE[name])] * len(layers)
    for one, image in zip(ours, x.numpy(), strict=True):
        expected = chains.relevance(layers, rules, image)
        np.testing.assert_allclose(one, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("operator", LAYERS)
@pytest.mark.parametrize("name", FIRST)
def test_a_rule_of_first_layers_is_its_definition(name: str, operator: str) -> None:
    rest = ("Gemm",) if operator in ("Gemm", "MatMul") else ("Conv", "Gemm")
    layers, x = chains.chain(2, (operator, *rest)), probes()
    # Of an input of zero it is relevance, too.
    x[:, :, 2:4] = 0
    composite = Composite(
        (
            Choice(LAYERS, layer_rule(name, **FIRST[name]), first=True),
            Choice(LAYERS, layer_rule("z-plus", stabilizer=0.01)),
        )
    )
    ours = relevance(chains.network(chains.build(layers)), composite, x)
    rules = [oracle(name, **FIRST[name]), *[oracle("z-plus", stabilizer=0.01)] * len(rest)]
    for one, image in zip(ours, x.numpy(), strict=True):
        expected = chains.relevance(layers, rules, image)
        np.testing.assert_allclose(one, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())
        assert np.abs(expected[:, 2:4]).max() > 0


def test_the_bounds_of_a_box_are_those_of_black_and_white_probes() -> None:
    layers = chains.chain(3, ("Conv", "Conv", "Gemm"))
    network = chains.network(chains.build(layers))
    canonical = torch.rand(2, 3, chains.SIZE, chains.SIZE)
    x = feed_of(network.spec)(canonical).detach()
    ours = relevance(network, built_in("epsilon-gamma-box"), x)
    options, size = chains.RANGE, chains.SIZE**2
    scale = np.repeat(options.std, size)
    low, high = ((v - np.repeat(options.mean, size)) / scale for v in options.range)
    rules = [oracle("z-box", low=low, high=high), oracle("gamma"), oracle("epsilon")]
    for one, image in zip(ours, x.numpy(), strict=True):
        expected = chains.relevance(layers, rules, image)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
