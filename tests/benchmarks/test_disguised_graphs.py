"""Disguises compute what they say they compute: ONNX Runtime before and after, on noise."""

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.disguises import changed, entrances, formats, graphs, same

SIDE = 16
WIDTHS = (3, 6, 8, 4)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def images(rng):
    return rng.random((4, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def model(rng):
    """Three convolutions with ReLU, the first of stride 2."""
    nodes, tensors, value = [], [], "image"
    for n, (before, after) in enumerate(pairwise(WIDTHS)):
        weight = rng.normal(size=(after, before, 3, 3)) * 0.3
        for name, array in ((f"w{n}", weight), (f"b{n}", rng.normal(size=after))):
            tensors.append(numpy_helper.from_array(array.astype(np.float32), name))
        stride = [2, 2] if n == 0 else [1, 1]
        sizes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": stride}
        nodes.append(helper.make_node("Conv", [value, f"w{n}", f"b{n}"], [f"c{n}"], **sizes))
        nodes.append(helper.make_node("Relu", [f"c{n}"], [value := f"r{n}"]))
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    answer = helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", 4, 8, 8])
    graph = helper.make_graph(nodes, "net", [given], [answer], tensors)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="somebody")


def run(model, images):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def close(found, wanted, share=1e-5):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()


@pytest.mark.parametrize("disguise", [same.permute, same.rescale, same.split_batch_norm])
def test_the_function_is_the_same_and_the_weights_are_not(disguise, model, images, rng):
    result = disguise(model, rng)
    close(run(result, images), run(model, images))
    for node in graphs.convolutions(model):
        assert not np.allclose(
            graphs.weight(result, node.input[1]), graphs.weight(model, node.input[1]), rtol=1e-2
        )


def test_every_batch_norm_has_statistics_of_its_own(model, rng):
    result = same.split_batch_norm(model, rng)
    norms = [node for node in result.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) == 3
    assert all(len(node.input) == 2 for node in graphs.convolutions(result))
    for node in norms:
        assert graphs.weight(result, node.input[3]).std() > 0.1


def test_units_of_the_answer_keep_their_order_but_hidden_ones_do_not(model):
    pairs = list(graphs.hidden(model))
    assert [(p.before.output[0], p.after.output[0]) for p in pairs] == [("c0", "c1"), ("c1", "c2")]


def test_a_value_that_two_read_is_not_hidden(model):
    model.graph.node.append(helper.make_node("Sigmoid", ["r0"], ["other"]))
    assert [p.before.output[0] for p in graphs.hidden(model)] == ["c1"]


def test_a_turned_answer_has_the_same_lengths_and_products(model, images, rng):
    found, wanted = (
        run(m, images).transpose(0, 2, 3, 1).reshape(-1, 4)
        for m in (same.rotate(model, rng), model)
    )
    assert np.abs(found - wanted).max() > 0.1 * np.abs(wanted).max()
    close(found @ found.T, wanted @ wanted.T)


def test_noise_is_as_large_as_asked_for(model, rng):
    result = changed.noise(model, rng, 0.2)
    for node in graphs.convolutions(model):
        before, after = (graphs.weight(m, node.input[1]) for m in (model, result))
        assert 0.15 < (after - before).std() / before.std() < 0.25


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_smallest_weights_are_pruned(share, model):
    result = changed.prune(model, share)
    for node in graphs.convolutions(model):
        before, after = (graphs.weight(m, node.input[1]) for m in (model, result))
        assert abs((after == 0).mean() - share) < 0.02
        assert np.array_equal(after[after != 0], before[after != 0])
        assert np.abs(before[after == 0]).max() < np.abs(after[after != 0]).min()


def test_the_weakest_filters_go(model, images):
    result = changed.thin(model, 0.25)
    sizes = [graphs.weight(result, n.input[1]).shape for n in graphs.convolutions(result)]
    assert sizes == [(4, 3, 3, 3), (6, 4, 3, 3), (4, 6, 3, 3)]
    assert run(result, images).shape == (4, 4, 8, 8)
    norms = np.linalg.norm(graphs.weight(model, "w0").reshape(6, -1), axis=1)
    kept = np.linalg.norm(graphs.weight(result, "w0").reshape(4, -1), axis=1)
    assert set(kept) == set(np.sort(norms)[2:])


@pytest.mark.parametrize(
    ("disguise", "feed"),
    [
        (entrances.bgr, lambda x: x[:, ::-1]),
        (entrances.bytes_range, lambda x: x * 255),
        (entrances.signed_range, lambda x: 2 * x - 1),
    ],
)
def test_the_function_is_the_same_on_what_it_is_fed_with_now(disguise, feed, model, images):
    result = disguise(model)
    fed = np.ascontiguousarray(feed(images))
    close(run(result, fed), run(model, images))
    assert np.abs(run(result, images) - run(model, images)).max() > 0.05


def test_names_and_origin_go_and_the_function_stays(model, images, rng):
    result = formats.rename(model, rng)
    close(run(result, images), run(model, images), 0)
    names = {t.name for t in result.graph.initializer}
    assert not names & {t.name for t in model.graph.initializer}
    assert not result.producer_name


def test_channels_last_outside(model, images):
    found = run(formats.channels_last(model), images.transpose(0, 2, 3, 1))
    close(found, run(model, images).transpose(0, 2, 3, 1), 0)


def test_half_precision(model, images):
    result = formats.half(model)
    assert {t.data_type for t in result.graph.initializer} == {TensorProto.FLOAT16}
    close(run(result, images), run(model, images), 5e-3)


def test_eight_bits_with_ranges_from_images(model, images):
    result = formats.int8_static(model, images)
    assert sum(n.op_type == "DequantizeLinear" for n in result.graph.node) >= 6
    close(run(result, images), run(model, images), 0.1)


def test_eight_bits_as_it_runs(model, images):
    result = formats.int8_dynamic(model)
    assert sum(n.op_type == "ConvInteger" for n in result.graph.node) == 3
    close(run(result, images), run(model, images), 0.1)


def test_disguises_leave_the_model_itself_alone(model, rng):
    before = model.SerializeToString(deterministic=True)
    for disguise in (same.permute, same.rescale, same.rotate, same.split_batch_norm):
        disguise(model, rng)
    for disguise in (entrances.bgr, entrances.signed_range, formats.channels_last, formats.half):
        disguise(model)
    changed.thin(model, 0.25)
    formats.rename(model, rng)
    assert model.SerializeToString(deterministic=True) == before
