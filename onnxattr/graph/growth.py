"""Whether inference may take the numbers of small tensors along, or these grow without end."""

import onnx

from onnxattr.graph.walk import nodes

#: Through which onnx takes numbers along, from shapes to the shapes that are made of them.
_CARRIERS = {
    "Add", "Cast", "Concat", "Gather", "Identity", "Mul", "Slice", "Squeeze", "Sub", "Unsqueeze",
}  # fmt: skip

#: Numbers of a shape that is computed. A list that is joined with itself sixty times has 10¹⁸.
_LONG = 100_000


def numbers_stay_few(graph: onnx.GraphProto) -> bool:
    """Whether no list of numbers that inference takes along becomes long by joining."""
    lengths: dict[str, int] = {}
    for node in nodes(graph):
        if node.op_type not in _CARRIERS:
            continue
        given = [lengths.get(name, 1) for name in node.input]
        length = sum(given) if node.op_type == "Concat" else max(given, default=1)
        if length > _LONG:
            return False
        lengths.update(dict.fromkeys(node.output, length))
    return True
