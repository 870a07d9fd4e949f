"""What ONNX Runtime shows in the pass that judges a conversion."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper, parser

import onnxattr
from onnxattr.attribution.witness import Witness, mixes, observed
from onnxattr.convert.observer import Observer
from onnxattr.convert.parity import Gate
from onnxattr.convert.session import Session
from onnxattr.convert.torch import to_network
from onnxattr.errors import ParityError, SupportError
from onnxattr.graph.beside import outputs_beside
from onnxattr.graph.outputs import representation

SIZE = 8
PARTS = ("representation", "outputs")


def classifier(tail: str = "p = Softmax(l)", out: str = "p", batch: str = "N") -> onnx.ModelProto:
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "com.vendor" : 1]> '
        f"g (float[{batch},3,{SIZE},{SIZE}] x) => (float[a,b] {out})"
        "{ c = Conv<pads = [1, 1, 1, 1]>(x, w) r = Relu(c) m = GlobalAveragePool(r)"
        f" f = Flatten(m) l = Gemm(f, v) {tail} }}"
    )
    rng = np.random.default_rng(0)
    for name, shape in (("w", (4, 3, 3, 3)), ("v", (4, 5))):
        values = rng.normal(size=shape).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return proto


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def truth(proto: onnx.ModelProto, given: np.ndarray, *values: str) -> list[np.ndarray]:
    """ONNX Runtime on the file itself, with more outputs, one probe at a time."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(v) for v in values)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rows = [
        session.run(values, {"x": (one.transpose(2, 0, 1) / 255)[None].astype(np.float32)})
        for one in given
    ]
    return [np.concatenate([row[i] for row in rows]) for i in range(len(values))]


def gate_of(proto: onnx.ModelProto, beside: str):
    network = to_network(onnxattr.load(proto, name="m"), at="f")
    return network, Gate(network, beside=beside)


def test_the_gate_keeps_what_onnx_runtime_computes_and_runs_nothing_more(monkeypatch):
    proto, given = classifier(), images(11)
    passes = []
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda self, fed: passes.append(1) or run(self, fed))

    counts = []
    for beside, keep in (("", False), ("l", True)):
        network, gate = gate_of(proto, beside)
        forward = []
        network.module.register_forward_hook(lambda *_, seen=forward: seen.append(1))
        passes.clear()
        witness = Witness(network.spec, PARTS)
        gate.check(given, witness.keep if keep else None)
        counts.append((len(passes), len(forward)))

    assert counts[0] == counts[1]
    units = witness.units()
    for part, expected in zip(PARTS, truth(proto, given, "f", "l"), strict=True):
        np.testing.assert_allclose(units[part].values, expected, atol=1e-6)


@pytest.mark.parametrize("batch", ["1", "4"])
def test_a_batch_that_the_graph_fixes(batch):
    proto, given = classifier(batch=batch), images(6)
    network, gate = gate_of(proto, "l")
    witness = Witness(network.spec, PARTS)
    gate.check(given, witness.keep)

    free = classifier()
    for part, expected in zip(PARTS, truth(free, given, "f", "l"), strict=True):
        np.testing.assert_allclose(witness.units()[part].values, expected, atol=1e-6)


@pytest.mark.parametrize("alone", [False, True])
def test_a_pass_of_its_own_shows_the_same(alone):
    proto, given = classifier(), images(11)
    model = onnxattr.load(proto, name="m")
    spec = to_network(model).spec
    with torch.inference_mode():
        units = observed(Observer(model, "f", "l"), Witness(spec, PARTS), spec, given, alone=alone)
    for part, expected in zip(PARTS, truth(proto, given, "f", "l"), strict=True):
        np.testing.assert_allclose(units[part].values, expected, atol=1e-6)


#: What is said of the units `f` of a file: whether a probe's hang on the others of its batch.
BATCHES = {
    "free": (classifier(), "l", False),
    "fixed": (classifier(batch="4"), "l", False),
    "one at a time": (classifier(batch="1"), "l", True),
    "less the mean": (classifier("q = ReduceMean<axes = [0]>(f) p = Sub(f, q)"), "p", True),
    "a sum of all": (classifier("p = ReduceSum(f)"), "p", True),
}


@pytest.mark.parametrize("name", BATCHES)
def test_whether_a_model_mixes_its_batch_is_found_out(name):
    proto, value, expected = BATCHES[name]
    spec = to_network(onnxattr.load(classifier(), name="m")).spec
    batch = {"fixed": 4, "one at a time": 1}.get(name)
    spec = dataclasses.replace(spec, batch=batch)
    observer = Observer(onnxattr.load(proto, name="m"), value)
    assert mixes(observer, spec, images(5), "m") is expected
    assert mixes(observer, spec, images(1), "m")


def test_a_model_that_is_random_has_no_units():
    proto = classifier("n = RandomNormalLike(f) p = Add(f, n)")
    spec = to_network(onnxattr.load(classifier(), name="m")).spec
    with pytest.raises(ParityError, match="it is random"):
        mixes(Observer(onnxattr.load(proto, name="m"), "p"), spec, images(5), "m")


def test_outputs_that_onnx_runtime_does_not_know_are_given_up():
    """The representation is as good without them."""
    proto, given = classifier("q = com.vendor.Secret(l) p = Softmax(q)"), images(3)
    network, gate = gate_of(proto, "q")
    witness = Witness(network.spec, PARTS)
    assert gate.check(given, witness.keep) < 1e-5
    units = witness.units(gate.observer.lost)
    assert "Secret" in units["outputs"].lacking
    assert units["outputs"].values is None
    assert units["representation"].values.shape == (3, 4)


def test_outputs_that_fail_when_they_are_run_are_given_up():
    """A Reshape that fits no batch: refused at the first pass, and not before."""
    proto = classifier("s = Shape(x) q = Reshape(l, s) p = Identity(q)", "p")
    network, gate = gate_of(proto, "q")
    witness = Witness(network.spec, PARTS)
    gate.check(images(3), witness.keep)
    units = witness.units(gate.observer.lost)
    assert "cannot run it" in units["outputs"].lacking
    assert units["representation"].values.shape == (3, 4)


def test_a_representation_that_cannot_be_run_is_refused_as_ever():
    model = onnxattr.load(classifier("p = com.vendor.Secret(l)"), name="m")
    with pytest.raises(SupportError, match="cannot run it"):
        Observer(model, "p", "")


@pytest.mark.parametrize(
    ("proto", "at", "expected"),
    [
        (classifier(), "feature", "l"),
        (classifier(), "feature:p", "l"),
        (classifier(), "c", "l"),
        (classifier(), "logits", ""),
        (classifier(), "output", ""),
        (classifier("", "l"), "feature", "l"),
        (classifier("k = ArgMax(l) p = Cast<to = 1>(k)"), "feature", "l"),
    ],
)
def test_which_tensor_holds_the_outputs(proto, at, expected):
    model = onnxattr.load(proto, name="m")
    assert outputs_beside(model, representation(model, at)) == expected


def test_no_outputs_of_a_model_with_a_loop():
    """Nobody knows how often it runs behind the representation."""
    tail = (
        "max = Constant<value = int64 {3}>() go = Constant<value = bool {1}>() "
        "n = Loop(max, go, l) <body = b (int64 i, bool t, float[a,c] v) => (bool u, float[a,c] z)"
        " { u = Identity(t) z = Relu(v) }> p = Softmax(n)"
    )
    proto = classifier(tail)
    model = onnxattr.load(proto, name="m")
    assert outputs_beside(model, representation(model, "f")) == ""
