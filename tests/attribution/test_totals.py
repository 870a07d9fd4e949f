"""T of units against plain numpy, and rounding against rounding."""

import numpy as np
import pytest
import torch
from nets import RANGE, Net, probes
from runtimes import Perceptron, arrays, black_box, images, maps_of, text
from test_occlusion import fed, slowly

from onnxattr.attribution import reductions
from onnxattr.attribution.reductions import Target
from onnxattr.attribution.totals import totals
from onnxattr.errors import UsageError
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY, InputSpec

IMAGES = InputSpec("x", "NCHW", 8, 8)
LAST = InputSpec("x", "NHWC", 8, 8)
KINDS = ["sum", "squared-norm", "abs", "rms", "projection:3", "unit:7"]

#: By hand, of units [probe, channel, y, x] in float64.
PLAIN = {
    "sum": lambda u: u.sum(axis=(1, 2, 3)),
    "squared-norm": lambda u: (u**2).sum(axis=(1, 2, 3)) / 2,
    "abs": lambda u: np.abs(u).sum(axis=(1, 2, 3)),
    "rms": lambda u: np.sqrt((u**2).mean(axis=(2, 3))).sum(axis=1),
    "unit:7": lambda u: u.reshape(len(u), -1)[:, 7],
}


def targets(kind, seed=0):
    return reductions.parse(kind).targets(seed)


def signs(target, size):
    """Of a projection: T of one unit after the other."""
    return target.values(torch.eye(size, dtype=torch.float64), IMAGES).numpy()


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]
)
def test_values_of_any_type(kind, dtype):
    units = (np.random.default_rng(0).normal(size=(3, 5, 4, 2)) * 20 + 40).astype(dtype)
    (found,) = totals(units, targets(kind), IMAGES)
    np.testing.assert_allclose(found.values, PLAIN[kind](units.astype(float)), rtol=1e-12)
    assert (found.rounding == 0).all() if dtype in (np.int64, np.uint8, np.bool_) else True


def test_channels_are_the_last_axis_but_where_the_model_has_them_in_front():
    units = np.random.default_rng(1).normal(size=(3, 5, 4, 2))
    (found,) = totals(units, targets("rms"), LAST)
    expected = np.sqrt((units**2).mean(axis=(1, 2))).sum(axis=1)
    np.testing.assert_allclose(found.values, expected)
    (found,) = totals(units[:, :, 0], targets("rms"), IMAGES)
    np.testing.assert_allclose(
        found.values, np.sqrt((units[:, :, 0] ** 2).mean(axis=1)).sum(axis=1)
    )


@pytest.mark.parametrize("spec", [InputSpec("x", "NHW", 8, 8), InputSpec("x", "N", kind=ARRAY)])
def test_where_the_input_has_no_channels_they_are_where_convolutions_have_them(spec):
    units = np.random.default_rng(1).normal(size=(3, 5, 4, 2))
    (found,) = totals(units, targets("rms"), spec)
    np.testing.assert_allclose(found.values, PLAIN["rms"](units))


@pytest.mark.parametrize(("layout", "axis"), [("CHW", 0), ("HWC", 2)])
def test_channels_of_one_probe_at_a_time(layout, axis):
    units = np.random.default_rng(1).normal(size=(5, 4, 2))
    others = tuple({0, 1, 2} - {axis})
    expected = np.sqrt((units**2).mean(axis=others)).sum()
    spec = InputSpec("x", layout, 8, 8, batch=1)
    (target,) = targets("rms")
    np.testing.assert_allclose(target.values(torch.from_numpy(units), spec), [expected])
    (found,) = totals(units[None], [target], spec)
    np.testing.assert_allclose(found.values, [expected])


