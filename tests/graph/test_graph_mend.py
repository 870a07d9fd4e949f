"""Files that ONNX Runtime runs and the ONNX checker refuses are read, and mean the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from onnxattr.errors import ModelFileError
from onnxattr.graph.load import load
from onnxattr.graph.mend import mend

CHAIN = """(float[N] x) => (float[N] y) {
    a = Relu(x) b = Neg(a) c = Abs(b)
    t = Constant<value = bool {1}>()
    d = If(t) <then_branch = one () => (float[N] u) { u = Add(c, a) },
               else_branch = two () => (float[N] v) { v = Identity(c) }>
    y = Add(d, b)
}"""
CLASSES = """<ir_version: 8, opset_import: ["ai.onnx.ml" : 1]>
g (float[N,2] x) => (float[N,3] scores) {
    raw = ai.onnx.ml.LinearClassifier<coefficients = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        intercepts = [0.0, 0.0, 0.5], classlabels_ints = [0, 1, 2]>(x)
}"""


@pytest.fixture
def chain(build):
    return build(CHAIN)


def names(proto):
    return [node.output[0] for node in proto.graph.node]


@pytest.mark.parametrize("order", [[5, 4, 3, 2, 1, 0], [1, 0, 2, 3, 4, 5], [3, 5, 0, 2, 4, 1]])
def test_nodes_are_put_in_order(chain, runtime, order):
    x = np.float32([-1, 2])
    (wanted,) = runtime(chain, x)
    nodes = [chain.graph.node[i] for i in order]
    shuffled = onnx.ModelProto.FromString(chain.SerializeToString())
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(nodes)
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(shuffled)
    proto = load(shuffled).proto
    assert sorted(names(proto)) == sorted(names(chain))
    np.testing.assert_array_equal(runtime(proto, x)[0], wanted)


def test_subgraphs_and_functions_are_put_in_order_too(chain):
    branch = chain.graph.node[4].attribute[0].g
    branch.node.append(helper.make_node("Neg", ["w"], ["u"]))
    branch.node[0].output[0] = "w"
    branch.node.reverse()
    chain.functions.append(
        parser.parse_function('<domain: "f", opset_import: ["" : 17]> F (a) => (b) { b = Neg(c) }')
    )
    chain.functions[0].node.append(helper.make_node("Abs", ["a"], ["c"]))
    mend(chain)
    assert [node.op_type for node in chain.graph.node[4].attribute[0].g.node] == ["Add", "Neg"]
    assert [node.op_type for node in chain.functions[0].node] == ["Abs", "Neg"]


def test_what_is_in_order_stays_as_it_is(chain):
    before = chain.SerializeToString(deterministic=True)
    mend(chain)
    assert chain.SerializeToString(deterministic=True) == before


def test_circles_and_values_made_twice_are_left_to_the_checker(chain):
    chain.graph.node[0].input[0] = "c"
    with pytest.raises(ModelFileError, match="topologically sorted"):
        load(chain)
    chain.graph.node[0].input[0] = "x"
    chain.graph.node[2].output[0] = "a"
    with pytest.raises(ModelFileError, match="checker refuses"):
        load(chain)


def test_old_files_may_leave_initializers_out_of_the_inputs(build, runtime):
    proto = build("(float[2] x) => (float[2] y) { y = Mul(x, w) }", ir_version=3, opset=7)
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([2, 3]), "w"))
    model = load(proto)
    assert model.proto.ir_version == 4
    np.testing.assert_array_equal(runtime(model.proto, np.float32([1, 1]))[0], [2, 3])


@pytest.mark.parametrize("imports", [[], [helper.make_opsetid("", 17)]])
def test_list_of_dictionaries_is_the_tensor_that_it_was_made_of(runtime, imports):
    proto = parser.parse_model(CLASSES)
    proto.opset_import.extend(imports)
    proto.graph.node[0].output.append("scores")
    zipped = onnx.ModelProto.FromString(proto.SerializeToString())
    zipped.graph.node.append(
        helper.make_node(
            "ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
        )
    )
    pair = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    del zipped.graph.output[:]
    zipped.graph.output.append(
        helper.make_value_info("maps", helper.make_sequence_type_proto(pair))
    )
    x = np.float32([[1, 2], [3, -1]])
    (maps,) = runtime(zipped, x)
    mended = load(zipped).proto
    assert mended.graph.output[0].name == "maps"
    (scores,) = runtime(mended, x)
    assert [[row[i] for i in range(3)] for row in maps] == scores.tolist()
