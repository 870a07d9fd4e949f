"""Keeps the vendor's names beside each node and value, whatever later passes do to them."""

import onnx_ir as ir

from onnxattr.types import OnnxNode

_KEY = "onnxattr.vendor"


class Remember(ir.passes.InPlacePass):
    """Notes on every node and value what the vendor called it.

    The notes live in memory only, so the graph itself is never modified.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with its notes."""
        for graph in model.graphs():
            for node in graph:
                node.meta.setdefault(_KEY, OnnxNode(node.op_type, node.name or ""))
                for value in node.outputs:
                    value.meta.setdefault(_KEY, value.name)
            for value in (*graph.inputs, *graph.initializers.values()):
                value.meta.setdefault(_KEY, value.name)
        return ir.passes.PassResult(model, modified=False)


def vendor_node(node: ir.Node) -> OnnxNode:
    """Returns the vendor's node that `node` stands for; a node that a pass made names itself."""
    noted: OnnxNode | None = node.meta.get(_KEY)
    return noted or OnnxNode(node.op_type, "")


def vendor_name(value: ir.Value) -> str:
    """Returns the vendor's name of `value`, or '' for a value that a pass made."""
    noted: str | None = value.meta.get(_KEY)
    return noted or ""


def note_value(value: ir.Value, name: str) -> None:
    """Notes what the vendor called a value that stands for his."""
    value.meta[_KEY] = name


def note_node(node: ir.Node, origin: ir.Node) -> None:
    """Notes on a node that a pass made, of an operator of its own, for which node it did so."""
    node.meta[_KEY] = OnnxNode(node.op_type, vendor_node(origin).name)


def inherit(node: ir.Node, origin: ir.Node) -> ir.Node:
    """Returns `node` with the notes of the `origin` that it replaces."""
    node.meta[_KEY] = vendor_node(origin)
    for new, old in zip(node.outputs, origin.outputs, strict=False):
        new.meta[_KEY] = vendor_name(old)
    return node
