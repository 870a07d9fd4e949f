"""Lets functions that were written for another opset than the graph's be inlined."""

import onnx_ir as ir

from onnxattr.graph.walk import STANDARD


class KeepFunctionOpsets(ir.passes.InPlacePass):
    """Notes on every node of a function the opset that the function imports, if it is another.

    `UseOwnOperators` reads a node by its own version first. onnx-ir inlines only functions that
    import what the graph imports.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model, in which all functions import what the graph imports."""
        modified = False
        for function in model.functions.values():
            for domain, version in list(function.opset_imports.items()):
                if model.opset_imports.get(domain, version) == version:
                    continue
                for node in function.all_nodes():
                    same = node.domain == domain or {node.domain, domain} <= set(STANDARD)
                    if same and node.version is None:
                        node.version = version
                function.opset_imports[domain] = model.opset_imports[domain]
                modified = True
        return ir.passes.PassResult(model, modified=modified)
