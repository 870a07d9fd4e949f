"""The narrowest tensor between input and output."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxattr.errors import LimitError, UsageError
from onnxattr.graph.load import load
from onnxattr.graph.outputs import representation
from onnxattr.limits import Limits
from onnxattr.types import InputSpec

SPEC = InputSpec("x", "NCHW", 16, 16)


class Net:
    """A network of 16×16 images, built node by node; a node's output is its name."""

    def __init__(self, shape=("N", 3, 16, 16)):
        self.nodes, self.stored, self.shape = [], [], shape

    def __call__(self, kind, *inputs, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, *shape):
        name = f"w{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
        return name

    def conv(self, value, before, after, stride=1):
        weight = self.weight(after, before, 3, 3)
        return self("Conv", value, weight, pads=[1] * 4, strides=[stride] * 2)

    def up(self, value, before, after):
        return self("ConvTranspose", value, self.weight(before, after, 2, 2), strides=[2, 2])

    def model(self, output):
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", 1, self.shape)],
            [onnx.ValueInfoProto(name=output)],
            self.stored,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return load(onnx.shape_inference.infer_shapes(proto), name="net")


def found(net, output, spec=SPEC):
    return representation(net.model(output), "bottleneck", spec)


def test_an_autoencoder_of_convolutions():
    net = Net()
    value = net("Relu", net.conv("x", 3, 8, 2))
    code = net("Relu", net.conv(value, 8, 4, 2))
    value = net("Relu", net.up(code, 4, 8))
    result = found(net, net("Sigmoid", net.up(value, 8, 1)))
    assert result.value == code
    assert result.rule == "the narrowest tensor that everything goes through, 64 numbers a probe"


def test_the_narrowest_is_not_where_it_is_wide_again():
    """The picture of one channel has fewer numbers than the code."""
    net = Net()
    code = net("Relu", net.conv("x", 3, 128, 4))
    value = net("Relu", net.up(code, 128, 1))
    assert found(net, net("Tanh", net.up(value, 1, 1))).value == code


def test_a_code_of_a_vector():
    net = Net()
    value = net("Flatten", net("Relu", net.conv("x", 3, 8, 2)))
    code = net("Gemm", value, net.weight(512, 10))
    value = net("Relu", net("Gemm", code, net.weight(10, 512)))
    assert found(net, net("Gemm", value, net.weight(512, 768))).value == code


def test_a_classifiers_is_its_feature():
    net = Net()
    value = net("Relu", net.conv("x", 3, 8, 2))
    pooled = net("Flatten", net("GlobalAveragePool", value))
    assert found(net, net("Softmax", net("Gemm", pooled, net.weight(8, 5)))).value == pooled


def test_an_encoders_is_its_output():
    net = Net()
    value = net("Relu", net.conv("x", 3, 8, 2))
    output = net("Transpose", net("Relu", net.conv(value, 8, 4, 2)), perm=[0, 2, 3, 1])
    assert found(net, output).value == output


