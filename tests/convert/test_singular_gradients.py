"""Where a derivative is infinite and what follows does not use the value, the gradient is zero."""

import pytest
import torch
from onnx import parser

import onnxattr

HEADER = '<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) '
MASK = "zero = Constant<value = float {0.0}>() inside = Greater(x, zero) "
HALF = "half = Constant<value = float {0.5}>() "
POWERS = "powers = Constant<value = float[3] {0.5, -1.0, 2.0}>() "


def gradient(body, *values):
    module = onnxattr.to_torch(parser.parse_model(f"{HEADER} {{ {body} }}"))
    x = torch.tensor(values, requires_grad=True)
    output = module(x)
    return output.tolist(), torch.autograd.grad(output.sum(), x)[0].tolist()


@pytest.mark.parametrize(
    ("body", "slope"),
    [
        ("some = Sqrt(x)", 0.25),
        ("some = Log(x)", 0.25),
        ("some = Reciprocal(x)", -0.0625),
        ("some = Div(x, x)", 0),
        (f"{HALF} some = Pow(x, half)", 0.25),
    ],
    ids=["Sqrt", "Log", "Reciprocal", "Div", "Pow"],
)
def test_masked_values_have_no_gradient(body, slope):
    output, found = gradient(f"{MASK} {body} y = Where(inside, some, zero)", 0.0, -1.0, 4.0)
    assert output[:2] == [0, 0]
    assert found == pytest.approx([0, 0, slope])


def test_every_exponent_counts_for_itself():
    output, found = gradient(f"{POWERS} y = Pow(x, powers)", 4.0, -2.0, -1.0)
    assert output == [2, -0.5, 1]
    assert found == [0.25, -0.25, -2]


def test_limit_of_an_overflow():
    body = "e = Exp(x) one = Constant<value = float {1.0}>() a = Add(e, one) y = Reciprocal(a)"
    output, found = gradient(body, 100.0, 0.0)
    assert output == [0, 0.5]
    assert found == [0, -0.25]


def test_values_themselves_stay_what_they_were():
    for body in ("y = Sqrt(x)", "y = Log(x)", f"{HALF} y = Pow(x, half)"):
        output, found = gradient(body, -1.0, 4.0)
        assert output[0] != output[0], "no number"
        assert found == [0, 0.25]
    assert gradient("y = Exp(x)", 100.0)[0] == [float("inf")]
    assert gradient("y = Reciprocal(x)", -0.0)[0] == [float("-inf")]


def test_norm_at_its_kink():
    body = "squares = Mul(x, x) total = ReduceSum(squares) norm = Sqrt(total) y = Add(x, norm)"
    assert gradient(body, 0.0, 0.0)[1] == [1, 1]
