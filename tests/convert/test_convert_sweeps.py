"""Our own converters against ONNX Runtime, over every opset and over grids of attributes."""

import itertools

import numpy as np
import pytest
import torch

import onnxattr

BY_OPSET = {
    "AveragePool": (7, "(float[2,3,7,7] x) => (float[a,b,c,d] y) "
                    "{ y = AveragePool<kernel_shape=[3,2], pads=[1,0,1,1], strides=[2,1]>(x) }"),
    "MaxPool": (7, "(float[2,3,7,7] x) => (float[a,b,c,d] y) "
                "{ y = MaxPool<kernel_shape=[3,2], pads=[1,0,1,1], strides=[2,1]>(x) }"),
    "BatchNormalization": (7, "(float[2,3,7,7] x) => (float[2,3,7,7] y) "
                           "{ y = BatchNormalization<epsilon=0.1>(x, s, s, s, s) }"),
    "Clip": (11, "(float[2,3,7,7] x) => (float[2,3,7,7] y) { y = Clip(x, , high) }"),
    "Reshape": (7, "(float[2,3,7,7] x) => (float[a,b,c] y) { y = Reshape(x, shape) }"),
    "Slice": (10, "(float[2,3,7,7] x) => (float[a,b,c,d] y) "
              "{ y = Slice(x, starts, ends, axes, steps) }"),
    "ScatterND": (11, "(float[2,3,7,7] x) => (float[2,3,7,7] y) "
                  "{ y = ScatterND(x, places, updates) }"),
    "Gelu": (20, "(float[2,3,7,7] x) => (float[2,3,7,7] y) { y = Gelu(x) }"),
    "Conv, SAME": (7, "(float[2,3,7,7] x) => (float[a,b,c,d] y) "
                   '{ y = Conv<auto_pad="SAME_LOWER", strides=[2,3]>(x, k) }'),
}  # fmt: skip
STORED = {
    "s": np.array([0.5, 1, 2], np.float32),
    "high": np.float32(0.3),
    "shape": np.array([0, -1, 7]),
    "starts": np.array([-1, 0]),
    "ends": np.array([-100, 2]),
    "axes": np.array([3, 1]),
    "steps": np.array([-2, 1]),
    "places": np.array([[0, 1], [1, -1]]),
    "updates": np.ones((2, 7, 7), np.float32),
    "k": np.ones((2, 3, 4, 2), np.float32),
}
SWEEP = [
    pytest.param(text, opset, id=f"{op}-{opset}")
    for op, (since, text) in BY_OPSET.items()
    for opset in range(since, 23)
]


def agree(proto, runtime, *feeds):
    (expected,) = runtime(proto, *feeds)
    ours = onnxattr.to_torch(proto)(*(torch.from_numpy(f) for f in feeds)).numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("text", "opset"), SWEEP)
def test_every_opset(build, runtime, noise, text, opset):
    body = text.split("{")[1]
    used = {k: v for k, v in STORED.items() if f" {k}," in body or f" {k})" in body}
    agree(build(text, opset=opset, **used), runtime, noise(2, 3, 7, 7))


PADS = ([0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 2, 1])


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_pools(build, runtime, noise, op, pads, stride, dilation, ceil_mode):
    attributes = (
        f"kernel_shape=[3,2], pads={pads}, strides=[{stride},{stride}], ceil_mode={ceil_mode}, "
        f"dilations=[{dilation},{dilation}]"
    )
    for extra in ("", ", count_include_pad=1")[: 2 if op == "AveragePool" else 1]:
        text = f"(float[2,3,8,7] x) => (float[a,b,c,d] y) {{ y = {op}<{attributes}{extra}>(x) }}"
        agree(build(text, opset=19), runtime, noise(2, 3, 8, 7))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_pools_of_every_rank(build, runtime, noise, op, rank):
    size, kernel = [6] * rank, [3] * rank
    pads = [1] * rank + [0] * rank
    dims = ",".join(map(str, [2, 3, *size]))
    out = ",".join("abcde"[: rank + 2])
    attributes = f"kernel_shape={kernel}, pads={pads}"
    text = f"(float[{dims}] x) => (float[{out}] y) {{ y = {op}<{attributes}>(x) }}"
    agree(build(text), runtime, noise(2, 3, *size))


def test_padding_never_wins_a_maximum(build):
    text = (
        "(float[1,1,3,3] x) => (float[1,1,5,5] y) "
        "{ y = MaxPool<kernel_shape=[3,3], pads=[2,2,2,2]>(x) }"
    )
    assert (onnxattr.to_torch(build(text))(torch.full((1, 1, 3, 3), -7.0)) == -7).all()


BOUNDS = (-(2**63), -7, -6, -5, -4, -1, 0, 1, 3, 4, 5, 6, 7, 2**63 - 1)


@pytest.mark.parametrize("step", [1, 2, 3, 7, -1, -2, -3, -7])
def test_slices(build, step):
    """Every start and end, against ONNX's definition: numpy's slicing with bounds clamped."""
    text = "(float[5,2] x, int64[1] s, int64[1] e) => (float[a,2] y) { y = Slice(x, s, e, k, t) }"
    module = onnxattr.to_torch(build(text, k=np.array([0]), t=np.array([step])))
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    for start, end in itertools.product(BOUNDS, BOUNDS):
        ours = module(torch.from_numpy(x), torch.tensor([start]), torch.tensor([end]))
        np.testing.assert_array_equal(ours.numpy(), x[start:end:step], err_msg=f"{start}:{end}")


@pytest.mark.parametrize(
    "bounds", [(None, 0.3), (-0.2, None), (-0.2, 0.3), (None, None), (0.5, 0.1)]
)
def test_clip(build, runtime, noise, bounds):
    low, high = bounds
    given = ", ".join(["x", "low" if low is not None else "", "high" if high is not None else ""])
    stored = {k: np.float32(v) for k, v in (("low", low), ("high", high)) if v is not None}
    proto = build(
        f"(float[9,9] x) => (float[9,9] y) {{ y = Clip({given.rstrip(', ')}) }}", **stored
    )
    agree(proto, runtime, noise(9, 9))


def test_clip_keeps_integers(build, runtime):
    proto = build("(int64[5] x) => (int64[5] y) { y = Clip(x, low) }", low=np.array(2))
    agree(proto, runtime, np.arange(5))


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_reduces_what_meets_in_one_place(build, runtime, noise, reduction):
    text = (
        "(float[4,3] x, float[3,3] u) => (float[4,3] y) "
        f'{{ y = ScatterND<reduction="{reduction}">(x, places, u) }}'
    )
    # Writing twice in one place without a reduction is undefined: only the others meet there.
    places = np.array([[1], [-1], [2 if reduction == "none" else 1]])
    proto = build(text, opset=18, places=places)
    agree(proto, runtime, noise(4, 3), noise(3, 3, seed=1))


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_batch_normalisation_of_any_rank(build, runtime, noise, rank):
    dims, names = ",".join(map(str, [5, 3, 4, 2][:rank])), ",".join("abcd"[:rank])
    # The rank is hidden from shape inference, as in recognisers of text that reshape by Shape.
    text = (
        f"(float[{dims}] x, int64[{rank}] s) => (float[{names}] y) "
        "{ h = Reshape(x, s) y = BatchNormalization(h, w, w, w, w) }"
    )
    proto = build(text, w=np.array([0.5, 1, 2], np.float32))
    agree(proto, runtime, noise(*[5, 3, 4, 2][:rank]), np.array([5, 3, 4, 2][:rank]))
