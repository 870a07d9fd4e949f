"""Gradient times input of whitened units, against closed forms."""

import numpy as np
import pytest
import torch
from onnx import helper
from test_array_maps import build, draw, network

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.attribution.whitened import whitening
from onnxattr.errors import UsageError

SIZE = 6


def maps(proto, values, ridge=0.01, background=None):
    net = network(proto, values)
    engine = Engine(
        net,
        methods=[parse(f"whitened:ridge={ridge}")],
        background=values if background is None else background,
    )
    return engine.maps(values)[0]


def linear(weight, bias=None):
    text = f"(float[N, {weight.shape[0]}] x) => (float[N, {weight.shape[1]}] y) {{\n"
    add = {"b": bias} if bias is not None else {}
    body = "y = MatMul(x, w)" if bias is None else "m = MatMul(x, w)\ny = Add(m, b)"
    return build(text + body + "\n}", w=weight, **add)


def closed_form(x, weight, ridge):
    """x ⊙ W (C + λ)⁻¹ Wᵀ (x − μ), C the covariance of the units, in plain float64."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    units = x @ weight
    centred = units - units.mean(axis=0)
    covariance = centred.T @ centred / len(units)
    power = np.trace(covariance) / min(weight.shape[1], len(x) - 1)
    inverse = np.linalg.inv(covariance + ridge * power * np.eye(len(covariance)))
    return x * (centred @ inverse @ weight.T)


@pytest.mark.parametrize("ridge", [1e-3, 0.01, 1.0])
@pytest.mark.parametrize("width", [4, 6, 40])
def test_of_a_linear_model_it_is_the_closed_form(width, ridge):
    x, weight = draw(20, SIZE), draw(SIZE, width, seed=1)
    expected = closed_form(x, weight, ridge)
    tolerance = 1e-3 if width == 40 and ridge < 0.01 else 1e-4
    found = maps(linear(weight), x, ridge)
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


def test_an_invertible_map_of_the_units_leaves_almost_all():
    x, weight = draw(30, SIZE), draw(SIZE, SIZE, seed=1)
    mixed = weight @ draw(SIZE, SIZE, seed=2)
    one = maps(linear(weight), x, 1e-7)
    two = maps(linear(mixed, draw(SIZE, seed=3)), x, 1e-7)
    assert np.abs(one - two).max() < 5e-3 * np.abs(one).max()
    # The closed form without W: x ⊙ Σ⁻¹ (x − μ), Σ the covariance of x.
    x = x.astype(np.float64)
    centred = x - x.mean(axis=0)
    plain = x * (centred @ np.linalg.inv(centred.T @ centred / len(x)))
    assert np.abs(one - plain).max() < 1e-3 * np.abs(plain).max()


def test_a_rotation_of_the_units_leaves_all_whatever_the_ridge():
    x, weight = draw(30, SIZE), draw(SIZE, 5, seed=1)
    rotation, _ = np.linalg.qr(draw(5, 5, seed=2))
    one, two = (maps(linear(w), x, 0.5) for w in (weight, (weight @ rotation).astype(np.float32)))
    assert np.abs(one - two).max() < 1e-4 * np.abs(one).max()


def test_few_samples_are_whitened_as_many_channels_would_be():
    rows = torch.from_numpy(draw(7, 30)).double()
    given = torch.from_numpy(draw(4, 30, seed=5)).double()
    found = whitening(rows, 0.1)
    assert found.rows is not None
    centred = rows - rows.mean(dim=0)
    covariance = centred.T @ centred / 7
    inverse = torch.linalg.inv(covariance + found.ridge * torch.eye(30, dtype=torch.float64))
    assert torch.allclose(found(given), (given - rows.mean(dim=0)) @ inverse, rtol=1e-9)


def test_places_are_samples_and_channels_are_what_is_whitened():
    """A 1×1 convolution over places is the linear model at each place."""
    weight = draw(5, 3, 1, 1, seed=1)
    text = "(float[N, 3, 4, 4] x) => (float[N, 5, 4, 4] y) { y = Conv(x, w) }"
    x = draw(6, 3, 4, 4)
    found = maps(build(text, w=weight), x)
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    expected = closed_form(rows, weight[:, :, 0, 0].T, 0.01)
    power = len(rows)  # More samples than channels: the ridge is of the mean variance.
    assert power > 5
    expected = expected.reshape(6, 4, 4, 3).transpose(0, 3, 1, 2)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_dead_units_are_no_trouble():
    x, weight = draw(20, SIZE), draw(SIZE, 4, seed=1)
    weight[:, 2] = 0.0
    found = maps(linear(weight), x)
    assert np.isfinite(found).all()
    assert (maps(linear(np.zeros_like(weight), draw(4)), x) == 0).all()


def test_the_first_probes_alone_measure_the_spread():
    x, weight = draw(80, SIZE), draw(SIZE, 4, seed=1)
    whole, some = maps(linear(weight), x), maps(linear(weight), x, background=x[:64])
    assert (whole == some).all()


def test_two_probes_are_wanted():
    with pytest.raises(UsageError, match="takes two"):
        maps(linear(draw(SIZE, 4)), draw(1, SIZE))


def test_a_batch_that_the_graph_fixes_is_filled_up():
    weight = draw(SIZE, 4, seed=1)
    proto = linear(weight)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].CopyFrom(
            helper.make_tensor_value_info("", 1, [4]).type.tensor_type.shape.dim[0]
        )
    x = draw(10, SIZE)
    found, free = maps(proto, x), maps(linear(weight), x)
    assert np.abs(found - free).max() < 1e-5 * np.abs(free).max()
