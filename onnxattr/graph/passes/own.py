"""Moves every operator into our own domain, by its name and its version, where converters are."""

import functools

import onnx
import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import STANDARD


class UseOwnOperators(ir.passes.InPlacePass):
    """Relabels `Resize` of opset 19 as `Resize_19` in domain `onnxattr`, and so on.

    This is how a graph of any opset is read: each node by the version of the operator set that last
    changed its operator. The version goes into the name because the dialect imports its own domain
    at version 1, always, so a graph may hold operators of several versions; a function's body may
    have been written for another opset than the graph that calls it. Operators of other domains
    become `com.microsoft.Gelu`. What has no converter under its new name is reported.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with all operators in our domain."""
        opset = model.opset_imports.get("", 0)
        modified = False
        for node in model.graph.all_nodes():
            if node.domain == OWN_DOMAIN:
                continue
            since = since_version(node, opset)
            label = f"{node.op_type}_{since}" if since else f"{node.domain}.{node.op_type}"
            node.op_type, node.domain, node.version = label, OWN_DOMAIN, None
            modified = True
        if modified:
            model.opset_imports[OWN_DOMAIN] = 1
        return ir.passes.PassResult(model, modified=modified)


def since_version(node: ir.Node, opset: int) -> int:
    """Returns the version of the operator set that last changed the node's operator; 0 if none."""
    if node.domain not in STANDARD:
        return 0
    return _since(node.op_type, node.version or opset)


@functools.cache
def _since(op_type: str, version: int) -> int:
    if not onnx.defs.has(op_type, version, ""):
        return 0
    since: int = onnx.defs.get_schema(op_type, version, "").since_version
    return since
