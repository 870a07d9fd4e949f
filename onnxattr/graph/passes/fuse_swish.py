"""Joins what exporters write for SiLU, which is also called Swish, and for Mish."""

from __future__ import annotations

import functools
from typing import ClassVar

import onnx_ir as ir

from onnxattr.graph.passes.chains import Chain, Fusion, close, own, reader
from onnxattr.graph.passes.gated import affine, product


class FuseSwish(Fusion):
    """Replaces x·sigmoid(βx), β a stored number, by ONNX's own operator of later opsets.

    Ramachandran et al. 2017; with β = 1 it is SiLU (Elfwing et al. 2018).
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Sigmoid"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around `node`, if it computes Swish."""
        for inner in affine(node.inputs[0]):
            if inner.constant:
                continue
            found = product(node.outputs[0], inner.x, 1.0)
            if found is None:
                continue
            beta = 1.0 if close(inner.slope, 1.0, inner.x) else inner.slope
            make = functools.partial(own, "Swish_24", [inner.x], {"alpha": beta})
            return Chain(found.last, [node, *inner.nodes, *found.nodes], make)
        return None


class FuseMish(Fusion):
    """Replaces x·tanh(softplus(x)) by ONNX's own operator of later opsets (Misra 2019)."""

    anchors: ClassVar[frozenset[str]] = frozenset({"Softplus"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around `node`, if it computes Mish."""
        x, tanh = node.inputs[0], reader(node.outputs[0], "Tanh")
        found = product(tanh.outputs[0], x, 1.0) if tanh is not None and x is not None else None
        if x is None or tanh is None or found is None:
            return None
        return Chain(found.last, [node, tanh, *found.nodes], functools.partial(own, "Mish_18", [x]))
