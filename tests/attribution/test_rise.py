"""RISE against a second implementation from the paper, expectations in closed form, and a model."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from nets import RANGE, SIZE, Net, probes
from runtimes import Perceptron, arrays, black_box, images, linear, maps_of, text
from test_occlusion import fed

from onnxattr.attribution import hiding
from onnxattr.attribution.hiding import Canvas
from onnxattr.attribution.rise import rise
from onnxattr.errors import UsageError
from onnxattr.graph.options import InputOptions

DEFAULTS = {"fill": "auto", "centre": True}


def plain_masks(shape, masks, grid, p, seed):
    """§3.2, one mask after the other, with torch's own interpolation of the whole grid."""
    rng = np.random.default_rng(seed)
    cells = [min(grid, size) for size in shape]
    sides = [1 if c == size else -(-size // c) for c, size in zip(cells, shape, strict=True)]
    kept = rng.random((masks, *cells)) < p
    shifts = rng.integers(0, sides, (masks, len(shape)))
    found = []
    for one, (down, right) in zip(kept, shifts, strict=True):
        wide = [
            c if side == 1 and c == size else (c + 1) * side
            for c, side, size in zip(cells, sides, shape, strict=True)
        ]
        whole = F.interpolate(
            torch.from_numpy(one).float()[None, None], wide, mode="bilinear", align_corners=False
        )[0, 0]
        found.append(whole[down : down + shape[0], right : right + shape[1]].numpy())
    return np.stack(found).astype(np.float64)


@pytest.mark.parametrize("shape", [(64, 64), (20, 33), (7, 7), (7, 50), (3, 9), (224, 224)])
def test_masks_are_those_of_the_paper(shape):
    scheme = rise(Canvas(shape, seed=3), masks=9, grid=7, p=0.4, **DEFAULTS)
    expected = plain_masks(shape, 9, 7, 0.4, 3)
    np.testing.assert_allclose(scheme.masks(0, 9), expected, atol=1e-5)
    np.testing.assert_array_equal(scheme.masks(4, 7), scheme.masks(0, 9)[4:7])
    assert scheme.masks(0, 9).is_contiguous()


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_a_residual_net_against_plain_loops(centre, fill):
    net, some = Net.random("Tanh", 3), probes(2).images
    method = f"rise:masks=40:grid=3:p=0.4:fill={fill}:centre={str(centre).lower()}"
    found = maps_of(net.onnx(), some, RANGE, method=method, seed=5)
    masks = plain_masks((SIZE, SIZE), 40, 3, 0.4, 5)
    for image, values in zip(some, found, strict=True):
        x = image.transpose(2, 0, 1) / 255.0
        hidden = x.mean(axis=(1, 2), keepdims=True) if fill == "mean" else 0.0
        totals = np.array([net.total(fed(hidden + mask * (x - hidden))) for mask in masks])
        totals -= totals.mean() if centre else 0.0
        expected = np.tensordot(totals, masks, 1) / (40 * 0.4)
        np.testing.assert_allclose(values, expected, atol=3e-5 * np.abs(expected).max())


def test_of_a_linear_model_with_a_cell_a_pixel_the_map_is_proportional_to_weights_times_input():
    """E[T | place kept] − E[T] = (1 − p) w·(x − fill); within five standard errors everywhere."""
    weight = np.random.default_rng(1).normal(size=(3, 5, 5)).astype(np.float32)
    (image,) = images(1, 5)
    count, p = 20_000, 0.3
    found = maps_of(
        linear(weight), image[None], method=f"rise:masks={count}:grid=5:p={p}:fill=zero"
    )[0]
    part = (weight * image.transpose(2, 0, 1) / 255).sum(axis=0)
    masks = plain_masks((5, 5), count, 5, p, 0)
    totals = np.tensordot(masks, part, 2)
    errors = ((totals - totals.mean())[:, None, None] * masks / p).std(axis=0) / count**0.5
    assert (np.abs(found - (1 - p) * part) < 5 * errors).all()
    assert np.abs(found / ((1 - p) * part) - 1).min() < 0.02


def test_of_a_linear_model_the_map_is_its_weights_through_the_covariance_of_masks():
    """E[map] = Σ w·(x − fill) Cov(M, M') / p; the covariance over cells and all shifts."""
    shape, grid, p, count = (8, 8), 3, 0.5, 20_000
    weight = np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)
    (image,) = images(1, *shape)
    found = maps_of(linear(weight), image[None], method=f"rise:masks={count}:grid={grid}:p={p}")[0]
    x = image.transpose(2, 0, 1) / 255
    part = (weight * (x - x.mean(axis=(1, 2), keepdims=True))).sum(axis=0)
    rows = F.interpolate(torch.eye(3)[None], 12, mode="linear")[0].double().numpy()  # cell, place
    axis = np.stack([rows[:, s : s + 8].T @ rows[:, s : s + 8] for s in range(3)]).mean(axis=0)
    expected = (1 - p) * axis @ part @ axis
    assert np.abs(found - expected).max() < 0.06 * np.abs(expected).max()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.998


def test_every_place_is_kept_with_the_same_probability():
    for shape in ((20, 33), (6, 50), (7, 7)):
        scheme = rise(Canvas(shape), masks=20_000, grid=7, p=0.3, **DEFAULTS)
        assert np.abs(scheme.masks(0, 20_000).mean(dim=0).numpy() - 0.3).max() < 0.02


def test_many_masks_are_made_anew_and_are_the_same(monkeypatch):
    net, some = Net.random("Tanh", 1), probes(2).images
    kept = maps_of(net.onnx(), some, RANGE, method="rise:masks=70:grid=3")
    monkeypatch.setattr(hiding, "_KEPT", 0)
    made = maps_of(net.onnx(), some, RANGE, method="rise:masks=70:grid=3")
    np.testing.assert_array_equal(made, kept)


def test_maps_depend_on_the_seed_and_on_nothing_else():
    data, some = Net.random("Relu", 9).onnx(), probes(4).images
    method = "rise:masks=50:grid=3"
    whole = maps_of(data, some, RANGE, method=method, batch_size=64)
    np.testing.assert_array_equal(whole, maps_of(data, some, RANGE, method=method, batch_size=64))
    for size in (1, 7):
        part = maps_of(data, some, RANGE, method=method, batch_size=size)
        np.testing.assert_allclose(part, whole, atol=1e-5 * np.abs(whole).max())
    alone = maps_of(data, some[2:3], RANGE, method=method, batch_size=64)
    np.testing.assert_allclose(alone[0], whole[2], atol=1e-5 * np.abs(whole).max())
    other = maps_of(data, some, RANGE, method=method, seed=1)
    assert np.abs(other - whole).max() > 0.05 * np.abs(whole).max()


@pytest.mark.parametrize("centre", ["true", "false"])
def test_units_that_cancel_give_no_map_of_rounding(centre):
    body = """(float[N,3,8,8] x) => (float[N,192] y)
    { a = Flatten(x) b = Mul(a, w) y = Softmax(b) }"""
    proto = text(body, w=np.random.default_rng(7).normal(size=192).astype(np.float32))
    options = InputOptions(layout="NCHW")
    method = f"rise:masks=40:centre={centre}"
    assert (maps_of(proto, images(2, 8), options, at="output", method=method) == 0).all()
    assert (maps_of(proto, images(2, 8), options, at="logits", method=method) != 0).any()


def test_a_far_total_is_taken_away_by_default():
    """The paper's formula adds about T everywhere, which is most of its map."""
    body = """(float[N,3,8,8] x) => (float[N,3,8,8] y) { a = Mul(x, w) y = Add(a, b) }"""
    weight = np.random.default_rng(8).normal(size=(3, 8, 8)).astype(np.float32)
    options = InputOptions(layout="NCHW")
    maps = {}
    for far in (0.0, 100.0):
        proto = text(body, w=weight, b=np.float32(far))
        for centre in ("true", "false"):
            method = f"rise:masks=60:centre={centre}"
            maps[far, centre] = maps_of(proto, images(1, 8), options, method=method)
    near, apart = maps[0.0, "true"], maps[100.0, "true"]
    np.testing.assert_allclose(apart, near, atol=0.02 * np.abs(near).max())
    assert maps[100.0, "false"].min() > 100 * 192 * 0.5


def test_features_of_an_array_are_cells_of_their_own():
    net, some = Perceptron(5), arrays(2, 5)
    found = maps_of(net.onnx(), some, at="output", method="rise:masks=30", seed=2)
    kept = np.random.default_rng(2).random((30, 5)) < 0.5
    for values, x in zip(found, some, strict=True):
        totals = np.array([net.total(x * one) for one in kept])
        expected = (totals - totals.mean()) @ kept / (30 * 0.5)
        np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(30,), (4, 80), (2, 9, 5)])
