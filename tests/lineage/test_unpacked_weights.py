"""Weights that a graph puts together as it is loaded are the weights that it computes with."""

import audited_files as files
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxattr.graph.load import load
from onnxattr.lineage.layers import weights_of_model
from onnxattr.lineage.weights import match_weights

VICTIM = files.net(0)


def node(*given, **said):
    return helper.make_node(*given, **said)


def parts_of(packing, weight, rng):
    """Stored parts of a weight by name, and nodes that make `whole` of them."""
    half = len(weight) // 2
    noise = rng.normal(size=weight.shape).astype(np.float32)
    if packing == "concat":
        parts = {"a": weight[:half], "b": weight[half:]}
        return parts, [node("Concat", ["a", "b"], ["whole"], axis=0)]
    if packing == "sum":
        parts = {"a": noise, "b": noise, "c": weight - 2 * noise}
        return parts, [node("Sum", ["a", "b", "c"], ["whole"])]
    if packing == "gather":
        order = rng.permutation(len(weight))
        parts = {"a": weight[order], "b": np.argsort(order)}
        return parts, [node("Gather", ["a", "b"], ["whole"], axis=0)]
    if packing == "where":
        mask = rng.random(weight.shape) < 0.5
        parts = {"a": mask, "b": np.where(mask, weight, 9), "c": np.where(mask, 9, weight)}
        return parts, [node("Where", ["a", "b", "c"], ["whole"])]
    if packing == "slice":
        wide = np.concatenate([noise, weight[::-1]])
        parts = {"a": wide, "b": np.array([-1]), "c": np.array([len(weight) - 1])}
        parts |= {"d": np.array([0]), "e": np.array([-1])}
        return parts, [node("Slice", ["a", "b", "c", "d", "e"], ["whole"])]
    if packing == "exp":
        parts = {"a": np.log(np.abs(weight)), "b": np.sign(weight)}
        return parts, [node("Exp", ["a"], ["size"]), node("Mul", ["size", "b"], ["whole"])]
    turn, _ = np.linalg.qr(rng.normal(size=(len(weight), len(weight))))
    parts = {"a": turn, "b": turn.T @ weight.reshape(len(weight), -1), "c": np.array(weight.shape)}
    return parts, [node("MatMul", ["a", "b"], ["flat"]), node("Reshape", ["flat", "c"], ["whole"])]


def packed(packing):
    proto, rng = files.file_of(VICTIM), np.random.default_rng(0)
    stored = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    nodes = []
    for name in [f"w{i}" for i in range(len(VICTIM.weights))]:
        parts, steps = parts_of(packing, stored.pop(name), rng)
        for part, array in parts.items():
            array = array.astype(np.float32) if array.dtype == np.float64 else array
            stored[f"{name}{part}"] = array
        for step in steps:
            step.input[:] = [f"{name}{part}" for part in step.input]
            step.output[:] = [name if part == "whole" else f"{name}{part}" for part in step.output]
        nodes += steps
    nodes += proto.graph.node
    kept = [onnx.NodeProto.FromString(each.SerializeToString()) for each in nodes]
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(kept)
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in stored.items())
    onnx.checker.check_model(proto, full_check=True)
    return proto


def bordered():
    """Its kernels with a border of zeros."""
    proto = files.file_of(VICTIM)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 4:
            wide = np.pad(array, ((0, 0), (0, 0), (1, 1), (1, 1)))
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for each in proto.graph.node:
        for attribute in each.attribute:
            if attribute.name == "pads":
                attribute.ints[:] = [2] * 4
    onnx.checker.check_model(proto, full_check=True)
    return proto


def weights(folder, proto):
    path = files.saved(folder, model=proto)["model"]
    return weights_of_model(load(path))


@pytest.mark.parametrize("packing", ["concat", "sum", "gather", "where", "slice", "exp", "matmul"])
def test_what_is_put_together_is_compared(tmp_path, packing):
    known = weights(tmp_path, files.file_of(VICTIM))
    found = match_weights(weights(tmp_path, packed(packing)), known)
    assert found.late == pytest.approx(1, abs=1e-5)
    assert found.identical


def test_a_border_of_zeros_makes_no_other_kernel(tmp_path):
    known = weights(tmp_path, files.file_of(VICTIM))
    assert match_weights(weights(tmp_path, bordered()), known).identical


def test_parts_of_one_tensor_are_layers_of_their_own(tmp_path):
    """Two layers of one shape, cut from one stored tensor, are not the same weights twice."""
    rng = np.random.default_rng(0)
    blob = rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
    first = rng.normal(size=(8, 3, 3, 3)).astype(np.float32)
    stored = {"blob": blob, "first": first, "zero": np.array([0]), "axis": np.array([0])}
    stored |= {"eight": np.array([8]), "sixteen": np.array([16])}
    graph = helper.make_graph(
        [
            node("Slice", ["blob", "zero", "eight", "axis"], ["w1"]),
            node("Slice", ["blob", "eight", "sixteen", "axis"], ["w2"]),
            node("Conv", ["x", "first"], ["a"]),
            node("Conv", ["a", "w1"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("Conv", ["c", "w2"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", 1, ["n", 8, 10, 10])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opset = helper.make_opsetid("", 17)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    layers = weights(tmp_path, proto).layers
    assert [layer.weight.shape for layer in layers] == [first.shape, (8, 8, 3, 3), (8, 8, 3, 3)]
    np.testing.assert_array_equal(layers[1].weight, blob[:8])
    np.testing.assert_array_equal(layers[2].weight, blob[8:])
