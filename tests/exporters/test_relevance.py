"""Relevance is conserved on networks of every kind, and is the same whichever exporter wrote them.

Σ x·c + Σ b·c_b = T in float64, for LRP-0: T is made of the logits with random weights, the biases
are found from the table of rules. RELEVANCE_FOLDER keeps the files for the next run, and
ROUTES_FOLDER those of Keras.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torchvision", reason="torchvision has the networks")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "attribution" / "rules"))
from ledger import Ledger, ledger  # noqa: E402

from onnxattr.attribution.engine import Engine  # noqa: E402
from onnxattr.attribution.methods import parse  # noqa: E402
from onnxattr.convert.torch import to_network  # noqa: E402
from onnxattr.graph.array_input import probe_input  # noqa: E402
from onnxattr.graph.load import load  # noqa: E402
from onnxattr.graph.normalise import FUSIONS  # noqa: E402
from onnxattr.graph.options import InputOptions  # noqa: E402
from onnxattr.types import ARRAY  # noqa: E402

from routes import ROUTES, Files, lacks  # noqa: E402  isort: skip

pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning")

NETWORKS = [
    "resnet18",
    "vgg11",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "densenet121",
    "inception_v3",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
    "bert",
    "lstm",
    "gru",
]
EXPORTERS = ("default", "legacy")

#: One that has a constant in front of it has a twin that has none.
TWINS = {"inception_v3": "plain_inception_v3"}

METHODS = ("lrp:composite=epsilon-plus", "cp-lrp", "grad-input")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the file of a network; each is made by a process when it is first asked for."""
    folder = Path(os.environ.get("RELEVANCE_FOLDER") or tmp_path_factory.mktemp("relevance"))

    def find(name):
        if not (folder / f"{name}.npz").exists():
            subprocess.run(
                [sys.executable, str(HERE / "makers" / "torch_maker.py"), str(folder), name],
                env={"OMP_NUM_THREADS": "1"} | os.environ,
                capture_output=True,
                timeout=900,
                check=False,
            )
        if (reason := folder / f"{name}.error").exists():
            pytest.fail(f"cannot be exported: {reason.read_text().strip()[-2000:]}")
        return folder / f"{name}.onnx"

    return find


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return Files(os.environ.get("ROUTES_FOLDER") or tmp_path_factory.mktemp("routes"))


def converted(path, *, wide):
    """Return a network up to its logits, and what it is fed; further inputs are ones."""
    native = dict(np.load(path.with_suffix(".npz")))
    model, x = load(path), native["input_0"]
    if x.ndim == 4:
        options = InputOptions(size=x.shape[2:])
        return to_network(model, at="logits", options=options, fuse=FUSIONS, wide=wide), x
    first, *others = (value.name for value in model.proto.graph.input)
    options = InputOptions(name=first, fixed=tuple((name, 1.0) for name in others))
    spec = probe_input(model, options, ARRAY, x.shape[1:])
    return to_network(model, at="logits", spec=spec, fuse=FUSIONS, wide=wide), x


@pytest.fixture(scope="session")
def booked(made):
    """Return where the relevance of a network's logits goes."""

    @functools.cache
    def find(name) -> Ledger:
        network, x = converted(made(name), wide=True)
        return ledger(network, torch.from_numpy(x[:1]).double())

    return find


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_relevance_is_conserved(name, exporter, booked):
    found = booked(f"{name}-{exporter}")
    assert found.error <= 1e-6, found
    # Where biases have nearly all of it, the rest is right, too, but for the rounding of theirs.
    lost = found.error * abs(found.total)
    assert lost <= max(1e-6 * abs(found.input), 1e-13 * abs(found.total)), found
    assert found.biases


@pytest.mark.parametrize("name", NETWORKS)
def test_without_biases_all_of_it_is_the_input_s(name, booked):
    found = booked(f"{TWINS.get(name, name)}-unbiased")
    assert found.total
    assert found.input == pytest.approx(found.total, rel=1e-6, abs=0)
    assert found.biases == found.intercepts == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_relevance_is_the_same_whichever_exporter(name, booked):
    first, second = (booked(f"{name}-{exporter}").relevance for exporter in EXPORTERS)
    assert cosine(first, second) >= 1 - 1e-6
    assert (first - second).abs().max() <= 1e-6 * first.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_are_the_same_whichever_exporter(name, made):
    """In float32, by the methods that people use."""
    both = [maps(*converted(made(f"{name}-{exporter}"), wide=False)) for exporter in EXPORTERS]
    for method, first, second in zip(METHODS, *both, strict=True):
        assert min(map(cosine, first, second)) >= 0.9999, method


def maps(network, x):
    """Return maps, [method, probe, …], of images whose pixels stand for no particular ones."""
    probes = x[:2]
    if x.ndim == 4:
        scaled = (probes - probes.min()) / np.ptp(probes)
        probes = np.round(255 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return Engine(network, methods=[parse(m) for m in METHODS]).maps(probes)


def cosine(first, second):
    a, b = (np.asarray(v, np.float64).ravel() for v in (first, second))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


#: A plain CNN of Keras, and its twin in PyTorch, by every exporter that is there.
LABELS = [label for label in ROUTES if label != "torch dynamo"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("network", ["logits", "depthwise"])
def test_keras_and_others_with_channels_last(network, label, files):
    if reason := lacks(label):
        pytest.skip(reason)
    reference, found = (route(files, name, network) for name in ("torch dynamo", label))
    for one in (reference, found):
        assert one.error <= 1e-6, one
    first, second = (one.relevance for one in (reference, found))
    second = second if second.shape == first.shape else second.permute(0, 3, 1, 2)
    assert cosine(first, second) >= 1 - 1e-6


@functools.cache
def route(files, label, network):
    """Return the ledger of a network that a route wrote, of the same image in any layout."""
    path = files.find(label, network)
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 64))
    at = "logits" if network == "logits" else "output"
    converted = to_network(load(path), at=at, fuse=FUSIONS, wide=True)
    x = image if converted.spec.layout == "NCHW" else image.transpose(0, 2, 3, 1).copy()
    return ledger(converted, torch.from_numpy(x))