def test_arrays_of_any_number_of_axes(shape):
    """Masks of each axis one after the other, as np.interp has them."""
    scheme = rise(Canvas(shape, image=False), masks=5, grid=4, p=0.5, **DEFAULTS)
    rng = np.random.default_rng(0)
    cells = {(30,): (16,), (4, 80): (4, 4), (2, 9, 5): (2, 2, 2)}[shape]
    sides = [1 if c == s else -(-s // c) for c, s in zip(cells, shape, strict=True)]
    kept = (rng.random((5, *cells)) < 0.5).astype(float)
    shifts = rng.integers(0, sides, (5, len(shape)))
    for one, shift, mask in zip(kept, shifts, scheme.masks(0, 5).numpy(), strict=True):
        for axis, (size, count, side) in enumerate(zip(shape, cells, sides, strict=True)):
            if size == count:
                continue
            wide = (count + 1) * side
            at = ((shift[axis] + np.arange(size)) + 0.5) * count / wide - 0.5
            one = np.apply_along_axis(lambda v, at=at: np.interp(at, range(len(v)), v), axis, one)
        np.testing.assert_allclose(mask, one, atol=1e-5)


def test_what_is_no_number_stays_so():
    body = """(float[N,3,8,8] x) => (float[N,3,8,8] y) { s = Sub(x, h) y = Log(s) }"""
    some = np.full((1, 8, 8, 3), 250, np.uint8)
    some[0, 2, 3] = 255
    proto = text(body, h=np.float32(0.5))
    options = InputOptions(layout="NCHW")
    for method in (
        "rise:masks=20:fill=zero",
        "occlusion:fill=zero",
        "kernel-shap:grid=2:fill=zero",
    ):
        assert np.isnan(maps_of(proto, some, options, method=method)).any()


def test_options_are_checked():
    with pytest.raises(UsageError, match=r"`p` of `rise` is a number from 0.01 to 0.99, not `1.5`"):
        black_box(Net.random("Relu", 0).onnx(), "rise:p=1.5")
    with pytest.raises(UsageError, match="`fill` of `rise` is no `main`"):
        black_box(Net.random("Relu", 0).onnx(), "rise:fill=main")