def test_units_of_no_axis():
    units = np.array([1.5, -2.0, 3.0], np.float32)
    for kind, expected in (("sum", units), ("abs", np.abs(units)), ("unit:0", units)):
        (found,) = totals(units, targets(kind), IMAGES)
        np.testing.assert_array_equal(found.values, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_rounding_is_bounded_by_what_moved_units_make_of_it(kind, dtype, spread):
    """Each unit moved by as much as it is rounded, and all by a common part, a thousand times."""
    rng = np.random.default_rng(2)
    size = np.exp(rng.normal(size=(1, 6, 3, 3)) * spread)
    units = (rng.normal(size=size.shape) * size).astype(dtype)
    one = np.finfo(dtype).eps / 2
    exact = units.astype(float)
    moved = exact * (1 + one * rng.uniform(-1, 1, (1000, *units.shape[1:])))
    moved *= 1 + min(one, 2.0**-24) * rng.uniform(-1, 1, (1000, 1, 1, 1))
    for target in targets(kind):
        (found,) = totals(units, [target], IMAGES)
        (changed,) = totals(moved, [target], IMAGES)
        largest = np.abs(changed.values - found.values[0]).max()
        assert 0 < largest <= found.rounding[0] <= 200 * largest


def test_of_a_sum_the_bound_is_that_of_its_norms():
    units = np.random.default_rng(3).normal(size=(4, 30)).astype(np.float32)
    one = 2.0**-24
    expected = 8 * one * (np.linalg.norm(units, axis=1) + np.abs(units).sum(axis=1))
    for kind in ("sum", "abs", "projection:2"):
        for found in totals(units, targets(kind), IMAGES):
            np.testing.assert_allclose(found.rounding, expected, rtol=1e-6)


def test_a_small_unit_is_no_more_exact_than_the_others():
    units = np.array([[1e-12, 1.0, -1.0]], np.float32)
    (found,) = totals(units, [Target("unit", 0)], IMAGES)
    assert found.rounding[0] > 2.0**-24


@pytest.mark.parametrize("kind", ["sum", "squared-norm", "abs", "rms", "unit:7"])
@pytest.mark.parametrize("batch", ["N", 2])
def test_maps_of_a_reduction_against_plain_loops(kind, batch):
    net, some = Net.random("Tanh", 3), probes(2).images

    def total(probe):
        return float(PLAIN[kind](net._run(fed(probe))[-1].reshape(1, 5, 6, 6))[0])

    found = maps_of(net.onnx(batch=batch), some, RANGE, reduction=kind)
    expected = [slowly(total, image) for image in some]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["occlusion", "rise:masks=30:grid=3", "kernel-shap:grid=2"])
def test_maps_of_projections_are_their_root_mean_square(method):
    net, some = Net.random("Tanh", 4), probes(2).images
    found = maps_of(net.onnx(), some, RANGE, method=method, reduction="projection:3", seed=2)
    each = []
    for target in targets("projection:3", seed=2):
        # The same maps, of a model that ends in that projection.
        coins = signs(target, 180).astype(np.float32)
        assert set(coins) == {-1.0, 1.0}
        maker = black_box(net.onnx(), method, options=RANGE, seed=2)
        maker._targets = (target,)
        each.append(maker.maps(some))
        exact = [net._run(fed(i.transpose(2, 0, 1) / 255.0))[-1] @ coins for i in some]
        x = maker._probes(some)
        units = maker._runtime.run(x)
        np.testing.assert_allclose(
            totals(units, [target], maker._runtime.spec)[0].values, exact, rtol=1e-4
        )
    np.testing.assert_allclose(found, np.sqrt(np.square(each).mean(axis=0)), rtol=1e-5, atol=1e-9)
    assert (found >= 0).all()


ALONE = """(float[N,3,8,8] x) => (float[3,8,8,N] y)
{ a = Mul(x, w) b = Tanh(a) y = Transpose<perm = [1, 2, 3, 0]>(b) }"""


@pytest.mark.parametrize("kind", ["sum", "squared-norm", "abs", "unit:100"])
def test_units_that_are_no_row_a_probe(kind):
    weight = np.random.default_rng(4).normal(size=(3, 8, 8)).astype(np.float32)
    some = images(2, 8)
    options = InputOptions(layout="NCHW")
    found = maps_of(text(ALONE, w=weight), some, options, at="output", reduction=kind)
    plain = {**PLAIN, "unit:100": lambda u: u.reshape(len(u), -1)[:, 100]}[kind]
    total = lambda probe: float(plain(np.tanh(weight * probe)[None])[0])  # noqa: E731
    np.testing.assert_allclose(found, [slowly(total, image) for image in some], atol=1e-5)


def test_a_chosen_unit_out_of_range():
    net, some = Perceptron(5), arrays(1, 5)
    assert (maps_of(net.onnx(), some, at="output", reduction="unit:3") != 0).any()
    with pytest.raises(UsageError, match="it has 4 units, and none of the number 4"):
        maps_of(net.onnx(), some, at="output", reduction="unit:4")
