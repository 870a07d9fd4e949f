"""From canonical probes to inputs, and values back, against a plain account of the definition."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from onnxattr.convert.feed import Feed, resize
from onnxattr.types import InputSpec

PLAIN = InputSpec(input="x", layout="NCHW", height=6, width=6)
LAYOUTS = ("NCHW", "NHWC", "CHWN", "NWHC", "HWNC")


def plain(probes, spec):
    """Returns the input one image and one pixel at a time, in float64."""
    result = np.zeros(
        [
            {"N": len(probes), "C": spec.channels}.get(a, 0)
            or {"H": spec.height, "W": spec.width}.get(a, 1)
            for a in spec.layout
        ]
    )
    mean, std = (np.broadcast_to(np.float64(v), 3) for v in (spec.mean, spec.std))
    low, high = spec.range
    for n, probe in enumerate(probes.astype(np.float64)):
        for y in range(spec.height):
            for x in range(spec.width):
                v, u = (
                    y + int((probe.shape[1] - spec.height) / 2),
                    x + int((probe.shape[2] - spec.width) / 2),
                )
                inside = 0 <= v < probe.shape[1] and 0 <= u < probe.shape[2]
                rgb = probe[:, v, u] if inside else np.full(3, 114 / 255)
                if spec.channels == 1:
                    rgb = np.full(3, 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])
                rgb = (rgb**spec.gamma * (high - low) + low - mean) / std
                rgb = rgb[::-1] if spec.color == "BGR" else rgb
                for c, value in enumerate([*rgb, high][: spec.channels]):
                    place = {"N": n, "C": c, "H": y, "W": x}
                    result[tuple(place[axis] for axis in spec.layout)] = value
    return result


def probes(spec, count=2):
    draw = np.random.default_rng(3)
    return draw.random((count, 3, *spec.map_shape), dtype=np.float32)


SPECS = {
    **{layout: dataclasses.replace(PLAIN, layout=layout) for layout in LAYOUTS},
    "range": dataclasses.replace(PLAIN, range=(-1.0, 1.0)),
    "standardised": dataclasses.replace(
        PLAIN, range=(0, 255), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)
    ),
    "BGR": dataclasses.replace(PLAIN, color="BGR", mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0)),
    "grey": dataclasses.replace(PLAIN, channels=1, mean=(0.5,)),
    "grey, no channels": dataclasses.replace(PLAIN, channels=1, layout="NHW"),
    "opaque": dataclasses.replace(PLAIN, channels=4, range=(0, 255), color="BGR"),
    "linear light": dataclasses.replace(PLAIN, gamma=2.2),
    "wide, stretched": dataclasses.replace(PLAIN, width=9),
    "wide, cut": dataclasses.replace(PLAIN, width=9, resize="crop"),
    "high, cut": dataclasses.replace(PLAIN, height=11, resize="crop", layout="NHWC"),
    "wide, with grey around": dataclasses.replace(PLAIN, width=9, resize="letterbox"),
    "high, with grey around": dataclasses.replace(PLAIN, height=11, resize="letterbox"),
    "float64": dataclasses.replace(PLAIN, dtype="float64"),
}


@pytest.mark.parametrize("name", SPECS)
def test_inputs_are_as_defined(name):
    spec = SPECS[name]
    x = probes(spec)
    fed = Feed(spec)(torch.from_numpy(x))
    assert str(fed.dtype) == f"torch.{spec.dtype}"
    np.testing.assert_allclose(fed.numpy(), plain(x, spec), rtol=1e-5, atol=1e-5)
    assert Feed(spec).array(torch.from_numpy(x)).dtype == spec.dtype


@pytest.mark.parametrize("layout", ["CHW", "HWC", "WHC"])
def test_one_image_at_a_time(layout):
    spec = dataclasses.replace(PLAIN, layout=layout, batch=1)
    x = probes(spec, 1)
    fed = Feed(spec)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(fed, plain(x, spec), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_values_find_their_way_back(name):
    """What is fed, put back, is the probe where the model sees it, but for colours and range."""
    spec = dataclasses.replace(
        SPECS[name], mean=(0.0,), std=(1.0,), range=(0.0, 1.0), gamma=1.0, color="RGB"
    )
    x = torch.from_numpy(probes(spec))
    back = Feed(spec).to_canonical(Feed(spec)(x))
    assert back.shape[2:] == spec.map_shape
    if spec.channels == 1:
        x = (x * torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(1, keepdim=True)
    seen = torch.zeros_like(x)
    top, left = (
        (a - b) // 2 if a > b else 0
        for a, b in zip(spec.map_shape, (spec.height, spec.width), strict=True)
    )
    seen[:, :, top : top + spec.height, left : left + spec.width] = 1
    torch.testing.assert_close(back, x * seen, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_it_is_differentiable(name):
    feed = Feed(dataclasses.replace(SPECS[name], dtype="float64"))
    x = torch.from_numpy(probes(feed.spec)).double().requires_grad_()
    assert torch.autograd.gradcheck(feed, x, eps=1e-6, atol=1e-5)


def test_bytes_are_rounded_with_the_gradient_of_the_identity():
    spec = dataclasses.replace(PLAIN, dtype="uint8", range=(0, 255))
    images = torch.randint(0, 256, (2, 6, 6, 3), dtype=torch.uint8)
    x = resize(images, 6, 6).requires_grad_()
    feed = Feed(spec)
    fed = feed(x)
    assert fed.dtype is torch.float32
    assert torch.equal(fed.detach().to(torch.uint8), images.permute(0, 3, 1, 2))
    assert np.array_equal(feed.array(x), images.permute(0, 3, 1, 2).numpy())
    (gradient,) = torch.autograd.grad(fed.sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 255.0))


def test_grey_is_that_of_pillow():
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    spec = dataclasses.replace(PLAIN, channels=1, range=(0, 255))
    ours = Feed(spec)(resize(torch.from_numpy(image[None]), 6, 6))[0, 0].numpy()
    theirs = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    assert np.abs(ours - theirs).max() <= 1


def test_roots_have_a_gradient_at_black():
    spec = dataclasses.replace(PLAIN, gamma=0.45)
    x = torch.zeros(1, 3, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(Feed(spec)(x).sum(), x)
    assert gradient.isfinite().all()
