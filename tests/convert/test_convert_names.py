"""A name in a vendor's file is data: it runs no code, and breaks nothing."""

import warnings

import numpy as np
import onnx
import onnx2torch
import pytest
import torch
from onnx import helper, inliner

import onnxattr
from onnxattr.attribution import engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.parity import Gate
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def payload(marker):
    """A name that ends the string it is pasted into, makes a file, and goes on as valid Python."""
    return f'n", None) or getattr(open("{marker}", "w"), "close")() or type("'


def test_plain_onnx2torch_executes_a_node_name(build, payload, marker):
    """The control: without this the tests below could not fail."""
    proto = build("(float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    proto.graph.node[0].name = payload
    onnx.checker.check_model(proto, full_check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = onnx2torch.convert(proto)
        module(torch.zeros(1, 4))
    assert marker.exists()


def poisoned(proto, payload):
    """Writes the payload wherever a vendor may write a string."""
    graph = proto.graph
    graph.name = graph.doc_string = proto.doc_string = payload
    proto.producer_name = proto.producer_version = proto.domain = payload
    proto.metadata_props.add(key=payload, value=payload)
    graph.metadata_props.add(key=payload, value=payload)
    proto.opset_import.add(domain=payload, version=1)
    renamed = {}
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = renamed.setdefault(value.name, payload + value.name)
        value.doc_string = payload
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = payload
    for i, node in enumerate(graph.node):
        node.name, node.doc_string = f"{payload}{i}", payload
        node.metadata_props.add(key=payload, value=payload)
        for names in (node.input, node.output):
            names[:] = [renamed.setdefault(n, payload + n) if n else n for n in names]
    # A function's domain and name, its inner names, and a string attribute that nothing reads.
    value = helper.make_node("Identity", ["in" + payload], ["out" + payload], name=payload)
    constant = helper.make_node("Constant", [], ["unused" + payload], value_string=payload)
    proto.functions.append(
        helper.make_function(
            payload,
            payload,
            ["in" + payload],
            ["out" + payload],
            [constant, value],
            [helper.make_opsetid("", 17)],
        )
    )
    first = graph.node[0]
    call = helper.make_node(payload, [first.input[0]], ["called" + payload], domain=payload)
    call.name = payload
    first.input[0] = "called" + payload
    graph.node.insert(0, call)
    return proto


def test_the_poison_reaches_onnx2torch(build, payload, marker):
    proto = poisoned(build("(float[N,4] x) => (float[N,4] y) { y = Relu(x) }"), payload)
    proto = inliner.inline_local_functions(proto)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx2torch.convert(proto)(torch.zeros(1, 4))
    assert marker.exists()


def test_to_torch_executes_nothing(build, payload, marker):
    proto = poisoned(build("(float[N,4] x) => (float[N,4] y) { h = Relu(x) y = Neg(h) }"), payload)
    module = onnxattr.to_torch(proto)
    torch.testing.assert_close(module(torch.tensor([[-1.0, 0, 1, 2]]))[0, -1], torch.tensor(-2.0))
    assert payload not in module.code
    assert not marker.exists()


@pytest.mark.parametrize("method", ["saliency", "grad-input", "elrp"])
def test_attribution_executes_nothing(image_net, payload, marker, probes, method):
    model = load(poisoned(image_net(), payload), name=payload)
    network = to_network(model, options=onnxattr.InputOptions(layout="NCHW"))
    Gate(network).check(probes(3).images)
    maps = engine.Engine(network, methods=[parse(method)]).maps(probes(3).images)[0]
    assert np.abs(maps).max() > 0
    assert not marker.exists()


def test_inspection_executes_nothing(image_net, payload, marker, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(poisoned(image_net(), payload).SerializeToString())
    survey = onnxattr.inspect([path])
    assert survey.models[0].representation.value.startswith(payload)
    assert not marker.exists()


NAMES = {
    "class": "class", "forward": "forward", "train": "train", "half": "half", "graph": "graph",
    "training": "training", "_modules": "_modules", "initializers": "initializers",
    "newline": "a\nb", "quote": '"', "apostrophe": "'", "backslash": "\\", "dots": "a.b..c.",
    "braces": "{x}", "percent": "%s", "nul": "a\0b", "unicode": "couche_é☃𝔘", "bidi": "\u202ea",
    "slash": "/n/n", "ours": "n1", "our output": "onnxattr/n2", "our value": "v1",
    "long": "x" * 4000,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_odd_names_of_nodes(build, name):
    proto = build("(float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Neg(a) y = Exp(b) }")
    proto.graph.node[1].name = name
    x = torch.tensor([[-1.0, 0, 1, 2]])
    torch.testing.assert_close(onnxattr.to_torch(proto)(x), (-x.relu()).exp())


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_odd_names_of_values(build, name):
    text = "(float[N,4] x) => (float[N,4] y) { a = Mul(x, w) b = Neg(a) y = Exp(b) }"
    for old in ("x", "y", "a", "w"):
        proto = build(text, w=np.full(4, 2, np.float32))
        for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
            value.name = name if value.name == old else value.name
        for node in proto.graph.node:
            node.input[:] = [name if n == old else n for n in node.input]
            node.output[:] = [name if n == old else n for n in node.output]
        x = torch.tensor([[-1.0, 0, 1, 2]])
        torch.testing.assert_close(onnxattr.to_torch(proto)(x), (-2 * x).exp())


@pytest.mark.parametrize(
    "names", [("", "", ""), ("n", "n", "n"), ("n", "n_1", "n"), ("n1", "n0", "n2")]
)
def test_empty_and_equal_names_of_nodes(build, names):
    proto = build("(float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Neg(a) y = Exp(b) }")
    for node, name in zip(proto.graph.node, names, strict=True):
        node.name = name
    x = torch.tensor([[-1.0, 0, 1, 2]])
    torch.testing.assert_close(onnxattr.to_torch(proto)(x), (-x.relu()).exp())


def test_operators_are_known_by_their_vendors_names(image_net):
    network = to_network(load(image_net()))
    found = {node.name: node.op_type for node in network.operators.values()}
    assert found == {
        "conv1": "Conv", "bn1": "BatchNormalization", "act1": "Relu", "pool1": "AveragePool",
        "conv2": "Conv", "act2": "Sigmoid", "gap": "GlobalAveragePool", "flat": "Flatten",
    }  # fmt: skip
    assert all(network.module.get_submodule(name) is not None for name in network.operators)