def residual(net, value, channels):
    inner = net.conv(net("Relu", net.conv(value, channels, channels // 4)), channels // 4, channels)
    return net("Relu", net("Add", inner, value))


def test_the_inside_of_residual_blocks_is_none():
    net = Net()
    value = residual(net, net.conv("x", 3, 8, 4), 8)
    code = residual(net, value, 8)
    result = found(net, net.up(net("Relu", net.up(code, 8, 8)), 8, 3))
    assert result.value in (value, code)
    assert "everything" in result.rule


def gated(net, value, channels):
    gate = net("GlobalAveragePool", value)
    gate = net("Conv", gate, net.weight(2, channels, 1, 1))
    gate = net("Sigmoid", net("Conv", net("Relu", gate), net.weight(channels, 2, 1, 1)))
    return net("Mul", gate, value)


@pytest.mark.parametrize("block", [lambda net, value, channels: value, gated, residual])
def test_of_a_u_net_it_is_the_end_of_the_lowest_level(block):
    net = Net()
    first = block(net, net("Relu", net.conv("x", 3, 8)), 8)
    second = block(net, net("Relu", net.conv(net("MaxPool", first, **TWO), 8, 12)), 12)
    middle = block(net, net("Relu", net.conv(net("MaxPool", second, **TWO), 12, 16)), 16)
    value = net("Concat", net.up(middle, 16, 12), second, axis=1)
    value = net("Relu", net.conv(value, 24, 12))
    size = net.weight(4)
    net.stored[-1] = numpy_helper.from_array(np.float32([1, 1, 2, 2]), size)
    value = net("Concat", net("Resize", value, "", size), first, axis=1)
    result = found(net, net("Conv", net("Relu", net.conv(value, 20, 8)), net.weight(3, 8, 1, 1)))
    assert result.value == middle
    assert result.rule == (
        "the last tensor of the longest path at its lowest resolution, 256 numbers a probe; "
        "skip connections go round it"
    )


TWO = {"kernel_shape": [2, 2], "strides": [2, 2]}


def test_a_list_of_boxes_at_all_scales_is_none():
    """A detector's output has fewer numbers than what its backbone ends with."""
    net = Net()
    fine = net("Relu", net.conv("x", 3, 32, 2))
    coarse = net("Relu", net.conv(fine, 32, 64, 4))
    boxes = [net("Conv", v, net.weight(1, c, 1, 1)) for v, c in ((fine, 32), (coarse, 64))]
    size = net.weight(3)
    net.stored[-1] = numpy_helper.from_array(np.array([0, 1, -1]), size)
    both = net("Concat", *(net("Reshape", v, size) for v in boxes[::-1]), axis=2)
    result = found(net, net("Transpose", both, perm=[0, 2, 1]))
    assert result.value not in (both, "transpose")
    assert "skip connections" in result.rule


def test_shapes_that_are_computed_go_round_nothing(build):
    text = """(float[N,3,16,16] x) => (float[a,b,c,d] y) {
        h = Conv<strides=[4,4]>(x, k) r = Relu(h) f = Flatten(r) c = Gemm(f, w)
        v = Gemm(c, u) s = Shape(r) z = Reshape(v, s) y = ConvTranspose<strides=[4,4]>(z, t) }"""
    weights = {"k": (8, 3, 4, 4), "w": (128, 6), "u": (6, 128), "t": (8, 3, 4, 4)}
    proto = build(text, **{name: np.ones(shape, np.float32) for name, shape in weights.items()})
    assert representation(load(proto), "bottleneck", SPEC).value == "c"


def test_without_a_layer_there_is_none(build):
    text = "(float[N,3,16,16] x) => (float[N,3,16,16] y) { h = Relu(x) y = Tanh(h) }"
    with pytest.raises(UsageError, match="`m` has no bottleneck"):
        representation(load(build(text), name="m"), "bottleneck", SPEC)


def test_a_bomb_is_refused(build):
    text = "(float[N,3,16,16] x) => (float[a] y) { h = Tile(x, r) y = Relu(h) }"
    proto = build(text, r=np.array([1, 1, 1000, 1000]))
    with pytest.raises(LimitError, match="would make tensors"):
        representation(load(proto), "bottleneck", SPEC, Limits(tensors=10**6))


@pytest.mark.parametrize("seed", range(40))
def test_everything_goes_through_what_is_found(seed):
    """Tried by taking it away from random graphs; no other that is narrower passes, either."""
    rng = np.random.default_rng(seed)
    net = Net()
    made = ["x"]
    for _ in range(14):
        near = made[-4:]
        if len(near) > 1 and rng.random() < 0.5:
            one, two = rng.choice(len(near), 2, replace=False)
            made.append(net("Concat", near[one], near[two], axis=1))
        elif rng.random() < 0.7:
            made.append(net("Conv", near[rng.integers(len(near))], "later"))
        else:
            made.append(net("Relu", near[rng.integers(len(near))]))
    channels = fill_in(net, rng)
    output = made[-1]
    proto = net.model(output).proto
    try:
        result = found(net, output)
    except UsageError:
        return
    edges = [(i, node.output[0]) for node in proto.graph.node for i in node.input]
    between = [v for v in channels if v not in ("x", output) and not reaches(edges, "x", output, v)]
    layers = {node.output[0] for node in proto.graph.node if node.op_type == "Conv"}
    behind = [v for v in between if any(v == a or reaches(edges, a, v) for a in layers)]
    if "everything" in result.rule:
        assert result.value in [*behind, output]
        if behind:
            assert channels[result.value] == min(channels[v] for v in behind)
    else:
        assert not behind


def fill_in(net, rng):
    """Gives every Conv its weight, now that the numbers of channels are known."""
    channels = {"x": 3}
    for node in net.nodes:
        (name,) = node.output
        if node.op_type == "Conv":
            channels[name] = int(rng.integers(1, 9))
            weight = net.weight(channels[name], channels[node.input[0]], 1, 1)
            node.input[1] = weight
        else:
            channels[name] = sum(channels[v] for v in node.input)
    return channels


def reaches(edges, source, target, without=None):
    """Whether there is a path that does not touch `without`."""
    reached = {source} - {without}
    for _ in edges:
        reached |= {b for a, b in edges if a in reached} - {without}
    return target in reached
