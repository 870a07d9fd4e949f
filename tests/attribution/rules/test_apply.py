"""Rules in the place of a network's operators: what holds of any net, and what is refused."""

import chains
import numpy as np
import pytest
import torch
from chains import RANGE
from onnx import helper, parser

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.lrp import lrp
from onnxattr.attribution.methods import parse as parse_method
from onnxattr.attribution.rules.apply import with_rules
from onnxattr.attribution.rules.composite_file import parse
from onnxattr.attribution.rules.composites import COMPOSITES, built_in
from onnxattr.attribution.rules.multipliers import nonzero
from onnxattr.attribution.setting import Setting
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.torch import to_network
from onnxattr.errors import SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY, Network

#: A residual branch, a concatenation, and both poolings; batch normalisation is folded.
PIECEWISE_LINEAR = """
<ir_version: 8, opset_import: ["" : 17]>
g (double[N, 3, 6, 6] x) => (double[N, 5] y)
<double[4, 3, 3, 3] w1, double[4] b1, double[4, 4, 3, 3] w2, double[4] b2,
 double[8, 5] w3, double[5] b3, double[4] scale, double[4] mean, double[4] var>
{
  z1 = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  n1 = BatchNormalization (z1, scale, b1, mean, var)
  a1 = Relu (n1)
  z2 = Conv <pads = [1, 1, 1, 1]> (a1, w2, b2)
  s = Add (z2, a1)
  l = LeakyRelu (s)
  both = Concat <axis = 1> (l, a1)
  m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (both)
  p = GlobalAveragePool (m)
  f = Flatten (p)
  y = Gemm (f, w3, b3)
}
"""

#: What nobody has a rule for, twice, and what has one.
REFUSED = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 3, 6, 6] x) => (float[N, 3, 6, 6] y) {
  [first] a = Log (x)
  [second] b = Relu (a)
  [third] c = Log (b)
  [fourth] d = Acosh (c)
  y = Add (d, x)
}
"""


def random_net(text: str, seed: int = 0) -> bytes:
    """A graph whose declared weights are drawn; variances are positive."""
    model, rng = parser.parse_model(text), np.random.default_rng(seed)
    for value in model.graph.value_info:
        kind = value.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        values = rng.normal(size=shape) * (0.5 if len(shape) > 1 else 0.2)
        values = np.abs(values) + 0.5 if value.name in ("var", "scale") else values
        stored = helper.make_tensor(value.name, kind.elem_type, shape, values.ravel())
        model.graph.initializer.append(stored)
    del model.graph.value_info[:]
    return model.SerializeToString()


def probes(count: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 6, 6, generator=generator).to(dtype)


def multiplier(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(module(leaf).sum(), leaf)[0]


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fuse", [FUSIONS, ()], ids=["fused", "as it is"])
def test_lrp_0_is_the_gradient_of_a_piecewise_linear_net(fuse, seed: int) -> None:
    data = random_net(PIECEWISE_LINEAR, seed)
    network = to_network(load(data), at="output", options=RANGE, fuse=fuse)
    module, x = with_rules(network, built_in("epsilon", epsilon=0)), probes(seed=seed)
    expected = multiplier(network.module, x)
    torch.testing.assert_close(multiplier(module, x), expected, rtol=1e-12, atol=1e-12)
    assert float(expected.abs().min()) > 0


@pytest.mark.parametrize("name", COMPOSITES)
def test_values_are_the_networks_own_and_it_is_left_as_it_was(name: str) -> None:
    network = chains.network(random_net(PIECEWISE_LINEAR))
    before = {k: v.clone() for k, v in network.module.state_dict().items()}
    modules = dict(network.module.named_modules())
    calls = {k: dict(vars(m)) for k, m in modules.items() if k}
    x = probes()
    with torch.no_grad():
        expected = network.module(x)
    plain = multiplier(network.module, x)
    module = with_rules(network, built_in(name))
    multiplier(module, x)
    torch.testing.assert_close(
        module(x.requires_grad_()).detach(), expected, rtol=1e-12, atol=1e-12
    )
    with torch.no_grad():
        torch.testing.assert_close(module(x), expected, rtol=0, atol=0)
    assert dict(network.module.named_modules()) == modules
    assert {k: dict(vars(m)) for k, m in modules.items() if k} == calls
    for key, value in network.module.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    torch.testing.assert_close(multiplier(network.module, x.detach()), plain, rtol=0, atol=0)
    ours = {p.data_ptr() for p in module.parameters()}
    assert ours == {p.data_ptr() for p in network.module.parameters()}


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_probe_has_the_same_relevance_in_any_batch(name: str) -> None:
    network, x = chains.network(random_net(PIECEWISE_LINEAR)), probes(5)
    module = with_rules(network, built_in(name))
    whole = multiplier(module, x)
    torch.testing.assert_close(multiplier(module, x), whole, rtol=0, atol=0)
    parts = torch.cat([multiplier(module, x[i : i + 2]) for i in range(0, 5, 2)])
    # Rules of first layers divide by the input, so that relevance is what is compared.
    torch.testing.assert_close(parts * x, whole * x, rtol=1e-9, atol=1e-12)


def test_rules_without_biases_keep_the_amount() -> None:
    layers = chains.chain(4, ("Conv", "Conv", "MatMul"))
    for layer in layers:
        layer.bias = None
    network, x = chains.network(chains.build(layers)), probes()
    module = with_rules(network, built_in("epsilon-plus", epsilon=0))
    total = (multiplier(module, x) * x).flatten(1).sum(1)
    with torch.no_grad():
        expected = network.module(x).sum(1)
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["epsilon-plus-flat", "epsilon-gamma-box"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_that_normalises_its_input_itself_has_the_same_map(name: str, seed: int) -> None:
    """Relevance of a first layer goes to the pixels whole, whatever is subtracted on the way."""
    layers = chains.chain(seed, ("Conv", "Conv", "Gemm"))
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    constants = [
        helper.make_node(
            "Constant", [], [key], value=helper.make_tensor(key, 11, [3, 1, 1], values)
        )
        for key, values in (("mean", mean), ("std", std))
    ]
    nodes = [
        *constants,
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["input"]),
    ]
    outside = chains.network(
        chains.build(layers), options=InputOptions(range=(0.0, 1.0), mean=mean, std=std)
    )
    inside = chains.network(
        chains.build(layers, before=nodes), options=InputOptions(range=(0.0, 1.0))
    )
    canonical = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    # Black pixels, and those that the mean makes zero.
    canonical[:, :, 0] = 0
    canonical[:, 0, 1], canonical[:, 1, 1] = mean[0], mean[1]
    maps = []
    for network in (outside, inside):
        fed = feed_of(network.spec)(canonical).detach()
        maps.append(nonzero(fed) * multiplier(with_rules(network, built_in(name)), fed))
    assert float(maps[0][:, :, 0].abs().max()) > 0
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-5, atol=1e-6 * float(maps[0].abs().max()))


def test_weights_that_change_are_seen() -> None:
    network, x = chains.network(random_net(PIECEWISE_LINEAR)), probes()
    module = with_rules(network, built_in("epsilon-plus"))
    first = multiplier(module, x)
    other = chains.network(random_net(PIECEWISE_LINEAR, 1))
    expected = multiplier(with_rules(other, built_in("epsilon-plus")), x)
    network.module.load_state_dict(other.module.state_dict())
    found = multiplier(module, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(found, first)
    network.module.float()
    single = multiplier(module, x.float())
    torch.testing.assert_close(single.double(), expected, rtol=1e-3, atol=1e-4)


def test_all_operators_without_a_rule_are_named_at_once() -> None:
    network = to_network(load(parser.parse_model(REFUSED).SerializeToString()), at="output")
    with pytest.raises(SupportError) as caught:
        with_rules(network, built_in("epsilon"))
    message = caught.value.message
    assert "Log `first`, Log `third`, Acosh `fourth`: " in message
    assert "second" not in message
    assert "--method grad-input" in caught.value.hint


def test_a_box_needs_bounds_where_the_probes_are_no_images() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 3, 20] x) => (float[N, 4, 20] y) <float[4, 3, 3] w>
    { y = Conv <pads = [1, 1]> (x, w) }
    """
    network = arrays_network(text)
    with pytest.raises(SupportError, match="images alone") as caught:
        with_rules(network, built_in("epsilon-gamma-box"))
    assert "`low` and `high`" in caught.value.hint
    said = '[[rule]]\nrule = "z-box"\nfirst = true\nlow = [-3, -2, -1]\nhigh = 3\n'
    module, x = with_rules(network, parse(said)), torch.randn(2, 3, 20)
    total = (multiplier(module, x) * x).sum((1, 2))
    torch.testing.assert_close(total, network.module(x).detach().sum((1, 2)), rtol=1e-3, atol=1e-3)
    wrong = parse(said.replace("[-3, -2, -1]", "[-3, -2]"))
    with pytest.raises(SupportError, match="2 bounds for 3 channels"):
        multiplier(with_rules(network, wrong), x)


