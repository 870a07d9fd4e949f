"""Maps of arrays and of token ids, against weights and against torch's own gradients."""

import io

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper, parser
from torch import nn

from onnxattr.attribution.check import TOLERANCE, check_gradient
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert import session
from onnxattr.convert.parity import Gate
from onnxattr.convert.torch import to_network
from onnxattr.errors import ParityError, SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY, TOKENS

RNG = np.random.default_rng(0)


def build(text, imports="", **weights):
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17{imports}]> g {text}')
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return proto


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network(proto, values, at="output", fuse=(), **options):
    kind = ARRAY if values.dtype.kind == "f" else TOKENS
    model = load(proto if isinstance(proto, bytes) else proto.SerializeToString())
    spec = probe_input(model, InputOptions(**options), kind, values.shape[1:])
    return to_network(model, at=at, spec=spec, fuse=fuse)


def maps(proto, values, method="saliency", at="output", **options):
    """Maps by the way that rankings take: gate, gradient check and engine."""
    net = network(proto, values, at, fuse=FUSIONS.keys() - parse(method).entry.unfused, **options)
    gate = Gate(net)
    assert gate.check(values) <= gate.tolerance
    if gate.dtype.is_floating_point and gate.dtype != torch.float16:
        assert check_gradient(net, gate, values).error < TOLERANCE / 2
    return Engine(net, methods=[parse(method)]).maps(values)[0]


def export(module, *inputs, free=(), names=("x",)):
    """The file of a torch module; `free` sizes of its inputs have names."""
    file = io.BytesIO()
    torch.onnx.export(
        module.eval(),
        inputs,
        file,
        input_names=list(names),
        output_names=["y"],
        dynamic_axes={name: dict(enumerate(free)) for name in names},
        dynamo=False,
        opset_version=17,
    )
    return file.getvalue()


pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("kind", ["float", "double", "float16"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_linear_model_is_mapped_by_its_weights(batch, kind, scale):
    dtype = {"float": np.float32, "double": np.float64, "float16": np.float16}[kind]
    w = draw(6, 4).astype(dtype)
    text = f"({kind}[{batch},6] x) => ({kind}[{batch},4] y) {{ y = MatMul(x, w) }}"
    values, weights = scale * draw(7, 6, seed=1), w.astype(np.float64).sum(axis=1)
    close = {"rtol": 1e-2, "atol": 1e-2 * scale} if kind == "float16" else {"rtol": 1e-5}

    found = maps(build(text, w=w), values)
    assert found.shape == values.shape
    assert np.allclose(found, np.abs(weights), rtol=close["rtol"])
    for method in ("grad-input", "elrp"):
        assert np.allclose(maps(build(text, w=w), values, method), values * weights, **close)


def test_a_model_of_one_array_at_a_time():
    w = draw(4, seed=2)
    proto = build("(float[3,4] x) => (float[3] y) { y = MatMul(x, w) }", w=w)
    values = draw(5, 3, 4)
    expected = np.broadcast_to(np.abs(w), values.shape)
    assert np.allclose(maps(proto, values), expected, rtol=1e-5)
    assert np.allclose(maps(proto, values, "grad-input"), values * w, rtol=1e-5)


class Series(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.gru, self.head = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def slopes(module, values):
    """|∂Σy/∂x| by torch itself, in float64."""
    x = torch.from_numpy(values).double().requires_grad_()
    (gradient,) = torch.autograd.grad(module.double()(x).sum(), x)
    return gradient.numpy()


def cosines(a, b):
    a, b = (v.reshape(len(v), -1).astype(np.float64) for v in (a, b))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("free", [("batch",), ("batch", "time")])
def test_a_recurrent_net_over_a_time_series(seed, free):
    module, values = Series(seed), draw(6, 20, 3, seed=seed)
    proto = export(module, torch.zeros(2, 20, 3), free=free)

    found = maps(proto, values)
    gradient = slopes(module, values)

    assert found.shape == values.shape
    assert np.allclose(found, np.abs(gradient), rtol=1e-3, atol=1e-5)
    assert cosines(maps(proto, values, "grad-input"), values * gradient).min() > 0.99999


def test_sound():
    """A convolution over samples, whose maps are longer than the canvas of images."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(1, 4, 9, 4), nn.Tanh(), nn.Conv1d(4, 3, 5, 2), nn.Flatten())
    values = draw(3, 1, 2000)
    found = maps(export(module, torch.zeros(1, 1, 2000), free=("batch",)), values)
    assert cosines(found, np.abs(slopes(module, values))).min() > 0.99999


class Classifier(nn.Module):
    """Embedding, positions, attention over what is no padding, and a head."""

    def __init__(self, seed, length=12, padding=True):
        super().__init__()
        torch.manual_seed(seed)
        self.padding = padding
        self.words, self.places = nn.Embedding(30, 16), nn.Parameter(torch.randn(length, 16))
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))

    def behind(self, z, ids):
        present = (ids != 0).to(z.dtype) if self.padding else torch.ones_like(ids).to(z.dtype)
        z = z + self.places
        scores = self.query(z) @ self.key(z).transpose(1, 2) / 4 + (present[:, None] - 1) * 1e4
        z = z + scores.softmax(-1) @ self.value(z)
        return self.head((z * present[..., None]).sum(1) / present.sum(1, keepdim=True))

    def forward(self, ids):
        return self.behind(self.words(ids), ids)

    def at_the_embedding(self, ids):
        """The embedding and the gradient there, by torch itself, in float64."""
        whole = self.double()
        ids = torch.from_numpy(ids)
        z = whole.words(ids).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(whole.behind(z, ids).sum(), z)
        return z.detach().numpy(), gradient.numpy()


def ids(count=6, length=12, high=30):
    found = np.random.default_rng(count).integers(1, high, (count, length))
    found[1:3, 8:] = 0
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("free", [(), ("batch",), ("batch", "length")])
def test_token_ids_are_mapped_at_their_embedding(seed, padding, free):
    module = Classifier(seed, padding=padding)
    proto = export(module, torch.ones(2 if free else 1, 12, dtype=torch.int64), free=free)
    z, gradient = module.at_the_embedding(ids())

    found = maps(proto, ids())
    assert found.shape == (6, 12)
    assert np.allclose(found, np.abs(gradient).mean(-1), rtol=1e-3, atol=1e-6)
    product = maps(proto, ids(), "grad-input")
    assert cosines(product, (z * gradient).mean(-1)).min() > 0.9999


def test_the_feature_of_a_token_model():
    module = Classifier(1)
    proto = export(module, torch.ones(2, 12, dtype=torch.int64), free=("batch",))
    module.head = module.head[:2]
    _, gradient = module.at_the_embedding(ids())
    found = maps(proto, ids(), at="feature")
    assert np.allclose(found, np.abs(gradient).mean(-1), rtol=1e-3, atol=1e-6)


#: What ids are looked up in → (graph, weights, embedding by numpy).
TABLE, SHIFT = draw(30, 4, seed=5), draw(12, 4, seed=6)
LOOKUPS = {
    "int32": ("(int32[N,12] x) => (float[N,2] y) { z = Gather(table, x)", {"table": TABLE}, TABLE),
    "one id at a time": (
        "(int64[12] x) => (float[2] y) { z = Gather(table, x)", {"table": TABLE}, TABLE
    ),
    "quantised": (
        "(int64[N,12] x) => (float[N,2] y) { q = Gather(table, x) z = DequantizeLinear(q, s, p)",
        {"table": np.round(TABLE * 40).astype(np.int8), "s": np.float32(1 / 40), "p": np.int8(0)},
        np.round(TABLE * 40) / 40,
    ),
    "half": (
        "(int64[N,12] x) => (float16[N,2] y) { z = Gather(table, x)",
        {"table": TABLE.astype(np.float16)},
        TABLE.astype(np.float16),
    ),
    "after arithmetic on ids": (
        "(int64[N,12] x) => (float[N,2] y) { one = Constant<value = int64 {1}>() "
        "next = Sub(x, one) low = Clip(next, zero) z = Gather(table, low)",
        {"table": TABLE, "zero": np.int64(0)},
        np.concatenate([TABLE[:1], TABLE[:-1]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKUPS)
def test_tables(name):
    text, weights, table = LOOKUPS[name]
    half = name == "half"
    w = draw(4, 2, seed=7).astype(np.float16 if half else np.float32)
    axis = 0 if name == "one id at a time" else 1
    body = f"t = Tanh(z) h = MatMul(t, w) y = ReduceMean<axes = [{axis}], keepdims = 0>(h) }}"
    found = maps(build(f"{text} {body}", w=w, **weights), ids())
    slope = (1 - np.tanh(table[ids()].astype(np.float64)) ** 2) * w.astype(float).sum(1) / 12
    assert np.allclose(found, np.abs(slope).mean(-1), rtol=2e-2 if half else 1e-4, atol=1e-4)


def test_the_embedding_of_onnx_runtime():
    """Of words and positions, normalised, in one operator."""
    nodes = [
        helper.make_node(
            "EmbedLayerNormalization", ["x", "", "table", "places", "", "gamma", "beta"],
            ["z", ""], domain="com.microsoft", epsilon=1e-5,
        ),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]  # fmt: skip
    w = draw(4, 2)
    stored = {"table": TABLE, "places": SHIFT, "gamma": draw(4), "beta": draw(4, seed=3), "w": w}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.INT32, ["N", 12])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 12, 2])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    found = maps(proto, ids())
    assert np.allclose(found, np.abs(w.sum(1)).mean(), rtol=1e-5)


class Scaled(nn.Module):
    """The right values; of their gradient a part."""

    def __init__(self, right, part):
        super().__init__()
        self.right, self.part = right, part

    def forward(self, *inputs):
        y = self.right(*inputs)
        return y.detach() + self.part * (y - y.detach())


@pytest.mark.parametrize("part", [0.0, 0.5, -1.0])
def test_a_wrong_gradient_behind_the_embedding_is_found(part):
    net = network(export(Classifier(2), torch.ones(1, 12, dtype=torch.int64)), ids())
    name = next(n for n, node in net.operators.items() if node.op_type == "Tanh")
    net.module.add_module(name, Scaled(net.module.get_submodule(name), part))
    gate = Gate(net)
    gate.check(ids())
    with pytest.raises(ParityError, match="gradient is not that of its values"):
        check_gradient(net, gate, ids())


def test_no_check_where_onnx_runtime_cannot_go_on(monkeypatch):
    net = network(export(Classifier(2), torch.ones(1, 12, dtype=torch.int64)), ids())
    gate = Gate(net)
    monkeypatch.setattr(session, "_take", lambda graph, *_: graph.node[0].ClearField("input"))
    assert check_gradient(net, gate, ids()) is None


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_wrong_gradient_of_arrays_is_found(scale):
    text = "(float[N,6] x) => (float[N,4] y) { h = MatMul(x, w) t = Tanh(h) y = Add(t, h) }"
    values = scale * draw(5, 6)
    net = network(build(text, w=draw(6, 4) / scale), values)
    name = next(n for n, node in net.operators.items() if node.op_type == "Tanh")
    net.module.add_module(name, Scaled(net.module.get_submodule(name), 0.0))
    gate = Gate(net)
    gate.check(values)
    with pytest.raises(ParityError, match="gradient is not that of its values"):
        check_gradient(net, gate, values)


def test_an_embedding_that_is_not_one_row_for_each_token():
    text = "(int64[N,12] x) => (float[N,2] y) { t = Transpose<perm = [1, 0]>(x) "
    text += "z = Gather(table, t) h = MatMul(z, w) y = ReduceMean<axes = [0], keepdims = 0>(h) }"
    net = network(build(text, table=TABLE, w=draw(4, 2)), ids())
    with pytest.raises(SupportError, match="not one row for each token"):
        Engine(net).maps(ids())


def test_a_tensor_before_the_embedding():
    text = "(int64[N,12] x) => (float[N,12,4] y) { f = Cast<to = 1>(x) y = Gather(table, x) }"
    net = network(build(text, table=TABLE), ids(), at="f")
    with pytest.raises(SupportError, match="does not depend on the embedding"):
        Engine(net).maps(ids())


def test_ids_beyond_the_table():
    net = network(export(Classifier(2), torch.ones(1, 12, dtype=torch.int64)), ids())
    with pytest.raises(SupportError, match=r"out of .* bounds"):
        Gate(net).check(ids() + 30)


def test_a_multilayer_perceptron_of_scikit_learn():
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = draw(80, 5) * [1, 2, 3, 4, 5]
    net = MLPRegressor(hidden_layer_sizes=(12,), activation="tanh", random_state=0, solver="lbfgs")
    model = make_pipeline(StandardScaler(), net).fit(rows, np.sin(rows).sum(1))
    proto = skl2onnx.to_onnx(model, rows[:1].astype(np.float32))
    values = rows[:6].astype(np.float32)
    expected, h = np.zeros(values.shape), 1e-5
    for i in range(5):
        step = np.eye(5)[i] * h
        change = model.predict(values + step) - model.predict(values - step)
        expected[:, i] = change / (2 * h)

    found = maps(proto.SerializeToString(), values)

    assert np.allclose(found, np.abs(expected), rtol=1e-2, atol=1e-4)
