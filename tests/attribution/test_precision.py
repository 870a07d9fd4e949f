"""Precision, compilation and repeatability: what they do to maps, and to torch's own settings."""

import dataclasses

import numpy as np
import pytest
import torch
from nets import RANGE, Net, probes
from onnx import numpy_helper, parser

import onnxattr
from onnxattr.attribution import arithmetic as flags
from onnxattr.attribution.arithmetic import arithmetic, autocast
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.attribution.setting import Setting
from onnxattr.convert.parity import Gate
from onnxattr.convert.torch import to_network
from onnxattr.errors import DeviceError, UsageError
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.types import Network

METHODS = ("saliency", "grad-input", "elrp")


def network(data: bytes, *, wide: bool = False, device: str = "cpu") -> Network:
    return to_network(
        load(data), at="output", options=RANGE, fuse=FUSIONS, wide=wide, device=device
    )


def maps(net: Network, precision: str = "float32", **options: object) -> np.ndarray:
    engine = Engine(net, methods=[parse(m) for m in METHODS], precision=precision, **options)
    return engine.maps(probes(4).images)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (v.reshape(*v.shape[:2], -1).astype(np.float64) for v in (a, b))
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def cancelling() -> bytes:
    """A net of float32 whose units are small differences of large numbers."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3,6,6] x) => (float[N,4,6,6] y) {
            a = Conv(x, w) b = Add(a, large) c = Mul(b, b) d = Sub(c, square) y = Tanh(d) }"""
    model = parser.parse_model(text)
    w = 0.3 * np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    for name, value in (("w", w), ("large", 300.0), ("square", 90000.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    return model.SerializeToString()


@pytest.mark.parametrize("function", ["Relu", "Elu", "Sigmoid", "Tanh", "Softplus"])
def test_float64_is_the_arithmetic_of_float64(function: str) -> None:
    """Of a model in float32: its maps are those of the oracle, but for the last digit."""
    drawn = Net.random(function, 2)
    weights = ("first", "first_bias", "second", "second_bias", "skip")
    # As the file stores them.
    net = dataclasses.replace(
        drawn, **{name: getattr(drawn, name).astype(np.float32).astype(float) for name in weights}
    )
    wide = network(net.onnx(), wide=True)
    feed = Setting(wide).feed
    # What is fed is float32, where ε-LRP has slopes of 1/ε.
    images = torch.from_numpy(probes(4).images.copy())
    inputs = feed(feed.canonical(images)).double().numpy()
    scale = (feed.scale.double()).numpy()
    for name, ours in zip(METHODS, maps(wide, "float64"), strict=True):
        for found, x in zip(ours, inputs, strict=True):
            slope = net.relevance(x, 1e-4 if name == "elrp" else None)
            expected = (np.abs(slope * scale) if name == "saliency" else x * slope).mean(axis=0)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_float64_is_right_where_float32_is_not() -> None:
    """The slope of tanh(z), z a difference of which float32 has three digits left."""
    data = cancelling()
    image = probes(1).images[0]
    narrow = Engine(network(data), methods=[parse("saliency")]).maps(image[None])
    wide_net = network(data, wide=True)
    wide = Engine(wide_net, methods=[parse("saliency")], precision="float64").maps(image[None])
    w = numpy_helper.to_array(load(data).proto.graph.initializer[0]).astype(np.float64)[..., 0, 0]
    fed = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    low, high = RANGE.range
    std = np.array(RANGE.std).reshape(3, 1, 1)
    x = (fed.numpy() * np.float32(high - low) + low - np.array(RANGE.mean).reshape(3, 1, 1)) / std
    b = np.einsum("oc,cyx->oyx", w, x.astype(np.float32).astype(np.float64)) + 300.0
    slope = (1 - np.tanh(b * b - 90000.0) ** 2) * 2 * b
    expected = np.abs(np.einsum("oc,oyx->cyx", w, slope) * (high - low) / std).mean(0)
    worst = [np.abs(m[0, 0] - expected).max() / expected.max() for m in (narrow, wide)]
    # What is fed is float32 in both, and off by a last digit of its own.
    assert worst[1] < 0.1 * worst[0]


def test_the_default_is_within_the_bound_of_float64() -> None:
    for function in ("Relu", "Elu", "Tanh", "Softplus"):
        data = Net.random(function, 5).onnx()
        narrow, wide = maps(network(data)), maps(network(data, wide=True), "float64")
        assert cosines(narrow, wide).min() >= 0.9999


def test_bfloat16_is_coarse_and_near() -> None:
    data = Net.random("Tanh", 6).onnx()
    exact, coarse = maps(network(data)), maps(network(data), "bf16")
    assert coarse.dtype == np.float32
    assert not np.allclose(exact, coarse, rtol=1e-5)
    assert cosines(exact, coarse)[:2].min() > 0.98


def test_bfloat16_computes_layers_in_it() -> None:
    seen = []
    with autocast("cpu", "bf16"):
        seen.append(torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype)
    with autocast("cpu", "float32"):
        seen.append(torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype)
    assert seen == [torch.bfloat16, torch.float32]


def test_what_is_fed_does_not_depend_on_the_precision() -> None:
    """So that parity is checked on the same numbers, with the same tolerance."""
    data = Net.random("Relu", 7).onnx()
    narrow, wide = (Gate(network(data, wide=w)) for w in (False, True))
    assert narrow.tolerance == wide.tolerance
    assert narrow.check(probes(3).images) <= narrow.tolerance
    assert wide.check(probes(3).images) <= wide.tolerance


@pytest.mark.parametrize(
    ("precision", "device"), [("tf32", "cpu"), ("tf32", "mps"), ("float64", "mps")]
)
def test_a_precision_that_the_device_lacks_is_refused(precision: str, device: str) -> None:
    with pytest.raises(DeviceError, match=precision) as refused:
        flags.require(precision, device)
    assert "--precision float32" in refused.value.hint


def test_an_engine_refuses_it_too() -> None:
    with pytest.raises(DeviceError, match="tf32"):
        Engine(network(Net.random("Relu", 0).onnx()), precision="tf32")


def test_a_precision_that_is_none() -> None:
    with pytest.raises(UsageError, match="`fp64`") as refused:
        onnxattr.Options(precision="fp64")
    assert "float64" in refused.value.hint


@pytest.mark.parametrize("device", ["cpu", "mps", "cpu,cpu"])
def test_tf32_where_no_gpu_is_asked_for(device: str) -> None:
    with pytest.raises(UsageError, match="NVIDIA"):
        onnxattr.Options(precision="tf32", device=device)
    assert onnxattr.Options(precision="tf32", device="auto").precision == "tf32"


def _flags() -> tuple[object, ...]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return (
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.allow_tf32,
        matmul.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_flags_are_set_and_restored(device: str, precision: str) -> None:
    """They can be set without a GPU."""
    before, tf32 = _flags(), precision == "tf32"

    def fail() -> None:
        with arithmetic(device, precision):
            assert _flags()[:4] == (False, True, tf32, tf32)
            assert torch.are_deterministic_algorithms_enabled() == (device == "cuda")
            raise RuntimeError("even so")

    with pytest.raises(RuntimeError, match="even so"):
        fail()
    assert _flags() == before


def test_operators_without_a_deterministic_algorithm_are_named() -> None:
    import warnings

    with arithmetic("cuda") as found:
        warnings.warn(
            "upsample_bilinear2d_backward_out_cuda does not have a deterministic implementation, "
            "but you set 'torch.use_deterministic_algorithms(True, warn_only=True)'.",
            UserWarning,
            stacklevel=1,
        )
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert found == {"upsample_bilinear2d_backward_out_cuda"}


def test_settings_go_with_the_maps() -> None:
    found = onnxattr.attribute(Net.random("Relu", 0).onnx(), probes=probes(2))
    assert found.settings["precision"] == "float32"
    assert found.settings["deterministic"] is True
    assert found.settings["tf32"] is False
    assert found.settings["compiled"] == "no"
    assert found.settings["threads"] >= 1


def test_a_ranking_in_float64_says_so() -> None:
    options = onnxattr.Options(precision="float64")
    wide = onnxattr.attribute(Net.random("Relu", 0).onnx(), probes=probes(2), options=options)
    narrow = onnxattr.attribute(Net.random("Relu", 0).onnx(), probes=probes(2))
    assert wide.settings["precision"] == "float64"
    np.testing.assert_allclose(wide.values, narrow.values, rtol=1e-4, atol=1e-6)
    assert (wide.values != narrow.values).any()


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiler(module: torch.nn.Module, **_: object) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError("Failed to find C++ compiler")

        module._compiled_call_impl = refuse

    monkeypatch.setattr(torch.nn.Module, "compile", compiler)
    net = network(Net.random("Relu", 0).onnx())
    engine = Engine(net, methods=[parse("saliency")], compile=True)
    found = engine.maps(probes(3).images)
    (expected,) = Engine(net, methods=[parse("saliency")]).maps(probes(3).images)
    np.testing.assert_array_equal(found[0], expected)
    assert engine.settings["compiled"] == "no: Failed to find C++ compiler"


def test_a_compiled_network_gives_the_same_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a backend that translates nothing: it traces the network, and runs what it has seen."""
    whole, traced = torch.nn.Module.compile, []

    def compiler(module: torch.nn.Module, **options: object) -> None:
        traced.append(module)
        whole(module, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", compiler)
    torch._dynamo.reset()
    net = network(Net.random("Tanh", 1).onnx())
    engine = Engine(net, methods=[parse("grad-input")], compile=True, batch_size=3)
    (found,) = engine.maps(probes(4).images)
    assert engine.settings["compiled"] == "yes"
    assert len(traced) == 1
    # The network that was given stays as it was.
    assert net.module._compiled_call_impl is None
    (expected,) = Engine(net, methods=[parse("grad-input")], batch_size=3).maps(probes(4).images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_method_with_rules_is_not_compiled() -> None:
    engine = Engine(network(Net.random("Relu", 0).onnx()), methods=[parse("elrp")], compile=True)
    assert "is not compiled" in engine.settings["compiled"]


def test_workers_on_the_cpu_do_not_try_to_compile() -> None:
    """They may write no files; the maps are the same all the same, and it is said."""
    options = onnxattr.Options(compile=True)
    found = onnxattr.attribute(Net.random("Relu", 0).onnx(), probes=probes(2), options=options)
    expected = onnxattr.attribute(Net.random("Relu", 0).onnx(), probes=probes(2))
    assert found.settings["compiled"] == "no: a compiler writes files, and this process may not"
    np.testing.assert_array_equal(found.values, expected.values)


def test_maps_are_repeatable_in_every_precision() -> None:
    data = Net.random("Elu", 3).onnx()
    for precision in ("float32", "bf16", "float64"):
        net = network(data, wide=precision == "float64")
        np.testing.assert_array_equal(maps(net, precision), maps(net, precision))
