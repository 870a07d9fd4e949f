"""One network with the same weights, through every exporter that can write it: the same maps.

PaddlePaddle and JAX live in environments of their own: see `test_networks.py`. How alike the maps
are is printed by `python benchmarks/exporters.py`. ROUTES_FOLDER keeps the files for the next run.
"""

import functools
import os

import numpy as np
import pytest

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
onnx = pytest.importorskip("onnx")
pytest.importorskip("torch", reason="PyTorch, which writes the control, is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

import onnxattr  # noqa: E402

from routes import (  # noqa: E402  isort: skip
    BLUEPRINTS,
    CONTROL,
    METHODS,
    ROUTES,
    Files,
    called,
    lacks,
    likeness,
    there,
)
from blueprint import forward, parse  # noqa: E402  isort: skip - `routes` says where it is

#: Least cosine, on every probe, of two exports of one network. `elrp` divides by sums that may be
#: near zero, where rounding is no longer small.
ALIKE = {"saliency": 0.9999, "grad-input": 0.9999, "elrp": 0.999}
#: Largest mean cosine of a network and the one whose weights are permuted, as they are and centred.
#: Saliency is nowhere negative, so that any two of its maps are alike before they are centred.
FLOOR = {"saliency": (0.9, 0.6), "grad-input": (0.6, 0.6), "elrp": (0.6, 0.6)}
IMAGES = 2


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return Files(os.environ.get("ROUTES_FOLDER") or tmp_path_factory.mktemp("routes"))


@pytest.fixture
def path(files, network, label):
    """Return the file of a network that a route wrote."""
    if reason := lacks(label):
        pytest.skip(reason)
    try:
        return files.find(label, network)
    except RuntimeError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def inspected(files):
    """Return what is found in all files of a network, by what is asked for and by name."""

    @functools.cache
    def inspect(network, at):
        return {found.name: found for found in onnxattr.inspect(files.all(network), at=at).models}

    return inspect


def tensors(path, names, images):
    """Return tensors of a file as ONNX Runtime computes them."""
    proto = onnx.load(path)
    have = {value.name for value in proto.graph.output}
    for name in set(names) - have:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(list(names), {session.get_inputs()[0].name: images})


def error(value, expected):
    """Return max|Δ| / max|expected|: inner tensors have either layout, and perhaps axes of one."""
    forms = [value, value.transpose(0, 2, 3, 1)] if value.ndim == 4 else [value]
    forms, expected = [form.squeeze() for form in forms], expected.squeeze()
    differences = [np.abs(f - expected).max() for f in forms if f.shape == expected.shape]
    return min(differences, default=np.inf) / np.abs(expected).max()


def noise(plan):
    rng = np.random.default_rng(3)
    shape = (IMAGES, plan.size, plan.size, plan.channels)
    if plan.dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.random(shape, dtype=np.float32)


@pytest.mark.parametrize("label", ROUTES)
@pytest.mark.parametrize("network", BLUEPRINTS)
def test_origin_and_input_are_found(network, label, path, inspected):
    found, plan, route = (
        inspected(network, "feature")[path.stem],
        BLUEPRINTS[network],
        ROUTES[label],
    )
    assert not found.problems
    assert found.origin.framework == route.origin
    assert found.spec.layout == route.layout
    assert found.spec.sources["layout"].startswith("graph: ")
    assert (found.spec.height, found.spec.width) == (plan.size, plan.size)
    assert found.spec.channels == plan.channels
    assert found.spec.dtype == plan.dtype
    assert found.spec.batch is None


@pytest.mark.parametrize("label", ROUTES)
@pytest.mark.parametrize("network", BLUEPRINTS)
def test_feature_logits_and_output_are_found(network, label, path, inspected):
    """The tensors hold what the description of the network computes, in NumPy."""
    images = noise(BLUEPRINTS[network])
    expected = forward(*parse(network), images)
    names = {at: inspected(network, at)[path.stem].representation.value for at in expected}
    fed = images.transpose(0, 3, 1, 2) if ROUTES[label].layout == "NCHW" else images
    for at, value in zip(names, tensors(path, names.values(), fed), strict=True):
        assert error(value, expected[at]) < 1e-4, at


@pytest.mark.parametrize("label", ROUTES)
@pytest.mark.parametrize("network", BLUEPRINTS)
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_all_routes_but_not_of_permuted_weights(
    method, network, label, path, files
):
    ranking = files.ranking(network, method)
    assert path.stem in ranking.similarity.names, ranking.failures
    control = called(f"{network}_permuted", CONTROL)
    for other in set(ranking.similarity.names) - {path.stem, control}:
        assert likeness(ranking, path.stem, other).min() >= ALIKE[method], other
    centred = files.ranking(network, method, centred=True)
    for result, floor in zip((ranking, centred), FLOOR[method], strict=True):
        assert likeness(result, path.stem, control).mean() < floor


@pytest.mark.parametrize("label", ["tf2onnx"])
@pytest.mark.parametrize("network", ["encoder", "even"])
@pytest.mark.parametrize("method", METHODS)
def test_padding_on_the_other_side_would_be_noticed(method, network, label, path, tmp_path):
    """Half a pixel's shift is what the frameworks' own defaults differ in."""
    proto = onnx.load(path)
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "pads":
                attribute.ints[:] = [*attribute.ints[2:], *attribute.ints[:2]]
    onnx.save(proto, tmp_path / "moved.onnx")
    options = onnxattr.Options(method=method, limit=8, paper=True, device="cpu", store=None)
    ranking = onnxattr.rank([path, tmp_path / "moved.onnx"], options=options)
    assert likeness(ranking, path.stem, "moved").max() < 0.9


@pytest.mark.parametrize("label", ROUTES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", ["softmax"])
def test_logits_below_a_softmax_are_those_without_one(method, label, path, files):
    ranking = files.ranking("logits softmax", method, "logits")
    names = ranking.similarity.names
    assert path.stem in names, ranking.failures
    others = {called(network, label) for network in ("logits", "softmax") for label in there()}
    for other in others & set(names) - {path.stem}:
        assert likeness(ranking, path.stem, other).min() >= ALIKE[method], other
