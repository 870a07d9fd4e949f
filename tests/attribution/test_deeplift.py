"""DeepLIFT: the summation to delta on any net, Captum where it is right, and forms by hand."""

import numpy as np
import onnx
import pytest
import torch
from captum.attr import DeepLift
from exported import (
    Attending,
    Dense,
    Functional,
    Gated,
    Normalised,
    Plain,
    Pooled,
    Recurrent,
    Residual,
    Reused,
    export,
    made,
    network,
    networked,
    pixels,
)
from onnx import numpy_helper, parser
from torch import nn

from onnxattr.attribution.baselines import baselines
from onnxattr.attribution.deeplift import contributions, deeplift
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.attribution.reductions import Target
from onnxattr.attribution.setting import Setting
from onnxattr.convert.torch import to_network
from onnxattr.errors import SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY

#: Nets on whose architecture other implementations go wrong; see below.
HARD = (Pooled, Reused, Functional, Residual, Dense, Gated, Attending, Normalised, Recurrent)

pytestmark = pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")


def rows(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).sum(1)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("kind", [Plain, *HARD])
def test_contributions_sum_to_the_difference(kind: type[nn.Module], fuse: bool) -> None:
    x = pixels()
    net = networked(kind, fuse)
    setting = Setting(net)
    for baseline in baselines(setting, "black+noise+mean"):
        found = contributions(setting, x, baseline)
        delta = rows(net.module(x) - net.module(baseline(x)))
        torch.testing.assert_close(rows(found), delta, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("target", [Target("squared-norm"), Target("abs"), Target("unit", 1)])
def test_what_is_made_of_the_units_is_a_step_too(target: Target) -> None:
    x = pixels()
    net = networked(Residual)
    setting = Setting(net, target)
    (baseline,) = baselines(setting, "noise")
    values = [target.values(net.module(v), net.spec) for v in (x, baseline(x))]
    found = rows(contributions(setting, x, baseline))
    torch.testing.assert_close(found, values[0] - values[1], rtol=1e-6, atol=1e-12)


class Total(nn.Module):
    """T as one output, which Captum attributes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rows(self.module(x)).unsqueeze(1)


def captum(module: nn.Module, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
    return DeepLift(Total(module)).attribute(x.clone().requires_grad_(), baselines=x0, target=0)


@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus]
)
def test_captum_agrees_on_layers_one_after_the_other(activation: type[nn.Module]) -> None:
    x = pixels()
    module = made(Plain, activation=activation)
    setting = Setting(network(module, x))
    (baseline,) = baselines(setting, "noise")
    found = contributions(setting, x, baseline)
    # Quotients of small differences have fewer digits.
    torch.testing.assert_close(found, captum(module, x, baseline(x)), rtol=1e-6, atol=1e-10)


def test_captum_agrees_on_a_pool() -> None:
    x = pixels()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    module = module.double().eval().requires_grad_(False)
    setting = Setting(network(module, x))
    (baseline,) = baselines(setting, "noise")
    found = contributions(setting, x, baseline)
    torch.testing.assert_close(found, captum(module, x, baseline(x)), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in HARD if kind is not Reused])
def test_captum_is_off_where_we_are_not(kind: type[nn.Module]) -> None:
    """Hooks on modules see no function, and a pool behind a Relu sees the wrong difference."""
    x = pixels()
    module = made(kind)
    (baseline,) = baselines(Setting(networked(kind)), "noise")
    delta = rows(module(x) - module(baseline(x)))
    error = (rows(captum(module, x, baseline(x))) - delta).abs() / delta.abs()
    assert error.max() > 0.1


def test_captum_refuses_a_module_that_is_called_twice() -> None:
    x = pixels()
    with pytest.raises(RuntimeError, match="input/output attributes"):
        captum(made(Reused), x, torch.zeros_like(x))


def build(body: str, **weights: np.ndarray) -> onnx.ModelProto:
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {body}')
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return proto


def of(body: str, x: list[float], x0: list[float], **weights: np.ndarray) -> np.ndarray:
    """The contributions of one row of float64, for a baseline."""
    model = load(build(body, **weights).SerializeToString())
    spec = probe_input(model, InputOptions(), ARRAY, (len(x),))
    setting = Setting(to_network(model, at="output", spec=spec, fuse=FUSIONS))
    values, before = (torch.tensor([v], dtype=torch.float64) for v in (x, x0))
    return contributions(setting, values, lambda _: before)[0].numpy()


TWO = "(double[N,2] x) => (double[N,1] y) { a, b = Split<axis = 1>(x) "


def test_products_and_quotients_by_hand() -> None:
    (a, b), (a0, b0) = (3.0, -2.0), (1.0, 0.5)
    product = of(f"{TWO} y = Mul(a, b) }}", [a, b], [a0, b0])
    np.testing.assert_allclose(product, [(a - a0) * (b + b0) / 2, (b - b0) * (a + a0) / 2])
    square = of(f"{TWO} c = Mul(b, b) y = Mul(c, one) }}", [a, b], [a0, b0], one=np.ones(1))
    np.testing.assert_allclose(square, [0, b * b - b0 * b0])
    quotient = of(f"{TWO} y = Div(a, b) }}", [a, b], [a0, b0])
    expected = [(a - a0) * (1 / b + 1 / b0) / 2, (1 / b - 1 / b0) * (a + a0) / 2]
    np.testing.assert_allclose(quotient, expected)


def test_maxima_by_hand() -> None:
    """All of the difference is where the larger of both maxima is."""
    body = f"{TWO} y = Max(a, b) }}"
    np.testing.assert_allclose(of(body, [3, 1], [0, 2]), [1, 0])
    np.testing.assert_allclose(of(body, [0, 2], [3, 1]), [-1, 0])
    np.testing.assert_allclose(of(body, [3, 1], [0, 4]), [0, -1])
    body = f"{TWO} y = Min(a, b) }}"
    np.testing.assert_allclose(of(body, [3, 1], [0, 2]), [1, 0])
    body = "(double[N,3] x) => (double[N,1] y) { y = ReduceMax<axes = [1]>(x) }"
    np.testing.assert_allclose(of(body, [5, 1, 0], [0, 2, 1]), [3, 0, 0])


def test_the_softmax_by_hand() -> None:
    """exp(x − log Σ exp x), and the logarithm of a sum of exponentials by its own steps."""
    x, x0 = np.array([1.0, -0.5]), np.array([-1.0, 0.25])
    body = "(double[N,2] x) => (double[N,1] y) { s = Softmax<axis = 1>(x) y = MatMul(s, w) }"
    found = of(body, x.tolist(), x0.tolist(), w=np.array([[1.0], [0.0]]))

    total, total0 = np.exp(x).sum(), np.exp(x0).sum()
    lse = (np.exp(x) - np.exp(x0)) / (x - x0) * np.log(total / total0) / (total - total0)
    u, u0 = x[0] - np.log(total), x0[0] - np.log(total0)
    slope = (np.exp(u) - np.exp(u0)) / (u - u0)
    expected = slope * ((x - x0) * np.array([1, 0]) - lse * (x - x0))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_softmax_of_scores_far_apart_does_not_overflow() -> None:
    body = "(double[N,2] x) => (double[N,1] y) { s = Softmax<axis = 1>(x) y = MatMul(s, w) }"
    found = of(body, [900.0, -900.0], [-900.0, 900.0], w=np.array([[1.0], [0.0]]))
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)


CHOICES = {
    "Where": "z = Less(x, zero) n = Mul(x, slope) h = Where(z, n, x)",
    "Mask": "z = Greater(x, zero) m = Cast<to = 11>(z) h = Mul(x, m)",
    "Max": "n = Mul(x, slope) h = Max(x, n)",
    "PRelu": "h = PRelu(x, slope)",
    "Parts": "p = Relu(x) n = Neg(x) q = Relu(n) r = Mul(q, slope) h = Sub(p, r)",
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_function_of_one_number_has_its_secant_however_it_is_written(name: str) -> None:
    body = f"(double[N,3] x) => (double[N,1] y) {{ {CHOICES[name]} y = MatMul(h, w) }}"
    x, x0 = np.array([2.0, -1.0, -3.0]), np.array([-1.0, 2.0, -1.0])
    slope = 0.0 if name == "Mask" else 0.3
    weights = {"zero": np.zeros(1), "slope": np.array([slope]), "w": np.array([[1.0], [2], [-3]])}
    used = {k: v for k, v in weights.items() if k in CHOICES[name] or k == "w"}
    f = [np.where(v < 0, slope * v, v) for v in (x, x0)]
    found = of(body, x.tolist(), x0.tolist(), **used)
    np.testing.assert_allclose(found, (f[0] - f[1]) * [1, 2, -3], rtol=1e-12)


def test_the_derivative_is_taken_where_nothing_differs() -> None:
    body = "(double[N,2] x) => (double[N,1] y) { t = Tanh(x) y = ReduceSum(t, axes) }"
    model = load(build(body, axes=np.array([1])).SerializeToString())
    spec = probe_input(model, InputOptions(), ARRAY, (2,))
    setting = Setting(to_network(model, at="output", spec=spec))
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    assert torch.equal(contributions(setting, x, lambda v: v), torch.zeros_like(x))
    nearly = contributions(setting, x, lambda v: v - 1e-6)
    torch.testing.assert_close(nearly / 1e-6, 1 - x.tanh() ** 2, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [Functional, Attending])
def test_fusions_do_not_matter(kind: type[nn.Module]) -> None:
    x = pixels()
    found = []
    for fuse in (True, False):
        setting = Setting(networked(kind, fuse))
        (baseline,) = baselines(setting, "noise")
        found.append(contributions(setting, x, baseline))
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-12)


def test_several_baselines_are_averaged() -> None:
    x = pixels()
    setting = Setting(networked(Gated))
    maps = [deeplift(setting, baseline=name)(x) for name in ("black", "mean", "black+mean")]
    torch.testing.assert_close(maps[2], (maps[0] + maps[1]) / 2, rtol=1e-5, atol=1e-8)


def test_a_graph_that_fixes_its_batch() -> None:
    x = pixels()
    module = made(Recurrent)
    values = x.float().numpy()
    maps = []
    for free in (True, False):
        model = load(export(module.float(), x[:1].float(), batch=free))
        spec = probe_input(model, InputOptions(), ARRAY, tuple(x.shape[1:]))
        net = to_network(model, at="output", spec=spec, fuse=FUSIONS)
        maps.append(Engine(net, methods=[parse("deeplift")]).maps(values)[0])
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-3, atol=1e-4 * np.abs(maps[0]).max())


def test_an_operator_without_a_rule_is_refused_by_name() -> None:
    body = "(double[N,4] x) => (double[N] y) { s = Reshape(x, shape) y = Det(s) }"
    with pytest.raises(SupportError, match=r"Det.*DeepLIFT has no rule for its step"):
        of(body, [1, 2, 3, 4], [0, 0, 0, 0], shape=np.array([-1, 2, 2]))


def test_a_graph_that_goes_another_way_for_the_baseline_is_refused() -> None:
    body = """(double[N,2] x) => (double[N,1] y) {
        s = ReduceSum<keepdims = 0>(x) c = Greater(s, zero)
        y = If (c) <
            then_branch = one () => (double[N,1] a) { t = Tanh(x) a = ReduceSum(t, axes) },
            else_branch = two () => (double[N,1] b) { b = ReduceMax<axes = [1]>(x) }
        > }"""
    weights = {"zero": np.zeros(()), "axes": np.array([1])}
    same = of(body, [1, 2], [0.5, 0.5], **weights)
    np.testing.assert_allclose(same.sum(), np.tanh([1, 2]).sum() - 2 * np.tanh(0.5))
    with pytest.raises(SupportError, match="other steps"):
        of(body, [1, 2], [-1, -1], **weights)
