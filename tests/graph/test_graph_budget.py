"""Bombs are found from shapes; nets of the usual kind are not taken for one."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxattr.errors import LimitError
from onnxattr.graph.budget import require_budget
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.limits import Limits


def net(*nodes, **stored):
    """An image, 16 filters of it, and what follows: `nodes` end in `y`."""
    inputs = [helper.make_tensor_value_info("x", 1, ["N", 3, 32, 32])]
    outputs = [helper.make_tensor_value_info("y", 1, list("abcd"))]
    stored = {"w": np.ones((16, 3, 1, 1), np.float32), **stored}
    first = helper.make_node("Conv", ["x", "w"], ["f"])
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()]
    graph = helper.make_graph([first, *nodes], "g", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind, inputs, output="y", name="bomb", **attributes):
    return helper.make_node(kind, inputs.split(), [output], name, **attributes)


def i64(*values):
    return np.array(values, np.int64)


def doubling(kind, count=34):
    names = ["f", *(f"d{i}" for i in range(count - 1)), "y"]
    return [
        helper.make_node(kind, [a, a], [b], "bomb", **({"axis": 1} if kind == "Concat" else {}))
        for a, b in itertools.pairwise(names)
    ]


def loop(trips, scan):
    """A loop whose body makes a map of 16 × 32 × 32, and keeps it where `scan` says so."""
    body = helper.make_graph(
        [
            helper.make_node("Relu", ["carried"], ["next"], "inside"),
            helper.make_node("Identity", ["goes"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("goes", 9, []),
            helper.make_tensor_value_info("carried", 1, [1, 16, 32, 32]),
        ],
        [
            helper.make_tensor_value_info("on", 9, []),
            helper.make_tensor_value_info("next", 1, [1, 16, 32, 32]),
            *([helper.make_tensor_value_info("next", 1, list("abcd"))] if scan else []),
        ],
    )
    made = helper.make_node("Loop", ["trips", "yes", "f"], ["y"], "bomb", body=body)
    return net(made, trips=np.array(trips), yes=np.array(True))


BOMBS = {
    "ConstantOfShape": net(node("ConstantOfShape", "s"), s=i64(1 << 17, 1 << 17)),
    "Expand": net(node("Expand", "f s"), s=i64(1 << 20, 16, 32, 32)),
    "Tile": net(node("Tile", "f s"), s=i64(1 << 20, 1, 1, 1)),
    "Pad": net(node("Pad", "f s"), s=i64(0, 0, 0, 0, 0, 0, 1 << 20, 1 << 10)),
    "Range": net(node("Range", "a b c"), a=np.array(0), b=np.array(1 << 40), c=np.array(1)),
    "Resize": net(
        helper.make_node("Resize", ["f", "", "s"], ["y"], "bomb"), s=np.float32([1, 1, 1e3, 1e3])
    ),
    "Resize-sizes": net(
        helper.make_node("Resize", ["f", "", "", "s"], ["y"], "bomb"),
        s=i64(1, 16, 1 << 15, 1 << 15),
    ),
    "OneHot": net(
        node("Cast", "f", "i", to=7),
        node("OneHot", "i d v"),
        d=np.array(1 << 30),
        v=np.float32([0, 1]),
    ),
    "EyeLike": net(node("ConstantOfShape", "s"), s=i64(1 << 20, 1 << 12)),
    "ConvTranspose": net(node("ConvTranspose", "f k", strides=[1 << 12, 1 << 12]),
                         k=np.ones((16, 1, 1, 1), np.float32)),
    "Concat": net(*doubling("Concat")),
    "MatMul": net(
        node("Reshape", "f c", "a"), node("Reshape", "f r", "b"), node("Mul", "a b", "m"),
        node("Reshape", "m c", "a2"), node("Reshape", "m r", "b2"), node("MatMul", "a2 b2"),
        c=i64(-1, 1), r=i64(1, -1),
    ),
    "shapes that are computed": net(
        node("Shape", "f", "s"), node("Mul", "s k", "t"), node("ConstantOfShape", "t"),
        k=i64(1 << 10, 1 << 10, 1, 1),
    ),
    "a vector as long as memory": net(node("ConstantOfShape", "s"), s=i64(1 << 40)),
    "Loop": loop(1 << 40, scan=False),
}  # fmt: skip


@pytest.mark.parametrize("proto", BOMBS.values(), ids=BOMBS)
def test_bombs(proto):
    model = load(proto)
    with pytest.raises(LimitError, match=r"would make tensors of .* 16 GiB are allowed"):
        require_budget(model, image_input(model), Limits())


def test_a_bomb_in_a_function():
    proto = net(helper.make_node("Blow", ["f", "s"], ["y"], domain="f"), s=i64(1 << 17, 1 << 17))
    body = [helper.make_node("ConstantOfShape", ["b"], ["c"])]
    imports = [helper.make_opsetid("", 17)]
    proto.functions.append(helper.make_function("f", "Blow", ["a", "b"], ["c"], body, imports))
    proto.opset_import.append(helper.make_opsetid("f", 1))
    model = load(proto)
    with pytest.raises(LimitError, match="64 GiB"):
        require_budget(model, image_input(model), Limits())


def test_what_is_counted():
    """Every tensor that nodes make, at a batch of one; not the input and the weights."""
    model = load(net(node("Relu", "f", "r"), node("GlobalAveragePool", "r")))
    exact = 4 * (16 * 32 * 32 * 2 + 16)
    require_budget(model, image_input(model), Limits(tensors=exact))
    with pytest.raises(LimitError):
        require_budget(model, image_input(model), Limits(tensors=exact - 1))


@pytest.mark.parametrize(("trips", "passes"), [(10, True), (11, False)])
def test_the_body_of_a_loop_counts_for_every_iteration(trips, passes):
    model = load(loop(trips, scan=False))
    one = 4 * 16 * 32 * 32
    # The convolution, ten times the body with its flag, and the loop's own output.
    limits = Limits(tensors=one + 10 * (one + 1) + one)
    if passes:
        require_budget(model, image_input(model), limits)
    else:
        with pytest.raises(LimitError, match="Loop `bomb` alone"):
            require_budget(model, image_input(model), limits)


def test_the_model_is_left_as_it_was():
    model = load(net(node("Relu", "f")))
    before = model.proto.SerializeToString(deterministic=True)
    require_budget(model, image_input(model), Limits())
    assert model.proto.SerializeToString(deterministic=True) == before
    assert onnx.load_from_string(before) == model.proto
