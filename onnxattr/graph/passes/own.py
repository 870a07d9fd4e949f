"""Moves operators into our own domain, where our own converters are registered."""

from collections.abc import Collection

import onnx
import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN


class UseOwnOperators(ir.passes.InPlacePass):
    """Relabels `Resize` of opset 19 as `Resize_19` in domain `onnxattr`, and so on.

    The version goes into the name because the dialect imports its own domain at version 1, always:
    a graph may then hold operators of several versions. What is newer than the graph's opset
    (`AlignOpset` left it so) and what is of another domain is relabelled in any case: where it has
    no converter, it is reported, and never read by another version's meaning.

    Args:
        operators: Names with their since-version, `Resize_19`, that have a converter of ours.
    """

    def __init__(self, operators: Collection[str]) -> None:
        super().__init__()
        self._operators = frozenset(operators)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with our operators in our domain."""
        opset = model.opset_imports.get("", 0)
        modified = False
        for node in model.graph:
            if node.domain == OWN_DOMAIN:
                continue
            since = since_version(node, opset)
            own = f"{node.op_type}_{since}" if since else f"{node.domain}.{node.op_type}"
            if since == 0 or since > opset or own in self._operators:
                node.op_type, node.domain, node.version = own, OWN_DOMAIN, None
                modified = True
        if modified:
            model.opset_imports[OWN_DOMAIN] = 1
        return ir.passes.PassResult(model, modified=modified)


def since_version(node: ir.Node, opset: int) -> int:
    """Returns the version of the operator set that last changed the node's operator; 0 if none."""
    version = node.version or opset
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, version, ""):
        return 0
    since: int = onnx.defs.get_schema(node.op_type, version, "").since_version
    return since
