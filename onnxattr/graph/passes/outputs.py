"""Ends the graph in one node that holds all of its outputs."""

import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN


class JoinOutputs(ir.passes.InPlacePass):
    """Appends one `Outputs` node that takes the graph's outputs in order.

    onnx2torch returns outputs by the node that makes them. So it loses their order, joins
    duplicates, raises where an output is an input or an initializer, and returns all outputs of a
    node where one was asked for. With a single last node none of this can happen.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with an `Outputs` node at the end of every graph in it."""
        joined = [_join(graph) for graph in model.graphs()]
        if any(joined):
            model.opset_imports[OWN_DOMAIN] = 1
        return ir.passes.PassResult(model, modified=any(joined))


def _join(graph: ir.Graph) -> bool:
    last = graph.outputs[0].producer() if graph.outputs else None
    if last is not None and (last.op_type, last.domain) == ("Outputs", OWN_DOMAIN):
        return False
    node = ir.Node(
        OWN_DOMAIN,
        "Outputs",
        inputs=list(graph.outputs),
        num_outputs=len(graph.outputs),
    )
    for new, old in zip(node.outputs, graph.outputs, strict=True):
        new.shape, new.type = old.shape, old.type
    graph.append(node)
    graph.outputs.clear()
    graph.outputs.extend(node.outputs)
    return True
