"""Occlusion against plain loops, closed forms, and models that only ONNX Runtime can run."""

import numpy as np
import pytest
from nets import RANGE, SIZE, Net, network, probes
from onnx import helper
from runtimes import images, linear, maps_of, runtime, text

from onnxattr.attribution.blackbox import BlackBox
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.hiding import Canvas, cut
from onnxattr.attribution.methods import parse
from onnxattr.convert.session import Runtime
from onnxattr.errors import ParityError, SupportError, UsageError
from onnxattr.graph.options import InputOptions


def slowly(total, image, *, cells=8, span=1):
    """The map of one probe by plain loops; `total` is T of a canonical probe, float64 [3, y, x].

    Sides are multiples of the number of cells, or no more than it.
    """
    probe = image.transpose(2, 0, 1) / 255.0
    height, width = probe.shape[1:]
    down, across = max(1, height // cells), max(1, width // cells)
    whole = total(probe)
    sums, counts = np.zeros((height, width)), np.zeros((height, width))
    for top in range(0, height - span * down + 1, down):
        for left in range(0, width - span * across + 1, across):
            hidden = probe.copy()
            for y in range(top, top + span * down):
                for x in range(left, left + span * across):
                    for channel in range(3):
                        hidden[channel, y, x] = probe[channel].mean()
            change = (whole - total(hidden)) / (span * down * span * across)
            for y in range(top, top + span * down):
                for x in range(left, left + span * across):
                    sums[y, x] += change
                    counts[y, x] += 1
    return sums / counts


def fed(probe):
    """What `RANGE` makes of a canonical probe."""
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (RANGE.mean, RANGE.std))
    return (probe * 2 - 1 - mean) / std


@pytest.mark.parametrize("function", ["Relu", "Tanh"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_residual_net_against_plain_loops(function, layout):
    net, some = Net.random(function, 3), probes(3).images
    found = maps_of(net.onnx(layout=layout), some, RANGE)
    expected = [slowly(lambda probe: net.total(fed(probe)), image) for image in some]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("span", [1, 2, 3])
def test_overlapping_patches_against_plain_loops(span):
    """Mean over the patches that cover a pixel."""
    weight = np.random.default_rng(1).normal(size=(3, 16, 24))
    (image,) = images(1, 16, 24)
    maker = BlackBox(runtime(linear(weight)), method=parse(f"occlusion:span={span}"))
    expected = slowly(lambda probe: float((weight * probe).sum()), image, span=span)
    np.testing.assert_allclose(maker.maps(image[None])[0], expected, atol=1e-5)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "CHW", "HWC"])
@pytest.mark.parametrize("size", [(16, 24), (64, 64)])
def test_a_linear_net_in_closed_form(layout, size):
    """w·(x − mean), summed over the patch and spread over it again."""
    weight = np.random.default_rng(2).normal(size=(3, *size)).astype(np.float32)
    some = images(3, *size)
    found = maps_of(linear(weight, layout), some, InputOptions(layout=layout, range=(0.0, 255.0)))
    probe = some.transpose(0, 3, 1, 2).astype(np.float64)
    part = (weight * (probe - probe.mean(axis=(2, 3), keepdims=True))).sum(axis=1)
    down, across = size[0] // 8, size[1] // 8
    means = part.reshape(3, 8, down, 8, across).mean(axis=(2, 4))
    expected = means.repeat(down, axis=1).repeat(across, axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(part).sum(axis=(1, 2)).max())


def test_a_linear_net_is_explained_completely_at_any_size():
    """The patches are every pixel once: the map sums to T(x) − T(mean colour)."""
    for size in ((3, 5), (7, 9), (13, 11), (17, 50)):
        weight = np.random.default_rng(3).normal(size=(3, *size)).astype(np.float32)
        some = images(2, *size)
        found = maps_of(linear(weight), some)
        probe = some.transpose(0, 3, 1, 2) / 255.0
        expected = (weight * (probe - probe.mean(axis=(2, 3), keepdims=True))).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (8, 8), (5, 9), (1, 1), (224, 100)])
def test_cells_are_as_equal_as_can_be(shape):
    cells = cut(Canvas(shape), 8)
    assert cells.shape == shape
    assert cells.counts == (min(8, shape[0]), min(8, shape[1]))
    for edges in cells.edges:
        sides = np.diff(edges)
        assert 1 <= min(sides) <= max(sides) <= min(sides) + 1


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_fixed_batch_gives_the_maps_of_a_free_one(batch):
    net, some = Net.random("Tanh", 8), probes(5).images
    free = maps_of(net.onnx(), some, RANGE)
    maker = BlackBox(runtime(net.onnx(batch=batch), RANGE))
    assert maker.size == batch
    np.testing.assert_allclose(maker.maps(some), free, atol=1e-5 * np.abs(free).max())


