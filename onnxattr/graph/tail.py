"""The end of a vendor's graph, as `inspect` draws it: the last nodes, and what is attributed."""

import onnx
import onnx_ir as ir

from onnxattr.graph.shapes import dims_of, shaped
from onnxattr.graph.walk import taken
from onnxattr.types import InputSpec, Model, Representation, TailNode

#: Nodes that are drawn, that of the chosen tensor beside them.
_DRAWN = 8


def tail(
    model: Model, chosen: Representation | None, spec: InputSpec | None, *, shapes: bool = True
) -> tuple[TailNode, ...]:
    """Returns the last nodes of a graph in the order in which they run.

    The node that makes the chosen tensor is the first of them, where it is further away.

    Args:
        model: A model as it was given.
        chosen: What is attributed.
        spec: How probes are fed to it.
        shapes: Whether shapes are inferred: those of a bomb are not.
    """
    graph = model.proto.graph
    outputs = [value.name for value in graph.output]
    nodes = [node for node in _leading(graph, outputs) if node.op_type != "Constant"]
    wanted = chosen.value if chosen else ""
    at = next((i for i, node in enumerate(nodes) if wanted and wanted in node.output), len(nodes))
    first = max(0, len(nodes) - _DRAWN)
    drawn = nodes[first:] if at >= first else [nodes[at], *nodes[first:]]
    skipped = first - at - 1 if at < first else 0
    known = _shapes(model, spec, outputs) if shapes else {}
    return tuple(
        TailNode(
            op_type=node.op_type,
            name=node.name,
            value=value,
            shape=known.get(value, ""),
            chosen=value == wanted,
            output=value in outputs,
            skipped=skipped if i == 1 else 0,
        )
        for i, node in enumerate(drawn)
        for value in (_shown(node, wanted, outputs),)
    )


def _leading(graph: onnx.GraphProto, outputs: list[str]) -> list[onnx.NodeProto]:
    """Returns the nodes that outputs depend on by their values, not by shapes alone."""
    wanted, found = set(outputs), []
    stored = {tensor.name for tensor in graph.initializer}
    live = {v.name for v in graph.input} - stored
    depending = set(live)
    for node in graph.node:
        if node.op_type not in ("Shape", "Size") and any(v in depending for v in taken(node)):
            depending.update(node.output)
    for node in reversed(graph.node):
        if any(v in wanted for v in node.output if v):
            wanted.update(v for v in taken(node) if v in depending)
            found.append(node)
    return found[::-1]


def _shown(node: onnx.NodeProto, wanted: str, outputs: list[str]) -> str:
    """Returns the output of a node that is drawn: the chosen one, the graph's, or the first."""
    made = [str(v) for v in node.output if v]
    marked = [v for v in made if v == wanted] or [v for v in made if v in outputs]
    return (marked or made or [""])[0]


def _shapes(model: Model, spec: InputSpec | None, outputs: list[str]) -> dict[str, str]:
    graph = shaped(model, spec, outputs)
    if graph is None:
        return {}
    values = [v for node in graph.graph for v in node.outputs]
    return {str(v.name): _describe(v) for v in values}


def _describe(value: ir.Value) -> str:
    kind = value.dtype.numpy().name if value.dtype is not None else ""
    dims = dims_of(value)
    if dims is None:
        return f"{kind}[…]" if kind else ""
    sizes = ["?" if size is None else str(size) for size in dims]
    return f"{kind}[{','.join(sizes)}]"
