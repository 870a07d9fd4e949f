"""Stored tensors that the node which takes them holds, so that the graph has no node for each.

Of a graph with weights a third to a half of the nodes would only name them, and each costs memory
and time: a module, a node of torch.fx, a line of the function that torch.fx compiles.
"""

from collections import Counter
from collections.abc import Collection

import onnx
from onnx import GraphProto

from onnxattr.convert.entrance import entrance
from onnxattr.convert.ops import OPERATORS
from onnxattr.graph.walk import taken


def held(graph: GraphProto) -> dict[str, None]:
    """Returns the stored values of a dialect's main graph that need no `Parameter` node, in order.

    A value that one node alone takes is held by it. Several nodes share a `Parameter`, unless all
    of them take its numbers at conversion.
    """
    uses: Counter[str] = Counter()
    elsewhere = {value.name for value in graph.output}
    for node in graph.node:
        entry = OPERATORS[node.op_type]
        if entry.holds:
            uses.update(name for i, name in enumerate(node.input) if i not in entry.stored)
        else:
            elsewhere.update(taken(node))
    stored = (node.output[0] for node in graph.node if node.op_type == "Parameter")
    return dict.fromkeys(n for n in stored if uses[n] <= 1 and n not in elsewhere)


def without(
    proto: onnx.ModelProto, values: Collection[str], *, checked: bool = False
) -> onnx.ModelProto:
    """Returns a copy of a dialect's model for onnx2torch, which copies it once more.

    It lacks the `Parameter` nodes of `values`, and all types and shapes that no converter asks for.

    Args:
        proto: A dialect's model.
        values: Those that the nodes which take them hold.
        checked: Whether inputs go through nodes that check the sizes which the graph fixes.
    """
    graph = proto.graph
    asked = {v for n in graph.node if n.op_type.startswith("CastLike_") for v in n.input}
    copy = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    copy.graph.name = graph.name
    copy.graph.input.extend(graph.input)
    copy.graph.output.extend(graph.output)
    copy.graph.value_info.extend(v for v in graph.value_info if v.name in asked)
    if checked:
        copy.graph.value_info.extend(v for v in graph.input if v.name in asked)
        copy.graph.node.extend(filter(None, map(entrance, copy.graph.input)))
    copy.graph.node.extend(
        node for node in graph.node if node.op_type != "Parameter" or node.output[0] not in values
    )
    return copy
