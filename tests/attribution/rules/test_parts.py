"""What rules are made of, against closed forms and against plain autograd with things detached."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from euler import call_of, drawn, site_of
from hypothesis import given
from hypothesis import strategies as st

import onnxattr.attribution.rules.operators  # noqa: F401 - fills the table
from onnxattr.attribution.rules.parts import layer_normalised, normalised, secant, share
from onnxattr.attribution.rules.table import GATE, ROWS, SIGNAL
from onnxattr.convert.ops import OPERATORS

numbers = st.floats(-30, 30).filter(lambda z: z == 0 or abs(z) > 1e-12)

#: f, and (f(z) − f(0)) / z without cancellation.
EXACT = {
    "Sigmoid_13": (torch.sigmoid, lambda z: math.tanh(z / 2) / (2 * z) if z else 0.25),
    "Exp_13": (torch.exp, lambda z: math.expm1(z) / z if z else 1.0),
    "Tanh_13": (torch.tanh, lambda z: math.tanh(z) / z if z else 1.0),
    "Softplus_22": (F.softplus, lambda z: math.log1p(math.expm1(z) / 2) / z if z else 0.5),
    "Cos_22": (torch.cos, lambda z: -2 * math.sin(z / 2) ** 2 / z if z else 0.0),
    "Relu_14": (torch.relu, lambda z: float(z > 0)),
    "Gelu_20": (F.gelu, lambda z: 0.5 * math.erfc(-z / math.sqrt(2))),
}


def multiplier(function, z):
    x = torch.tensor([z], requires_grad=True, dtype=torch.float64)
    (c,) = torch.autograd.grad(function(x).sum(), x)
    return c.item()


def rule_of(name):
    operator = name.rpartition("_")[0]
    call = call_of(OPERATORS[name].function)
    site = site_of(call, operator, [torch.zeros(1)])
    return ROWS[operator].rule(site) if ROWS[operator].rule else site.function


@pytest.mark.parametrize("name", EXACT)
@given(z=numbers)
def test_the_secant_is_exact_even_near_zero(name, z):
    expected = EXACT[name][1](z)
    # Where it is taken as a slope the next term of the series is off by z²/24.
    assert multiplier(rule_of(name), z) == pytest.approx(expected, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("z", [0.0, -0.0, 1e-30, 1e-8, -1e-5, 1e-3, 0.02, -0.3])
def test_in_float32_it_is_finite_and_right_near_zero(name, z):
    x = torch.tensor([z], requires_grad=True)
    (c,) = torch.autograd.grad(rule_of(name)(x).sum(), x)
    assert c.item() == pytest.approx(EXACT[name][1](x.item()), rel=1e-4, abs=1e-4)


def test_a_function_that_is_no_number_at_zero_has_no_secant():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="has no secant"):
        secant(torch.log)(x)


def test_without_a_gradient_it_is_the_function():
    x = torch.linspace(-2, 2, 9)
    assert torch.equal(secant(torch.tanh)(x), torch.tanh(x))
    assert share(x, 2) is x


@pytest.mark.parametrize("parameters", [True, False])
def test_a_layer_normalisation_is_plain_autograd_with_a_root_detached(parameters):
    x = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    scale, bias = torch.randn(2, 8, dtype=torch.float64) if parameters else (None, None)
    if bias is not None:
        bias.requires_grad_()
    centred = x - x.mean(-1, keepdim=True)
    plain = centred / (centred.square().mean(-1, keepdim=True) + 1e-3).sqrt().detach()
    plain = plain * scale + bias if parameters else plain
    fast = layer_normalised(x, 1, scale, bias, 1e-3)
    assert torch.allclose(fast, plain, rtol=1e-12)
    if not parameters:
        assert torch.allclose(normalised(x, [-1], 1e-3), plain, rtol=1e-12)
    (w,) = drawn([plain])
    sources = [x, *([bias] if parameters else [])]
    first, second = (torch.autograd.grad((w * y).sum(), sources) for y in (fast, plain))
    assert all(torch.allclose(a, b, rtol=1e-10) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [((SIGNAL, SIGNAL), (1.5, 1.0)), ((SIGNAL, GATE), (3.0, 0.0)), ((GATE, SIGNAL), (0.0, 2.0))],
)
def test_a_product_is_shared_or_gated(ranks, expected):
    values = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (2.0, 3.0)]
    site = site_of(call_of(OPERATORS["Mul_14"].function), "Mul", values, ranks)
    found = torch.autograd.grad(ROWS["Mul"].rule(site)(*values), values, allow_unused=True)
    assert tuple(0.0 if c is None else c.item() for c in found) == expected


def test_the_gates_of_an_lstm_take_nothing():
    """One step from nothing: h = o · tanh(i · tanh(z)), of which z alone bears relevance."""
    torch.manual_seed(0)
    x, w, r = torch.randn(1, 1, 3), torch.randn(1, 8, 3), torch.randn(1, 8, 2)
    x, w, r = (t.double() for t in (x, w, r))
    x.requires_grad_()
    site = site_of(call_of(OPERATORS["LSTM_22"].function, {"hidden_size": 2}), "LSTM", [x, w, r])
    y = ROWS["LSTM"].rule(site)(x, w, r)[0]
    (c,) = torch.autograd.grad(y.sum(), x)
    enter, leave, _, new = (w[0] @ x[0, 0]).detach().chunk(4)
    enter, leave = enter.sigmoid(), leave.sigmoid()
    inner = enter * new.tanh()
    by = leave * (inner.tanh() / inner) * enter * (new.tanh() / new)
    assert torch.allclose(c[0, 0], by @ w[0, 6:], rtol=1e-10)