def test_pass_hands_relevance_on_as_it_is() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 3, 20] x) => (float[N, 3, 20] y) <float[3, 3, 3] w>
    { y = Conv <pads = [1, 1]> (x, w) }
    """
    network = arrays_network(text)
    module = with_rules(network, parse('rule = [{rule = "pass", first = true}]'))
    x = torch.randn(2, 3, 20)
    x[0, 0] = 0
    with torch.no_grad():
        expected = network.module(x)
    torch.testing.assert_close(multiplier(module, x) * nonzero(x), expected)
    narrower = arrays_network(text.replace("[1, 1]", "[0, 0]").replace("3, 20] y", "3, 18] y"))
    with pytest.raises(SupportError, match="of its input's shape"):
        multiplier(with_rules(narrower, parse('rule = [{rule = "pass", first = true}]')), x)


def arrays_network(text: str) -> Network:
    """A net of arrays, [channel, time]."""
    model = load(random_net(text))
    return to_network(model, at="output", spec=probe_input(model, None, ARRAY, (3, 20)))


@pytest.mark.parametrize("method", ["lrp", "lrp:composite=epsilon-plus-flat", "cp-lrp", "attn-lrp"])
def test_maps_are_of_the_methods_options(method: str) -> None:
    network = chains.network(random_net(PIECEWISE_LINEAR))
    parsed = parse_method(method)
    (maps,) = Engine(network, methods=[parsed]).maps(images())
    feed = feed_of(network.spec)
    x = feed(feed.canonical(torch.from_numpy(images()))).detach()
    module = with_rules(network, built_in(parsed.options["composite"]))
    expected = (nonzero(x) * multiplier(module, x)).mean(1)
    np.testing.assert_allclose(maps, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_no_tensor_is_left_on_another_device(composite: str) -> None:
    """The meta device refuses to meet a tensor of the CPU, as a GPU would."""
    data = random_net(PIECEWISE_LINEAR)
    network = to_network(load(data), at="output", options=RANGE, fuse=FUSIONS, device="meta")
    explain = lrp(Setting(network), composite=composite, epsilon=1e-6, gamma=0.25)
    maps = explain(torch.empty(2, 3, 6, 6, device="meta"))
    assert maps.shape == (2, 6, 6)
    assert maps.device.type == "meta"
