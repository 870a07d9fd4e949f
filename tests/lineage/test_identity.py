"""Hashes see what a file computes with, and neither names nor order."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxattr.graph.load import load
from onnxattr.lineage.identity import identity_of


def model(
    names: str = "abcdefgh",
    *,
    seed: int = 0,
    swap: bool = False,
    stride: int = 1,
    constant: bool = False,
    kernel: tuple[int, ...] = (4, 3, 3, 3),
    props: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """x → Conv → Relu, and x → Conv → Sigmoid, added up."""
    x, w, v, p, q, r, s, y = names
    draw = np.random.default_rng(seed)
    first = numpy_helper.from_array(draw.normal(size=kernel).astype(np.float32), w)
    second = numpy_helper.from_array(draw.normal(size=kernel).astype(np.float32), v)
    extra = {"strides": [stride, stride], "pads": [1, 1, 1, 1]}
    left = [
        helper.make_node("Conv", [x, w], [p], name=names, **extra),
        helper.make_node("Relu", [p], [r]),
    ]
    right = [helper.make_node("Conv", [x, v], [q], **extra), helper.make_node("Sigmoid", [q], [s])]
    nodes = [*right, *left] if swap else [*left, *right]
    stored = [second, first] if swap else [first, second]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], [w], value=first))
        stored.remove(first)
    nodes.append(helper.make_node("Add", [r, s], [y]))
    graph = helper.make_graph(
        nodes,
        names,
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", "c", "h", "w"])],
        stored,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(proto, props or {})
    return proto


def identity(proto: onnx.ModelProto):
    return identity_of(load(proto), proto.ByteSize())


@pytest.mark.parametrize("other", [{"names": "zyxwvuts"}, {"swap": True}, {"constant": True}])
def test_names_order_and_the_way_of_storing_change_neither_weights_nor_structure(other):
    one, two = identity(model()), identity(model(**other))
    assert one.file != two.file
    assert (one.weights, one.structure) == (two.weights, two.structure)
    assert one.content == two.content


def test_other_numbers_change_the_weights_alone():
    one, two = identity(model()), identity(model(seed=1))
    assert one.weights != two.weights
    assert one.structure == two.structure


def test_two_layers_that_change_places_are_another_model():
    one, two = model(), model()
    first, second = two.graph.initializer
    first.name, second.name = second.name, first.name
    one, two = identity(one), identity(two)
    assert (one.weights, one.structure) == (two.weights, two.structure)
    assert one.content != two.content


def whole(seed, kind=np.int32):
    """x → MatMul with whole numbers."""
    stored = np.random.default_rng(seed).integers(-9, 9, (30, 4)).astype(kind)
    graph = helper.make_graph(
        [
            helper.make_node(
                "Cast", ["x"], ["i"], to=helper.np_dtype_to_tensor_dtype(stored.dtype)
            ),
            helper.make_node("MatMul", ["i", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 30])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["n", "c"])],
        [numpy_helper.from_array(stored, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_many_whole_numbers_are_weights_too():
    one, two = identity(whole(0)), identity(whole(1))
    assert one.structure == two.structure
    assert one.weights != two.weights
    assert one.content != two.content


def test_numbers_in_the_branches_of_a_condition_count():
    def branched(value):
        inner = [
            helper.make_graph(
                [
                    helper.make_node(
                        "Constant",
                        [],
                        [f"c{i}"],
                        value=numpy_helper.from_array(np.full((2, 2), value + i, np.float32)),
                    )
                ],
                f"b{i}",
                [],
                [helper.make_tensor_value_info(f"c{i}", TensorProto.FLOAT, [2, 2])],
            )
            for i in range(2)
        ]
        node = helper.make_node("If", ["x"], ["y"], then_branch=inner[0], else_branch=inner[1])
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.BOOL, [])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    assert identity(branched(1.0)).content == identity(branched(1.0)).content
    assert identity(branched(1.0)).content != identity(branched(2.0)).content


@pytest.mark.parametrize("other", [{"stride": 2}, {"kernel": (5, 3, 3, 3)}])
def test_an_attribute_or_a_shape_changes_the_structure(other):
    assert identity(model()).structure != identity(model(**other)).structure


def test_what_feeds_what_changes_the_structure():
    proto = model()
    relu = next(n for n in proto.graph.node if n.op_type == "Relu")
    sigmoid = next(n for n in proto.graph.node if n.op_type == "Sigmoid")
    # Both read what the first convolution makes; the operators are the same.
    sigmoid.input[0] = relu.input[0]
    assert identity(model()).structure != identity(proto).structure


def test_a_copied_tensor_counts_as_often_as_it_is_there():
    proto = model()
    first, second = proto.graph.initializer
    second.raw_data = first.raw_data
    alone = identity(proto).weights
    del proto.graph.initializer[1]
    proto.graph.node[2].input[1] = first.name
    assert identity(proto).weights != alone


def test_counts_and_metadata():
    found = identity(model(props={"a\x1b[31m": "x" * 10_000, "b": "\u202egnp"}))
    assert found.operators == {"Conv": 2, "Add": 1, "Relu": 1, "Sigmoid": 1}
    assert found.parameters == 2 * 4 * 27
    assert found.by_type == {"float": 216}
    assert found.opsets == {"": 17}
    assert found.nodes == 5
    assert found.metadata["b"] == "\\u202egnp"
    assert len(found.metadata["a\\x1b[31m"]) <= 500


def test_metadata_is_bounded():
    found = identity(model(props={f"k{i}": "v" for i in range(1000)}))
    assert len(found.metadata) <= 64
