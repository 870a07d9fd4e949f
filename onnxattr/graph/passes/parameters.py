"""Takes what the graph stores out of it."""

import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.passes.provenance import note_value, vendor_name


class TakeOutStored(ir.passes.InPlacePass):
    """Replaces every initializer by a `Parameter` node, which has no inputs and one output.

    The converter reads what it stands for in a table beside the graph. onnx2torch goes through all
    stored tensors at every use of one, copies those that are used twice, and takes none of more
    than 2 GB or of type bfloat16.

    Attributes:
        tensors: After the pass has run: what each node's output stands for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[ir.Value, ir.TensorProtocol] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model without initializers."""
        for graph in model.graphs():
            self._take_out(graph)
        return ir.passes.PassResult(model, modified=bool(self.tensors))

    def _take_out(self, graph: ir.Graph) -> None:
        nodes = []
        for value in list(graph.initializers.values()):
            assert value.const_value is not None
            node = ir.Node(OWN_DOMAIN, "Parameter", inputs=[], num_outputs=1)
            (new,) = node.outputs
            new.shape, new.type = value.shape, value.type
            note_value(new, vendor_name(value))
            ir.convenience.replace_all_uses_with(value, new, replace_graph_outputs=True)
            self.tensors[new] = value.const_value
            nodes.append(node)
        graph.initializers.clear()
        if len(graph):
            graph.insert_before(graph[0], nodes)
        else:
            graph.extend(nodes)
