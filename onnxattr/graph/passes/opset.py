"""Expresses operators of newer opsets in those of opset 17, where onnx2torch knows most.

By operator and version, never by a blind converter: onnx's own was caught changing what a model
computes, and refuses most downgrades.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import count

import onnx_ir as ir

from onnxattr.graph.passes.own import since_version
from onnxattr.graph.passes.provenance import inherit

TARGET = 17

#: Operators whose later versions only admit more types, or say the same in clearer words, up to the
#: version given. `Cast` gained `saturate`, which is for 8-bit floats only.
_SAME_UNTIL = {
    "Acos": 22, "Asin": 22, "Atan": 22, "Cast": 25, "Celu": 28, "Constant": 25,
    "ConstantOfShape": 25, "Conv": 22, "ConvTranspose": 22, "Cos": 22, "DepthToSpace": 28,
    "Dropout": 22, "Einsum": 28, "Elu": 22, "Equal": 19, "EyeLike": 22, "Flatten": 25,
    "GlobalAveragePool": 22, "HardSigmoid": 22, "HardSwish": 22, "Identity": 25,
    "InstanceNormalization": 22, "MaxPool": 22, "Range": 27, "Reshape": 25, "Round": 22,
    "ScatterND": 18, "Selu": 22, "Shape": 25, "Sin": 22, "Softplus": 22, "Softsign": 22,
    "Squeeze": 25, "Tan": 22, "Transpose": 25, "Unsqueeze": 25,
}  # fmt: skip


class AlignOpset(ir.passes.InPlacePass):
    """Rewrites the operators of a graph newer than opset 17, and marks the graph as opset 17.

    A node that cannot be expressed there keeps its own opset as `node.version`; `UseOwnOperators`
    moves it into our domain, so nothing ever reads it by the older meaning. Graphs of opset 17 and
    older are left alone.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model in opset 17, as far as that goes."""
        opset = model.opset_imports.get("", 0)
        if opset <= TARGET:
            return ir.passes.PassResult(model, modified=False)
        for node in list(model.graph):
            since = since_version(node, opset)
            if since <= max(TARGET, _SAME_UNTIL.get(node.op_type, 0)):
                node.version = None
            elif node.op_type in _REWRITES and _REWRITES[node.op_type](node):
                pass
            else:
                node.version = opset
        model.opset_imports[""] = TARGET
        return ir.passes.PassResult(model, modified=True)


def _reduce(node: ir.Node) -> bool:
    """Reduce*-18 takes its axes as an input, Reduce*-13 as an attribute."""
    axes: list[int] = []
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        constant = _integers(node.inputs[1])
        if constant is None:
            return False
        axes = constant
    attributes = {k: a for k, a in node.attributes.items() if k == "keepdims"}
    if axes:
        attributes["axes"] = ir.AttrInt64s("axes", axes)
    elif "noop_with_empty_axes" in node.attributes and (
        node.attributes["noop_with_empty_axes"].as_int()
    ):
        # What the operator does beside reducing is still done.
        alone = {"ReduceL1": "Abs", "ReduceL2": "Abs", "ReduceLogSum": "Log"}
        if node.op_type == "ReduceSumSquare":
            return _replace(node, "Mul", [node.inputs[0], node.inputs[0]], {})
        return _replace(node, alone.get(node.op_type, "Identity"), node.inputs[:1], {})
    return _replace(node, node.op_type, node.inputs[:1], attributes)


def _split(node: ir.Node) -> bool:
    """Split-18 may give a number of parts, the last of which is smaller; Split-13 wants sizes."""
    if "num_outputs" not in node.attributes:
        node.version = None
        return True
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    size = shape[axis] if shape is not None else None
    parts = node.attributes["num_outputs"].as_int()
    if not isinstance(size, int):
        return False
    part = -(-size // parts)
    sizes = [part] * (parts - 1) + [size - part * (parts - 1)]
    if sizes[-1] < 0:
        return False
    constant = _constant(node, sizes)
    attributes = {k: a for k, a in node.attributes.items() if k == "axis"}
    return _replace(node, "Split", [node.inputs[0], constant], attributes)


def _pad(node: ir.Node) -> bool:
    """Pad-18 may name the axes that it pads; Pad-19 adds the mode `wrap`."""
    if "mode" in node.attributes and node.attributes["mode"].as_string() == "wrap":
        return False
    if len(node.inputs) < 4 or node.inputs[3] is None:
        node.version = None
        return True
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    axes, pads = _integers(node.inputs[3]), _integers(node.inputs[1])
    if shape is None or axes is None or pads is None:
        return False
    rank = len(shape)
    full = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        full[axis % rank] = pads[i]
        full[axis % rank + rank] = pads[i + len(axes)]
    inputs = [node.inputs[0], _constant(node, full), node.inputs[2]]
    return _replace(node, "Pad", inputs, dict(node.attributes))


_REWRITES: dict[str, Callable[[ir.Node], bool]] = {
    **dict.fromkeys(
        (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSumSquare",
        ),
        _reduce,
    ),
    "Split": _split,
    "Pad": _pad,
}


def _integers(value: ir.Value | None) -> list[int] | None:
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else [int(i) for i in tensor.numpy().reshape(-1)]


def _constant(node: ir.Node, values: Sequence[int]) -> ir.Value:
    """Returns a new initializer of the graph that `node` is in."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    # The vendor may have taken any name.
    name = next(n for i in count() if (n := f"onnxattr.constant.{i}") not in graph.initializers)
    value = ir.val(name, const_value=ir.tensor(list(values), dtype=ir.DataType.INT64, name=name))
    graph.initializers.add(value)
    return value


def _replace(
    node: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, ir.Attr],
) -> bool:
    """Puts a node of another version in the place of `node`, with its outputs' types."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    new = ir.Node("", op_type, inputs, list(attributes.values()), num_outputs=len(node.outputs))
    for value, old in zip(new.outputs, node.outputs, strict=True):
        value.shape, value.type = old.shape, old.type
    inherit(new, node)
    ir.convenience.replace_nodes_and_values(graph, node, [node], [new], node.outputs, new.outputs)
    return True
