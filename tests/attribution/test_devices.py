"""All methods compute where the network is: the meta device refuses tensors of the CPU."""

import numpy as np
import pytest
import torch
from nets import RANGE, SIZE, Net, probes
from test_invariance import WAYS, _model

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import BY_GRADIENT, parse
from onnxattr.attribution.reductions import REDUCTIONS
from onnxattr.attribution.reductions import parse as parse_reduction
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS

#: One network a row of what exporters differ in, and one a nonlinearity.
NETS = {name: _model(ways[0], np.float32) for name, ways in WAYS.items()} | {
    function: Net.random(function, 0).onnx(layout="NHWC") for function in ("Elu", "LeakyRelu")
}


def engine(data: bytes, methods: tuple[str, ...], **options: object) -> Engine:
    chosen = [parse(name) for name in methods]
    fuse = FUSIONS.keys() - frozenset().union(*(m.entry.unfused for m in chosen))
    wide = options.get("precision") == "float64"
    net = to_network(load(data), at="output", options=RANGE, fuse=fuse, wide=wide, device="meta")
    background = probes(2).images if any(m.entry.background for m in chosen) else None
    return Engine(net, methods=chosen, background=background, **options)


def assert_there(maps: torch.Tensor, methods: int) -> None:
    assert maps.shape == (methods, 2, SIZE, SIZE)
    assert maps.device.type == "meta"
    assert maps.dtype == torch.float32


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("method", BY_GRADIENT)
def test_a_method_stays_on_the_device(method: str, name: str) -> None:
    x = torch.empty(2, 3, SIZE, SIZE, device="meta")
    assert_there(engine(NETS[name], (method,)).explain(x), 1)


@pytest.mark.parametrize("name", NETS)
def test_methods_together_stay_on_the_device(name: str) -> None:
    x = torch.empty(2, 3, SIZE, SIZE, device="meta")
    assert_there(engine(NETS[name], ("saliency", "elrp", "grad-input")).explain(x), 3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_stay_on_the_device(reduction: str) -> None:
    x = torch.empty(2, 3, SIZE, SIZE, device="meta")
    reduced = parse_reduction(reduction.replace("K", "2").replace("I", "1"))
    assert_there(engine(NETS["attention"], ("saliency", "elrp"), reduction=reduced).explain(x), 2)


@pytest.mark.parametrize("name", NETS)
def test_float64_stays_on_the_device(name: str) -> None:
    x = torch.empty(2, 3, SIZE, SIZE, device="meta")
    made = engine(NETS[name], ("saliency", "grad-input", "elrp"), precision="float64")
    assert_there(made.explain(x), 3)