def test_batch_size_does_not_matter_and_repeats_are_identical():
    data, some = Net.random("Relu", 9).onnx(), probes(4).images
    whole = maps_of(data, some, RANGE, batch_size=100)
    np.testing.assert_array_equal(whole, maps_of(data, some, RANGE, batch_size=100))
    for size in (1, 3):
        part = maps_of(data, some, RANGE, batch_size=size)
        np.testing.assert_allclose(part, whole, atol=1e-5 * np.abs(whole).max())


def test_a_run_takes_patches_of_several_probes(monkeypatch):
    lengths, run = [], Runtime.run_fed
    monkeypatch.setattr(Runtime, "run_fed", lambda self, x: lengths.append(len(x)) or run(self, x))
    maps_of(Net.random("Relu", 0).onnx(), probes(3).images, RANGE, batch_size=50)
    # One probe twice, that with its negative; then three probes with 36 patches each.
    assert lengths == [1, 1, 2, 50, 50, 11]


SCALAR = """(float[N,3,8,8] x) => (float y)
{ a = Mul(x, w) b = Tanh(a) y = ReduceSum<keepdims = 0>(b) }"""
MIXED = """(float[N,3,8,8] x) => (float[N,3,8,8] y)
{ a = Mul(x, w) b = Softmax<axis = 0>(a) c = Mul(a, b) y = Tanh(c) }"""
ONE = """(float[N,3,8,8] x) => (float[1,M] y) <int64[2] s = {1, 192}>
{ a = Mul(x, w) b = Tanh(a) y = Reshape(b, s) }"""
LAST = """(float[N,3,8,8] x) => (float[3,8,8,N] y)
{ a = Mul(x, w) b = Tanh(a) y = Transpose<perm = [1, 2, 3, 0]>(b) }"""


@pytest.mark.parametrize("body", [SCALAR, MIXED, ONE, LAST], ids=["scalar", "mixed", "one", "last"])
def test_what_is_not_one_row_a_probe_is_run_by_itself(body):
    """Softmax over a batch of one is 1 everywhere, so all four are Tanh of w·x."""
    weight = np.random.default_rng(4).normal(size=(3, 8, 8)).astype(np.float32)
    some = images(3, 8)
    found = maps_of(text(body, w=weight), some, InputOptions(layout="NCHW"), at="output")
    total = lambda probe: float(np.tanh(weight * probe).sum())  # noqa: E731
    expected = [slowly(total, image) for image in some]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_batch_that_was_used_is_told():
    maker = BlackBox(runtime(text(MIXED, w=np.ones((3, 8, 8), np.float32)), at="output"))
    assert maker.size == 256
    maker.maps(images(1, 8))
    assert maker.size == 1


def test_as_many_rows_as_there_happen_to_be_belong_to_nobody():
    """One row for each pixel above a half, of all probes of a batch: two for the first two."""
    body = """(float[N,3,8,8] x) => (int64[M,4] y)
    { b = Greater(x, h) z = NonZero(b) y = Transpose<perm = [1, 0]>(z) }"""
    some = np.zeros((3, 8, 8, 3), np.uint8)
    some[0, 3, 5, 1] = some[1, 2:6, 1, 0] = some[2, 7, :, 2] = 255
    proto = text(body, h=np.float32(0.5))
    found = maps_of(proto, some, InputOptions(layout="NCHW"), batch_size=9)
    total = lambda probe: float(np.argwhere(probe > 0.5).sum())  # noqa: E731
    np.testing.assert_array_equal(found, [slowly(total, image) for image in some])


@pytest.mark.parametrize("batch", [2, 3])
def test_a_fixed_batch_that_mixes_is_filled_with_copies(batch):
    """The mean over the batch of copies is the value itself."""
    body = (
        f"(float[{batch},3,8,8] x) => (float[1,3,8,8] y) "
        + """
    { a = Mul(x, w) b = Tanh(a) y = ReduceMean<axes = [0]>(b) }"""
    )
    weight = np.random.default_rng(5).normal(size=(3, 8, 8)).astype(np.float32)
    some = images(2, 8)
    found = maps_of(text(body, w=weight), some, InputOptions(layout="NCHW"), at="output")
    total = lambda probe: float(np.tanh(weight * probe).sum()) / batch  # noqa: E731
    np.testing.assert_allclose(found, [slowly(total, image) for image in some], atol=1e-5)


def test_integers_are_summed_as_they_are():
    body = """(uint8[N,8,8,3] x) => (int64[N,8,8] y)
    { f = Cast<to = 7>(x) y = ArgMax<axis = 3, keepdims = 0>(f) }"""
    some = images(2, 8)
    found = maps_of(text(body), some, at="output")

    def total(probe):
        levels = np.round(probe * 255).astype(int)
        return float(levels.argmax(axis=0).sum())

    np.testing.assert_array_equal(found, [slowly(total, image) for image in some])


