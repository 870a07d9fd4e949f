"""Replaces every name in the graph by one of ours.

onnx2torch pastes node names, unescaped, into Python source that torch.fx compiles: a crafted name
runs code at conversion. It is also why benign names such as `class` or `forward` break it.
"""

from collections.abc import Iterator

import onnx_ir as ir

from onnxattr.graph.passes.provenance import vendor_name, vendor_node
from onnxattr.types import Names


class Rename(ir.passes.InPlacePass):
    """Names nodes `n0`, `n1`, … and values `v0`, `v1`, … in the order of the graph.

    Attributes:
        names: After the pass has run: the way back to the vendor's names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = Names()

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with our names."""
        graphs = list(model.graphs())
        values = list(dict.fromkeys(value for graph in graphs for value in _values(graph)))
        nodes = [node for graph in graphs for node in graph]
        modified = any(graph.name != "graph" for graph in graphs)
        modified |= any(v.name != f"v{i}" for i, v in enumerate(values))
        modified |= any(n.name != f"n{i}" for i, n in enumerate(nodes))
        for graph in graphs:
            graph.name = "graph"
        ir.convenience.rename_values(values, [f"v{i}" for i in range(len(values))])
        for i, node in enumerate(nodes):
            node.name = f"n{i}"
        self.names = Names(
            nodes={f"n{i}": vendor_node(node) for i, node in enumerate(nodes)},
            values={f"v{i}": vendor_name(v) for i, v in enumerate(values) if vendor_name(v)},
        )
        return ir.passes.PassResult(model, modified=modified)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        # A blank output stays blank.
        yield from (value for value in node.outputs if value.name != "")
