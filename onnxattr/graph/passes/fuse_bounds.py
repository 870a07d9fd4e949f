"""Joins what exporters write for ReLU, and for ReLU with an upper bound."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import onnx_ir as ir

from onnxattr.graph.passes.chains import Chain, Fusion, own, reader
from onnxattr.graph.passes.gated import bounded


class FuseBounds(Fusion):
    """Replaces Max and Min with numbers, and Relu, Clip, Max and Min of one another, by one node.

    That is a Relu where the only bound is 0, and a Clip otherwise: `Min(Relu(x), 6)`,
    `Max(Min(x, 6), 0)` and `Clip(x, 0, 6)` are one activation, ReLU6, whose definition has no Relu
    in it that a relevance method could treat by itself.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Max", "Min", "Relu", "Clip"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain that ends at `node`, if it is the last one that bounds."""
        found = bounded(node.outputs[0], opset)
        if found is None:
            return None
        relu = (found.low, found.high) == (0.0, math.inf)
        if len(found.nodes) == 1 and node.op_type in ({"Relu"} if relu else {"Relu", "Clip"}):
            return None
        following = reader(node.outputs[0], *self.anchors)
        if following is not None and bounded(following.outputs[0], opset) is not None:
            return None
        if relu:
            return Chain(node, found.nodes, functools.partial(own, "Relu_14", [found.x]))
        limits = {
            name: bound
            for name, bound in (("min", found.low), ("max", found.high))
            if math.isfinite(bound)
        }
        return Chain(node, found.nodes, functools.partial(own, "Clip_6", [found.x], limits))
