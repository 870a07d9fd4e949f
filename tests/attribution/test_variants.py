"""Variants in the model's own layout against canonical ones, fed one by one."""

import numpy as np
import pytest
import torch

from onnxattr.attribution.hiding import Canvas, Cells, cut, filling
from onnxattr.attribution.rise import rise
from onnxattr.attribution.variants import Variants, laid_over
from onnxattr.convert.array_feed import feed_of
from onnxattr.errors import UsageError
from onnxattr.types import ARRAY, InputSpec

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SPECS = {
    "plain": InputSpec("x", "NCHW", 12, 12),
    "keras": InputSpec("x", "NHWC", 12, 12, color="BGR", range=(0.0, 255.0), mean=(103.9,)),
    "imagenet": InputSpec("x", "NCHW", 12, 9, **IMAGENET),
    "double": InputSpec("x", "NCHW", 12, 12, dtype="float64", **IMAGENET),
    "half": InputSpec("x", "NCHW", 12, 12, dtype="float16", **IMAGENET),
    "bytes": InputSpec("x", "NHWC", 12, 12, dtype="uint8", range=(0.0, 255.0)),
    "grey": InputSpec("x", "NHW", 12, 12, channels=1),
    "grey channel": InputSpec("x", "NCHW", 12, 12, channels=1, range=(-1.0, 1.0)),
    "opaque": InputSpec("x", "NHWC", 12, 12, channels=4, range=(0.0, 255.0)),
    "linear light": InputSpec("x", "NCHW", 12, 12, gamma=2.2),
    "crop": InputSpec("x", "NCHW", 8, 13, resize="crop", **IMAGENET),
    "letterbox": InputSpec("x", "NHWC", 12, 7, resize="letterbox", range=(-1.0, 1.0)),
    "fixed batch": InputSpec("x", "NCHW", 12, 12, batch=5),
    "sideways": InputSpec("x", "NWHC", 12, 9),
    "one image": InputSpec("x", "CHW", 12, 12, batch=1),
    "array": InputSpec("x", "N", kind=ARRAY, axes=(4, 9)),
    "one array": InputSpec("x", "", kind=ARRAY, axes=(4, 9), batch=1),
    "long array": InputSpec("x", "N", kind=ARRAY, axes=(50,), dtype="float64", batch=4),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("fill", ["auto", "mean", "zero"])
def test_what_the_model_is_fed(name, fill):
    spec = SPECS[name]
    feed, image = feed_of(spec), spec.kind != ARRAY
    shape = tuple(spec.map_shape)
    x = torch.from_numpy(np.random.default_rng(0).random((3, *((3,) * image), *shape), np.float32))
    scheme = rise(Canvas(shape, image), masks=7, grid=3, p=0.5, fill=fill, centre=True)
    most = spec.batch or 5
    variants = Variants(feed, x, scheme, laid_over(feed, scheme), most)
    assert len(variants) == 21
    axes = (2, 3) if image else tuple(range(1, x.dim()))
    mean = x.mean(dim=axes, keepdim=True)
    hidden = mean if fill == "mean" or (fill == "auto" and image) else torch.zeros_like(mean)
    for start in range(0, 21, most):
        stop = min(21, start + most)
        found = variants.fed(start, stop)
        rows = []
        for place in range(start, stop):
            probe, variant = divmod(place, 7)
            mask = scheme.masks(variant, variant + 1)[0]
            rows.append(hidden[probe] * (1 - mask) + x[probe] * mask)
        while spec.batch and len(rows) < spec.batch:
            rows.append(rows[len(rows) - (stop - start)])
        expected = feed.array(torch.stack(rows))
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        step = (
            1
            if spec.dtype == "uint8"
            else {"float16": 4e-3}.get(spec.dtype, 1e-6 * abs(expected).max())
        )
        np.testing.assert_allclose(found, expected, atol=step)


def test_what_is_kept_is_exact():
    """Where nothing is hidden the model is fed the very probe, and where all is, the very fill."""
    spec = SPECS["imagenet"]
    feed = feed_of(spec)
    x = torch.rand(2, 3, 12, 9)

    class Halves:
        fill, count = "mean", 2

        def masks(self, start, stop):
            mask = torch.zeros(2, 12, 9)
            mask[0, :, :4] = mask[1, :, 4:] = 1.0
            return mask[start:stop]

    halves = Halves()
    found = torch.from_numpy(Variants(feed, x, halves, laid_over(feed, halves), 4).fed(0, 4))
    whole, hidden = feed(x), feed(filling(x, "mean", image=True))
    for probe in range(2):
        left, right = found[2 * probe], found[2 * probe + 1]
        assert (left[..., :4] == whole[probe][..., :4]).all()
        assert (left[..., 4:] == hidden[probe][..., 4:]).all()
        assert (right[..., 4:] == whole[probe][..., 4:]).all()


def test_the_mean_of_one_value_is_that_value():
    x = torch.full((1, 3, 50, 70), 0.1)
    assert (filling(x, "mean", image=True) == x).all()


def test_there_is_no_such_fill():
    with pytest.raises(UsageError, match="no fill `grey`"):
        filling(torch.zeros(1, 3, 2, 2), "grey", image=True)


@pytest.mark.parametrize(
    ("shape", "counts"),
    [
        ((5,), (5,)),
        ((64,), (64,)),
        ((16_000,), (64,)),
        ((4, 80), (4, 16)),
        ((80, 4), (16, 4)),
        ((100, 100), (8, 8)),
        ((3, 32, 32), (3, 4, 4)),
        ((1, 1, 500), (1, 1, 64)),
        ((2,) * 7, (2,) * 7),
        ((1,), (1,)),
    ],
)
def test_arrays_are_cut_into_no_more_cells_than_images(shape, counts):
    """But two along each axis."""
    assert cut(Canvas(shape, image=False), 8).counts == counts


def test_cells_are_spread_and_shared():
    cells = Cells(((0, 2, 3), (0, 1, 4)))
    values = np.array([[6.0, 12.0], [2.0, 9.0]])
    spread = cells.spread(torch.from_numpy(values)[None])[0].numpy()
    np.testing.assert_array_equal(spread, [[6, 12, 12, 12], [6, 12, 12, 12], [2, 9, 9, 9]])
    shared = cells.shared(values)
    np.testing.assert_array_equal(shared, [[3, 2, 2, 2], [3, 2, 2, 2], [2, 3, 3, 3]])
