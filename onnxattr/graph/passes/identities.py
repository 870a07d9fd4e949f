"""Drops nodes that hand a value on as it is."""

import onnx_ir as ir


class DropIdentities(ir.passes.InPlacePass):
    """Puts the value itself in the place of what `Identity` makes of it, or `Cast` to its own type.

    Where a graph returns the result, the value takes over its name. That is not possible for what a
    graph is given or stores, nor for the value of an outer graph, which a branch may return too:
    there the node stays (onnx-ir's own pass fails on the last kind as of version 1.1).
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model without such nodes, at any depth."""
        graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
        found = [
            node
            for graph in graphs
            for node in ir.traversal.RecursiveGraphIterator(graph)
            if _is_identity(node)
        ]
        dropped = [_drop(node) for node in found]
        return ir.passes.PassResult(model, modified=any(dropped))


def _is_identity(node: ir.Node) -> bool:
    if node.domain != "" or not node.inputs or node.inputs[0] is None:
        return False
    if node.op_type != "Cast":
        return node.op_type == "Identity"
    to, own = node.attributes.get("to"), node.inputs[0].dtype
    # Before opset 6 the type is a word.
    return to is not None and to.type == ir.AttributeType.INT and to.value == own


def _drop(node: ir.Node) -> bool:
    if len(node.inputs) != 1 or len(node.outputs) != 1 or node.inputs[0] is None:
        return False
    value, result, graph = node.inputs[0], node.outputs[0], node.graph
    assert graph is not None, "a node that was found belongs to a graph"
    returned = result.is_graph_output()
    maker = value.producer()
    if returned and (maker is None or maker.graph is not graph):
        return False
    value.type = value.type or result.type
    ir.convenience.replace_all_uses_with(result, value, replace_graph_outputs=True)
    if returned:
        value.name = result.name
    graph.remove(node, safe=True)
    return True
