"""KernelSHAP against Shapley's own formula, another solution of its equations, and Captum."""

from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValues
from nets import RANGE, SIZE, Net, probes
from runtimes import Perceptron, arrays, images, linear, maps_of, text
from test_occlusion import fed

from onnxattr.attribution.hiding import Canvas, Totals
from onnxattr.attribution.kernel_shap import draw, kernel_shap
from onnxattr.errors import UsageError
from onnxattr.graph.options import InputOptions


def shapley(value, players):
    """By marginal contributions in all orders; `value` is of a set of players."""
    found = np.zeros(players)
    for order in permutations(range(players)):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            found[player] += value(before | {player}) - value(before)
    return found / factorial(players)


def by_subsets(value, players):
    """Shapley's formula, Σ |S|! (M − |S| − 1)! / M! (v(S ∪ i) − v(S))."""
    found = np.zeros(players)
    known = {}
    for size in range(players + 1):
        for one in combinations(range(players), size):
            known[frozenset(one)] = value(frozenset(one))
    for player in range(players):
        for one in known:
            if player not in one:
                weight = factorial(len(one)) * factorial(players - len(one) - 1)
                found[player] += weight * (known[one | {player}] - known[one])
    return found / factorial(players)


def of_features(net, x, fill=0.0):
    def value(kept):
        mask = np.isin(np.arange(x.size), list(kept))
        return net.total(np.where(mask, x.astype(float), fill))

    return value


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_of_few_features_it_is_the_mean_over_all_orders(fill):
    net, some = Perceptron(6), arrays(2, 6)
    found = maps_of(net.onnx(), some, at="output", method=f"kernel-shap:fill={fill}")
    for values, x in zip(found, some, strict=True):
        expected = shapley(of_features(net, x, x.mean() if fill == "mean" else 0.0), 6)
        np.testing.assert_allclose(values, expected, atol=2e-6 * np.abs(expected).max() + 2e-6)


@pytest.mark.parametrize("players", [1, 2, 3, 4, 7, 9])
def test_all_coalitions_give_shapley_values(players):
    """Whatever the weights of the samples: they are all of them."""
    net, some = Perceptron(players, seed=players), arrays(1, players)
    samples = max(2, 2**players - 2)
    found = maps_of(net.onnx(), some, at="output", method=f"kernel-shap:samples={samples}")
    expected = by_subsets(of_features(net, some[0]), players)
    np.testing.assert_allclose(found[0], expected, atol=3e-6 * np.abs(expected).max() + 1e-6)


