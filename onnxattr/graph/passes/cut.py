"""Makes chosen tensors the graph's only outputs, so that what lies behind them need not convert."""

from collections.abc import Sequence

import onnx_ir as ir


class Cut(ir.passes.InPlacePass):
    """Replaces the outputs of the main graph.

    Args:
        values: Names of tensors that nodes of the main graph make, or that it takes or stores.
    """

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__()
        self._names = tuple(values)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with the chosen outputs.

        Raises:
            KeyError: The graph has no such tensor.
        """
        graph = model.graph
        values = {v.name: v for node in graph for v in node.outputs if v.name}
        values.update((v.name, v) for v in graph.inputs if v.name)
        values.update((v.name, v) for v in graph.initializers.values() if v.name)
        chosen = [values[name] for name in self._names]
        if list(graph.outputs) == chosen:
            return ir.passes.PassResult(model, modified=False)
        graph.outputs.clear()
        graph.outputs.extend(chosen)
        return ir.passes.PassResult(model, modified=True)
