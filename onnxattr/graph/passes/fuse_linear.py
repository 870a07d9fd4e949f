"""Joins what exporters write for a linear layer of more than two dimensions."""

from __future__ import annotations

import functools
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from onnxattr.graph.passes.chains import Chain, Fusion, other, own, rank_of, reader, stored


class FuseLinear(Fusion):
    """Replaces a product with a stored matrix and the addition of a stored row by one node.

    ONNX's `Gemm` does that in two dimensions only, so that layers of tokens and of pixels whose
    channels are last come as a `MatMul` and an `Add`, which torch runs as two kernels.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"MatMul"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the product `node` and the addition after it, if both operands are stored."""
        x, weight = node.inputs[0], stored(node.inputs[1])
        # Before opset 7 an attribute says whether the operands of Add broadcast.
        if opset < 7 or weight is None or weight.ndim != 2:
            return None
        product = node.outputs[0]
        addition = reader(product, "Add")
        if addition is None or not np.issubdtype(weight.dtype, np.floating):
            return None
        operand = other(addition, product)
        bias = stored(operand)
        if bias is None or bias.shape != (*[1] * (bias.ndim - 1), weight.shape[1]):
            return None
        if bias.ndim > max(1, rank_of(x) or 1):
            return None
        make = functools.partial(own, "FusedLinear", [x, node.inputs[1], operand])
        return Chain(addition, [node], make)
