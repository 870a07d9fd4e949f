"""How many probes are taken at a time, by the memory that they are measured to take."""

import numpy as np
import pytest
import torch
from nets import Net, network, probes
from torch import nn

from onnxattr.attribution import engine, memory
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.memory import BATCH, MOST, Taken, measured, size_of_batch


def test_what_autograd_keeps_is_measured() -> None:
    """Of x → σ(x) → σ(σ(x)) both results are kept; the weights of a layer do not count."""
    module = nn.Sequential(nn.Linear(50, 100, bias=False), nn.Sigmoid(), nn.Sigmoid())
    module.requires_grad_(False)
    for probe_count in (1, 4):
        x = torch.ones(probe_count, 50, requires_grad=True)
        with measured(module, "cpu") as taken:
            module(x).sum().backward()
        assert taken.bytes == probe_count * 2 * 100 * 4


def test_one_tensor_that_is_kept_twice_is_there_once() -> None:
    x = torch.ones(10, requires_grad=True)
    with measured(nn.Identity(), "cpu") as taken:
        y = torch.exp(x)
        (y * y * y.view(2, 5).reshape(10)).sum().backward()
    # exp(x), once; and y·y.
    assert taken.bytes == 2 * 10 * 4


@pytest.mark.parametrize(
    ("each", "free", "device", "expected"),
    [
        (10**6, 10**9, "cpu", BATCH),
        (10**6, 10**12, "cuda", MOST),
        (10**8, 10**9, "cpu", 4),
        (10**8, 10**9, "cuda", 4),
        (10**9, 10**9, "cuda", 1),
        (0, 10**9, "cuda", BATCH),
        (10**6, None, "mps", BATCH),
    ],
)
def test_as_many_as_memory_holds(each: int, free: int | None, device: str, expected: int) -> None:
    assert size_of_batch(Taken(2 * each), 2, device, free) == expected


def test_the_system_says_what_is_free() -> None:
    free = memory.free_memory("cpu")
    assert free is not None
    assert 2**20 < free < 2**50
    assert memory.free_memory("meta") is None


def test_little_memory_makes_small_batches_and_the_same_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = network(Net.random("Relu", 0).onnx())
    whole = Engine(net)
    expected = whole.maps(probes(9).images)
    assert whole.size == BATCH
    monkeypatch.setattr(memory, "free_memory", lambda device: 20_000)
    small = Engine(net)
    found = small.maps(probes(9).images)
    assert small.size < BATCH
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_who_says_how_many_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 1)
    chosen = Engine(network(Net.random("Relu", 0).onnx()), batch_size=5)
    chosen.maps(probes(7).images)
    assert chosen.size == 5
    fixed = Engine(network(Net.random("Relu", 0).onnx(batch=3)))
    fixed.maps(probes(4).images)
    assert fixed.size == 3


def test_measuring_costs_no_pass_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the pass that finds out whether the units cancel."""
    net = network(Net.random("Relu", 0).onnx())
    calls = []
    whole = engine.gradients.dependence
    monkeypatch.setattr(engine.gradients, "dependence", lambda *a: (calls.append(1), whole(*a))[1])
    Engine(net).maps(probes(2).images)
    assert len(calls) == 1
