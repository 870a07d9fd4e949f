"""What lies behind the tensor that is attributed need not convert."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser
from typer.testing import CliRunner

import onnxattr
from onnxattr.cli.app import app

HEADER = '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>'
BODY = """c = Conv<strides=[2,2]>(x, k) r = Relu(c) g = GlobalAveragePool(r) f = Flatten(g)
    h = Gemm(f, w)"""

TREE = helper.make_node(
    "TreeEnsembleClassifier",
    ["h"],
    ["label", "votes"],
    domain="ai.onnx.ml",
    classlabels_int64s=[0, 1],
    class_ids=[0, 1],
    class_nodeids=[1, 2],
    class_treeids=[0, 0],
    class_weights=[1.0, 1.0],
    nodes_falsenodeids=[2, 0, 0],
    nodes_featureids=[0, 0, 0],
    nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
    nodes_nodeids=[0, 1, 2],
    nodes_treeids=[0, 0, 0],
    nodes_truenodeids=[1, 0, 0],
    nodes_values=[0.0, 0.0, 0.0],
)
STRINGS = helper.make_node(
    "LabelEncoder",
    ["a"],
    ["y"],
    domain="ai.onnx.ml",
    keys_int64s=[0, 1, 2],
    values_strings=["cat", "dog", "cow"],
)

#: What is behind the classifier, the outputs that are added, and where the model is attributed.
TAILS = {
    "labels that are strings": (
        "s = Softmax(h) a = ArgMax<axis=1, keepdims=0>(s)", [STRINGS], ("y", 8, ["N"]), "feature",
    ),
    "a stranger's operator": ("s = Softmax(h) y = Erf(s)", [], ("y", 1, ["N", 3]), "f"),
    "trees": ("", [TREE], ("votes", 1, ["N", 2]), "f"),
    "non-maximum suppression": (
        "b = Reshape(h, boxes) s = Sigmoid(h) t = Reshape(s, scores) "
        "y = NonMaxSuppression(b, t, few)",
        [], ("y", 7, ["M", 3]), "feature",
    ),
}  # fmt: skip


def write(path: Path, tail: str, nodes: list[onnx.NodeProto], output: tuple, seed: int) -> None:
    rng = np.random.default_rng(seed)
    proto = parser.parse_model(
        f"{HEADER} g (float[N,3,16,16] x) => (float[N,3] h) {{ {BODY} {tail} }}"
    )
    graph = proto.graph
    graph.node.extend(nodes)
    if output[0] == "y" and graph.node[-1].op_type == "Erf":
        graph.node[-1].domain = "com.acme"
        proto.opset_import.append(helper.make_opsetid("com.acme", 1))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(*output))
    stored = {
        "k": rng.normal(size=(8, 3, 3, 3)), "w": rng.normal(size=(8, 3)),
    }  # fmt: skip
    for name, array in stored.items():
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    for name, numbers in {"boxes": [1, -1, 4], "scores": [1, 1, -1], "few": [2]}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(numbers), name))
    onnx.save(proto, path)


@pytest.mark.parametrize(("tail", "nodes", "output", "at"), TAILS.values(), ids=TAILS)
def test_a_tail_without_a_converter_is_cut_away(tmp_path, tail, nodes, output, at):
    for seed in (1, 2):
        write(tmp_path / f"m{seed}.onnx", tail, nodes, output, seed)
    options = onnxattr.Options(limit=4, at=at)
    result = onnxattr.rank([tmp_path], options=options)
    assert not result.failures
    assert [m.representation.value for m in result.models] == ["f", "f"]


def test_inspect_writes_the_tail_as_fields(tmp_path):
    write(tmp_path / "m.onnx", *TAILS["labels that are strings"][:3], seed=1)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), "--format", "json"])
    (model,) = json.loads(result.stdout)["models"]
    assert model["representation"]["output"] == "y"
    assert model["tail"][-1] == {
        "op_type": "LabelEncoder",
        "name": "",
        "value": "y",
        "shape": model["tail"][-1]["shape"],
        "chosen": False,
        "output": True,
        "skipped": 0,
    }
    assert [n["value"] for n in model["tail"] if n["chosen"]] == ["f"]


def test_an_unknown_output_is_one_line(tmp_path):
    write(tmp_path / "m.onnx", *TAILS["labels that are strings"][:3], seed=1)
    result = onnxattr.inspect([tmp_path], at="logits:z").models[0]
    assert result.problems == ("`m` has no output `z`",)