@pytest.mark.parametrize("grid", [2, 3])
def test_cells_of_an_image(grid):
    """Cells of all three channels, hidden by their own means; spread over their pixels."""
    net, (image,) = Net.random("Tanh", 3), probes(1).images
    x, side = image.transpose(2, 0, 1) / 255.0, SIZE // grid
    mean = x.mean(axis=(1, 2), keepdims=True)

    def value(kept):
        cells = np.isin(np.arange(grid**2), list(kept)).reshape(grid, grid)
        mask = cells.repeat(side, axis=0).repeat(side, axis=1)
        return net.total(fed(np.where(mask, x, mean)))

    found = maps_of(net.onnx(), image[None], RANGE, method=f"kernel-shap:grid={grid}")[0]
    expected = by_subsets(value, grid**2).reshape(grid, grid) / side**2
    expected = expected.repeat(side, axis=0).repeat(side, axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_of_a_linear_model_it_is_weights_times_input_however_few_the_samples(layout, fill):
    weight = np.random.default_rng(2).normal(size=(3, 14, 21)).astype(np.float32)
    some = images(2, 14, 21)
    method = f"kernel-shap:samples=120:fill={fill}"
    found = maps_of(linear(weight, layout), some, InputOptions(layout=layout), method=method)
    x = some.transpose(0, 3, 1, 2) / 255
    hidden = x.mean(axis=(2, 3), keepdims=True) if fill == "mean" else 0.0
    part = (weight * (x - hidden)).sum(axis=1).reshape(2, 7, 2, 7, 3)
    expected = part.mean(axis=(2, 4)).repeat(2, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("samples", [30, 64, 200, 1000])
def test_values_sum_to_what_hiding_everything_changes(samples):
    net, some = Perceptron(3, 4), arrays(3, 3, 4)
    found = maps_of(net.onnx(), some, at="output", method=f"kernel-shap:samples={samples}")
    expected = [net.total(x) - net.total(0 * x) for x in some]
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, atol=1e-5)


def test_more_samples_come_closer_to_shapley_values():
    net, some = Perceptron(12, scale=0.7), arrays(4, 12)
    exact = np.stack([by_subsets(of_features(net, x), 12) for x in some])
    errors = {}
    for samples in (60, 300, 1500):
        method = f"kernel-shap:samples={samples}"
        found = [maps_of(net.onnx(), some, at="output", method=method, seed=s) for s in range(3)]
        errors[samples] = np.abs(np.stack(found) - exact).mean() / np.abs(exact).mean()
    assert errors[1500] < 0.6 * errors[300] < 0.4 * errors[60]
    assert errors[1500] < 0.03
    whole = maps_of(net.onnx(), some, at="output", method="kernel-shap:samples=4094")
    np.testing.assert_allclose(whole, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize(("players", "samples"), [(9, 100), (12, 100), (21, 400), (64, 1000)])
def test_coalitions_are_distinct_and_weighted_by_the_kernel(players, samples):
    kept, weights = draw(players, samples, np.random.default_rng(0))
    assert samples - 1 <= len(kept) <= samples
    assert len({row.tobytes() for row in kept}) == len(kept)
    assert {row.tobytes() for row in kept} == {row.tobytes() for row in ~kept}
    sizes = kept.sum(axis=1)
    assert 0 < sizes.min() <= sizes.max() < players
    kernel = lambda s: (players - 1) / (comb(players, s) * s * (players - s))  # noqa: E731
    whole = {s for s in set(sizes.tolist()) if (sizes == s).sum() == comb(players, s)}
    drawn = [s for s in range(1, players) if s not in whole]
    assert {1, players - 1} <= whole
    assert drawn
    for size in whole:
        np.testing.assert_allclose(weights[sizes == size] * (players - 1), kernel(size))
    left = weights[np.isin(sizes, drawn)].sum() * (players - 1)
    np.testing.assert_allclose(left, sum(kernel(s) * comb(players, s) for s in drawn))


def test_sizes_are_drawn_by_the_kernel():
    """Draws that fell on one coalition count: the weight of each size, within five deviations."""
    kept, weights = draw(12, 600, np.random.default_rng(1))
    sizes, drawn = kept.sum(axis=1), [3, 4, 5, 6, 7, 8, 9]
    assert (sizes == 2).sum() == comb(12, 2)
    masses = np.array([1 / (s * (12 - s)) for s in drawn])
    found = np.array([weights[sizes == s].sum() for s in drawn])
    share = masses / masses.sum()
    deviation = np.sqrt(2 * share * (1 - share) / 400)  # Pairs: half as many draws.
    assert (np.abs(found / found.sum() - share) < 5 * deviation).all()


@pytest.mark.parametrize(("shape", "samples"), [((9,), 100), ((12,), 60), ((3, 7), 400)])
def test_it_solves_the_regression_of_its_coalitions(shape, samples):
    """The equations with a multiplier for the constraint, for T that are noise."""
    scheme = kernel_shap(Canvas(shape, image=False), grid=8, samples=samples, fill="zero")
    players = int(np.prod(shape))
    kept, weights = draw(players, samples, np.random.default_rng(0))
    np.testing.assert_array_equal(scheme.coalitions[2:], kept)
    np.testing.assert_array_equal(scheme.masks(0, 1)[0], np.ones(shape))
    np.testing.assert_array_equal(scheme.masks(1, 2)[0], np.zeros(shape))
    values = np.random.default_rng(3).normal(size=scheme.count)
    z = kept.astype(float)
    system = np.block(
        [
            [z.T @ (weights[:, None] * z), np.ones((players, 1))],
            [np.ones((1, players)), np.zeros((1, 1))],
        ]
    )
    right = np.append(z.T @ (weights * (values[2:] - values[1])), values[0] - values[1])
    expected = np.linalg.solve(system, right)[:players].reshape(shape)
    found = scheme.map(Totals(values, np.zeros(scheme.count)))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_captum_agrees():
    """Its exact Shapley values, over all orders, of the same network in torch."""
    net, some = Perceptron(5), arrays(3, 5)
    first, bias, second = (torch.from_numpy(w) for w in (net.first, net.bias, net.second))
    captum = ShapleyValues(lambda x: (torch.tanh(x @ first + bias) @ second).sum(dim=1))
    expected = captum.attribute(torch.from_numpy(some))
    found = maps_of(net.onnx(), some, at="output", method="kernel-shap")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_features_that_the_model_does_not_see_get_nothing():
    net, some = Perceptron(20), arrays(2, 20)
    net.first[[3, 11]] = 0.0
    found = maps_of(net.onnx(), some, at="output", method="kernel-shap:samples=300")
    exact = maps_of(net.onnx(), some, at="output", method="occlusion")
    assert (exact[:, [3, 11]] == 0).all()
    # A regression on samples is no exact game: what it gives them is small, and falls with more.
    small = np.abs(found[:, [3, 11]]).mean() / np.abs(found).mean()
    assert small < 0.2


def test_units_that_cancel_give_no_map_of_rounding():
    body = """(float[N,3,8,8] x) => (float[N,192] y)
    { a = Flatten(x) b = Mul(a, w) y = Softmax(b) }"""
    proto = text(body, w=np.random.default_rng(7).normal(size=192).astype(np.float32))
    options, method = InputOptions(layout="NCHW"), "kernel-shap:samples=300"
    assert (maps_of(proto, images(2, 8), options, at="output", method=method) == 0).all()
    assert (maps_of(proto, images(2, 8), options, at="logits", method=method) != 0).any()


def test_maps_depend_on_the_seed_and_on_nothing_else():
    data, some = Net.random("Relu", 9).onnx(), probes(3).images
    method = "kernel-shap:grid=4:samples=100"
    whole = maps_of(data, some, RANGE, method=method, batch_size=64)
    np.testing.assert_array_equal(whole, maps_of(data, some, RANGE, method=method, batch_size=64))
    for size in (1, 7):
        part = maps_of(data, some, RANGE, method=method, batch_size=size)
        np.testing.assert_allclose(part, whole, atol=1e-4 * np.abs(whole).max())
    alone = maps_of(data, some[1:2], RANGE, method=method, batch_size=64)
    np.testing.assert_allclose(alone[0], whole[1], atol=1e-4 * np.abs(whole).max())
    assert np.abs(maps_of(data, some, RANGE, method=method, seed=1) - whole).max() > 0


def test_too_few_samples():
    with pytest.raises(
        UsageError, match="40 samples are too few for the Shapley values of 49 cell"
    ):
        kernel_shap(Canvas((14, 14)), grid=7, samples=40, fill="auto")