def test_what_the_model_does_not_see_is_exactly_zero():
    """Only the left half counts; the rest differs by the rounding of other batches at most."""
    weight = np.random.default_rng(6).normal(size=(3, 16, 16)).astype(np.float32)
    weight[:, :, 8:] = 0
    found = maps_of(linear(weight), images(3, 16), batch_size=7)
    assert (found[:, :, 8:] == 0).all()
    assert (found[:, :, :8] != 0).all()


@pytest.mark.parametrize("kind", ["float", "float16", "double"])
def test_units_that_cancel_give_no_map_of_rounding(kind):
    number = {"float": 1, "float16": 10, "double": 11}[kind]
    body = (
        f"({kind}[N,3,8,8] x) => ({kind}[N,192] y) "
        + """
    { a = Flatten(x) b = Mul(a, w) y = Softmax(b) }"""
    )
    dtype = helper.tensor_dtype_to_np_dtype(number)
    weight = np.random.default_rng(7).normal(size=192).astype(dtype)
    proto, options = text(body, w=weight), InputOptions(layout="NCHW")
    assert (maps_of(proto, images(2, 8), options, at="output") == 0).all()
    assert (maps_of(proto, images(2, 8), options, at="logits") != 0).any()


def test_a_random_model_is_refused():
    body = """(float[N,3,8,8] x) => (float[N,3,8,8] y)
    { r = RandomNormalLike<scale = 0.1>(x) y = Add(x, r) }"""
    with pytest.raises(ParityError, match="it is random"):
        maps_of(text(body), images(1, 8), InputOptions(layout="NCHW"))


def test_labels_in_words_are_refused():
    body = """(float[N,3,8,8] x) => (string[N,3,8,8] y) { y = Cast<to = 8>(x) }"""
    with pytest.raises(SupportError, match="is no number"):
        maps_of(text(body), images(1, 8), InputOptions(layout="NCHW"), at="output")


def test_what_lies_behind_the_tensor_need_not_run():
    body = """(float[N,3,8,8] x) => (float[N,192] y)
    { h = Tanh(x) f = Flatten(h) y = com.acme.Odd(f) }"""
    proto = text(body)
    proto.opset_import.append(helper.make_opsetid("com.acme", 1))
    layout = InputOptions(layout="NCHW")
    assert (maps_of(proto, images(1, 8), layout, at="h") != 0).all()
    with pytest.raises(SupportError, match="ONNX Runtime cannot run it"):
        runtime(proto, layout, at="y")


def test_captured_values_of_branches_are_kept():
    body = """(float[N,3,8,8] x) => (float[N,3,8,8] y) {
        h = Tanh(x) s = ReduceSum<keepdims = 0>(h) c = Greater(s, k)
        a = If (c) <
          then_branch = t () => (float[N,3,8,8] p) { p = Neg(h) },
          else_branch = e () => (float[N,3,8,8] q) { q = If (c) <
            then_branch = t2 () => (float[N,3,8,8] p2) { p2 = Abs(h) },
            else_branch = e2 () => (float[N,3,8,8] q2) { q2 = Identity(h) }> }>
        y = Exp(a) }"""
    proto = text(body, k=np.float32(1e9))
    layout = InputOptions(layout="NCHW")
    found = maps_of(proto, images(2, 8), layout, at="a")
    expected = [slowly(lambda probe: float(np.tanh(probe).sum()), i) for i in images(2, 8)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("rule", ["crop", "letterbox"])
def test_maps_of_inputs_that_are_not_square_are_of_whole_probes(rule):
    weight = np.random.default_rng(8).normal(size=(3, 8, 16)).astype(np.float32)
    found = maps_of(linear(weight), images(2, 16), InputOptions(resize=rule))
    side = 16 if rule == "crop" else 8
    assert found.shape == (2, side, side)
    if rule == "crop":  # Above and below is nothing that the model sees.
        assert (found[:, :4] == 0).all()
        assert (found[:, 12:] == 0).all()
        assert (found[:, 4:12] != 0).all()


def test_a_method_is_of_one_kind():
    with pytest.raises(UsageError, match="no method by gradient `occlusion`"):
        Engine(network(Net.random("Relu", 0).onnx()), methods=[parse("occlusion")])
    with pytest.raises(UsageError, match="no black-box method `saliency`"):
        BlackBox(runtime(Net.random("Relu", 0).onnx()), method=parse("saliency"))
    with pytest.raises(UsageError, match="positive"):
        BlackBox(runtime(Net.random("Relu", 0).onnx()), batch_size=0)


def test_probes_of_one_colour_have_nothing_to_hide():
    some = np.full((1, SIZE, SIZE, 3), 90, np.uint8)
    assert (maps_of(Net.random("Tanh", 1).onnx(), some, RANGE) == 0).all()
