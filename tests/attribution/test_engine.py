"""Running out of memory, devices, and exporters that write the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from nets import SIZE, Net, attribute, network, probes
from onnx import numpy_helper, parser

import onnxattr
from onnxattr.attribution import engine, gradients
from onnxattr.attribution.arithmetic import arithmetic
from onnxattr.attribution.methods import METHODS
from onnxattr.attribution.setting import Setting
from onnxattr.convert import device
from onnxattr.convert.device import choose_device
from onnxattr.convert.torch import to_network
from onnxattr.errors import DeviceError, SupportError, UsageError
from onnxattr.space.similarity import similarity

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture
def limited(monkeypatch):
    """Saliency has memory for so many probes at a time, and then fails in this way."""

    def limit(count: int, message: str | None) -> None:
        def method(setting: Setting):
            inner = gradients.saliency(setting)

            def explain(x: torch.Tensor) -> torch.Tensor:
                if len(x) > count:
                    raise (
                        torch.OutOfMemoryError("GPU") if message is None else RuntimeError(message)
                    )
                return inner(x)

            return explain

        monkeypatch.setattr(engine, "find", lambda name: method)

    return limit


@pytest.mark.parametrize(
    "message",
    [None, "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"],
)
def test_running_out_of_memory_halves_the_batch(message: str | None, limited) -> None:
    net = network(Net.random("Relu", 0).onnx())
    expected = attribute(net, probes(9), batch_size=2)
    limited(2, message)
    halving = engine.Engine(net, batch_size=8)
    maps = halving.maps(probes(9).images)
    assert halving.size == 2
    np.testing.assert_array_equal(maps[0], expected)


def test_no_memory_for_one_probe_is_an_error(limited) -> None:
    limited(0, None)
    with pytest.raises(DeviceError, match="batch of 1"):
        attribute(network(Net.random("Relu", 0).onnx()), probes())


def test_another_error_is_not_taken_for_lack_of_memory(limited) -> None:
    limited(0, "shapes do not match")
    with pytest.raises(SupportError, match="cannot be run: shapes do not match"):
        attribute(network(Net.random("Relu", 0).onnx()), probes())


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="positive"):
        attribute(network(Net.random("Relu", 0).onnx()), probes(), batch_size=0)


def test_settings_of_torch_are_restored_even_after_an_error() -> None:
    cudnn = torch.backends.cudnn
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)

    def fail() -> None:
        with arithmetic():
            assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, False)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


@pytest.mark.parametrize("gpu", [True, False])
def test_auto_takes_a_gpu_where_there_is_one(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_GPU_FILES", [__file__])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == ("cuda:0" if gpu else "cpu")


def test_auto_does_not_import_torch_where_there_is_no_driver(monkeypatch) -> None:
    monkeypatch.setattr(device, "_GPU_FILES", ["/nowhere"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))
    assert choose_device("auto") == "cpu"


def test_a_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("cuda") == "cuda:0"
    assert choose_device("cuda:1") == "cuda:1"
    for missing in ("cuda:2", "mps", "xpu"):
        with pytest.raises(DeviceError, match=missing):
            choose_device(missing)
    with pytest.raises(UsageError, match="gpu0"):
        choose_device("gpu0")


def test_a_representation_without_a_gradient_is_refused() -> None:
    graph = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,6,6] x) => (int64[N,1,6,6] y)'
    model = onnxattr.load(parser.parse_model(graph + "{ y = ArgMax<axis = 1>(x) }"))
    net = to_network(model, at="output", options=onnxattr.InputOptions(layout="NCHW"))
    with pytest.raises(SupportError, match="has no gradient"):
        attribute(net, probes())


NORMALISED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N,3,6,6] x, float[3,3,3,3] w, float[6] one, float[6] zero) => (float[N,3,6,6] y)
{ z = Conv<pads = [1, 1, 1, 1]>(x, w) a = Tanh(z) y = LAST }"""


@pytest.mark.parametrize("last", ["LayerNormalization(a, one, zero)", "Softmax(a)"])
@pytest.mark.parametrize("trained", [False, True])
def test_units_that_cancel_are_refused(last: str, trained: bool) -> None:
    """Their maps would all be finite, and rounding noise. A trained gain makes them real."""
    rng = np.random.default_rng(0)
    proto = parser.parse_model(NORMALISED.replace("LAST", last))
    gain = rng.normal(size=6) if trained else np.ones(6)
    stored = {"w": rng.normal(size=(3, 3, 3, 3)), "one": gain, "zero": np.zeros(6)}
    for name, value in stored.items():
        proto.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    net = to_network(onnxattr.load(proto), at="output")
    if trained and "Layer" in last:
        assert np.abs(attribute(net, probes())).max() > 1e-3
        return
    with pytest.raises(SupportError, match="cancel"):
        attribute(net, probes())


def test_dependence_is_about_one_where_units_do_not_cancel() -> None:
    for seed in range(5):
        net = network(Net.random("Relu", seed).onnx())
        x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        assert gradients.dependence(net, x) > 0.3


@pytest.mark.parametrize("method", METHODS)
def test_the_same_weights_from_keras_and_torch_give_the_same_maps(method: str) -> None:
    maps = [
        onnxattr.attribute(
            FIXTURES / f"same_weights-{framework}.onnx",
            options=onnxattr.Options(method=method, limit=16),
        ).values
        for framework in ("torch", "keras")
    ]
    for centred in (True, False):
        cosines = similarity(maps, ["torch", "keras"], centred=centred).per_probe[0, 1]
        assert cosines.min() >= 0.9999


def test_maps_are_an_array() -> None:
    maps = onnxattr.attribute(Net.random("Relu", 0).onnx(), probes=probes(2))
    assert np.asarray(maps).shape == (2, SIZE, SIZE)
    assert np.asarray(maps).dtype == np.float32
