"""Suspects that lack something: weights, gradients, a runtime that takes them, or all of it."""

import audited_files as files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxattr
from onnxattr.errors import RankingError
from onnxattr.limits import Limits
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL, UNDECIDABLE

FEW = onnxattr.Options(limit=6, device="cpu", store=None)

PIXELS = 3 * files.SIDE**2


def model(nodes, kind=TensorProto.FLOAT, rank=2, stored=(), domains=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(
                "image", TensorProto.FLOAT, ["n", 3, files.SIDE, files.SIDE]
            )
        ],
        [helper.make_tensor_value_info("y", kind, [f"d{axis}" for axis in range(rank)])],
        list(stored),
    )
    versions = {"ai.onnx.ml": 3}
    imports = [helper.make_opsetid(domain, versions.get(domain, 17)) for domain in ("", *domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def bare():
    """Nothing is stored."""
    pool = helper.make_node("AveragePool", ["image"], ["p"], kernel_shape=[2, 2], strides=[2, 2])
    return model([pool, helper.make_node("Relu", ["p"], ["y"])], rank=4)


def trees(kind):
    """A stump, as scikit-learn's converters write it."""
    regressor = kind == "TreeEnsembleRegressor"
    what = "target" if regressor else "class"
    attributes = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [5, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        f"{what}_treeids": [0, 0],
        f"{what}_nodeids": [1, 2],
        f"{what}_ids": [0, 0] if regressor else [0, 1],
        f"{what}_weights": [1.0, 2.0],
    }
    attributes |= {"n_targets": 1} if regressor else {"classlabels_int64s": [0, 1]}
    outputs = ["y"] if regressor else ["label", "y"]
    node = helper.make_node(kind, ["flat"], outputs, domain="ai.onnx.ml", **attributes)
    flat = helper.make_node("Flatten", ["image"], ["flat"])
    return model([flat, node], domains=["ai.onnx.ml"])


def whole(seed):
    """Whole numbers alone, all the way."""
    draw = np.random.default_rng(seed)
    stored = [
        numpy_helper.from_array(np.array(255, np.float32), "k"),
        numpy_helper.from_array(draw.integers(-50, 50, (PIXELS, 10)).astype(np.int32), "w"),
    ]
    nodes = [
        helper.make_node("Mul", ["image", "k"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["i"], to=TensorProto.INT32),
        helper.make_node("Flatten", ["i"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    return model(nodes, TensorProto.INT32, stored=stored)


def ending(node, domain=""):
    """The reference with one more operator behind it."""
    proto = files.file_of(files.net(0))
    proto.graph.node.append(node)
    proto.graph.output[0].name = "y"
    if domain:
        proto.opset_import.append(helper.make_opsetid(domain, 1))
    return proto


def refused_by_the_runtime():
    """What it says of a kernel is not what is stored."""
    proto = files.file_of(files.net(0))
    proto.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [5, 5]))
    return proto


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    made = {"ours": files.net(0), "stranger": files.net(1)}
    return files.saved(folder, **{name: files.file_of(net) for name, net in made.items()})


@pytest.fixture
def audit(tmp_path, known):
    def audit(proto, options=FEW, **more):
        path = tmp_path / "vendor.onnx"
        path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
        against = [*known.values(), *files.saved(tmp_path, **more).values()]
        return onnxattr.audit(path, against=against, options=options, search=False)

    return audit


def findings(audited):
    return {finding.kind: finding.text for finding in audited.suspect.findings}


@pytest.mark.parametrize(
    "proto",
    [bare(), trees("TreeEnsembleRegressor"), trees("TreeEnsembleClassifier")],
    ids=["bare", "regressor", "classifier"],
)
def test_a_suspect_without_weights_is_told_of_and_not_accused(audit, proto):
    found = audit(proto)
    assert found.verdict.kind not in (IDENTICAL, DERIVED, CLOSER)
    assert found.failures == ()
    assert found.suspect.identity.parameters == 0
    assert sum(found.suspect.identity.operators.values()) == 2
    assert found.suspect.deterministic
    assert {each.match.reason for each in found.relations} == {
        "the suspect has no layers with stored weights"
    }


def test_trees_that_say_the_same_of_a_few_probes_are_not_called_the_same(audit):
    """Two things may be said of six probes: others that were grown apart would agree, too."""
    renamed = trees("TreeEnsembleRegressor")
    renamed.graph.name = "another"
    found = audit(trees("TreeEnsembleRegressor"), other=renamed)
    assert {each.identical for each in found.relations} == {""}
    assert found.verdict.kind == UNDECIDABLE


def test_whole_numbers_are_no_copies_of_other_whole_numbers(audit):
    found = audit(whole(0), apart=whole(1), copied=whole(0))
    same = {each.reference: each.identical for each in found.relations}
    assert same == {"copied": "file", "apart": "", "ours": "", "stranger": ""}
    assert any(line.startswith("vendor: gradients are not compared") for line in found.warnings)
    (apart,) = [each for each in found.relations if each.reference == "apart"]
    assert apart.finding.kind == "undecidable"
    assert "1 layer corresponds, of 1 and 1" in apart.match.reason
    assert "the nets are too small" in apart.match.reason


@pytest.mark.parametrize(
    ("proto", "kind", "why"),
    [
        (
            ending(helper.make_node("Secret", ["logits"], ["y"], domain="vendor"), "vendor"),
            "unsupported operator",
            "vendor.Secret (1)",
        ),
        (refused_by_the_runtime(), "not run", "kernel_shape is not compatible"),
    ],
    ids=["foreign", "refused"],
)
def test_weights_tell_of_what_cannot_be_run(audit, proto, kind, why):
    found = audit(proto)
    assert (found.verdict.kind, found.verdict.reference) == (DERIVED, "ours")
    assert found.suspect.identity.parameters == sum(
        array.size for array in (*files.net(0).weights, *files.net(0).biases, files.net(0).head)
    )
    assert why in findings(found)[kind]
    assert "ONNX Runtime cannot run it" in findings(found)["not run"]
    assert any("vendor: its behaviour is not compared" in line for line in found.warnings)
    assert all(not each.behaviour for each in found.relations)


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (helper.make_node("RandomNormalLike", ["logits"], ["y"]), "random numbers"),
        (helper.make_node("Unique", ["logits"], ["y"], axis=0), "problem"),
    ],
    ids=["random", "batch"],
)
def test_what_has_no_maps_is_compared_by_all_else(audit, node, kind):
    found = audit(ending(node))
    assert (found.verdict.kind, found.verdict.reference) == (DERIVED, "ours")
    assert kind in findings(found)
    notes = [line for line in found.warnings if "gradients are not compared" in line]
    assert len(notes) == 1
    assert found.suspect.deterministic == (kind != "random numbers")


def test_a_reference_that_cannot_be_run_is_compared_by_its_weights(audit):
    found = audit(files.file_of(files.permuted(files.net(0))), broken=refused_by_the_runtime())
    assert "broken" in {each.reference for each in found.relations}
    assert any(line.startswith("broken: its behaviour is not compared") for line in found.warnings)
    assert found.verdict.kind == DERIVED


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (b"", FEW, "the file is empty"),
        (b"no model", FEW, "the file is not an ONNX model"),
        (files.file_of(files.net(0)).SerializeToString()[:-500], FEW, "truncated or damaged"),
        (
            files.file_of(files.net(0)),
            onnxattr.Options(device="cpu", store=None, limits=Limits(file_size=1000)),
            "are allowed",
        ),
    ],
    ids=["empty", "text", "cut", "large"],
)
def test_a_suspect_that_cannot_be_loaded_is_the_message(audit, tmp_path, data, options, reason):
    with pytest.raises(RankingError) as caught:
        audit(data, options)
    assert caught.value.message.startswith(f"the suspect `{tmp_path / 'vendor.onnx'}` cannot be")
    assert reason in caught.value.message


def test_protos_are_what_they_seem():
    for proto in (bare(), whole(0), trees("TreeEnsembleRegressor")):
        onnx.checker.check_model(proto)
