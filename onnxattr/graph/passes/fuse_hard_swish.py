"""Joins what exporters write for HardSwish."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import ClassVar

import onnx_ir as ir

from onnxattr.graph.passes.chains import Chain, Fusion, close, own
from onnxattr.graph.passes.gated import Affine, affine, bounded, product


class FuseHardSwish(Fusion):
    """Replaces x·clip(x + 3, 0, 6)/6 by ONNX's own operator (Howard et al. 2019).

    The gate may be a HardSigmoid of slope 1/6, or a Clip, a Relu and a Min, or a Max and a Min, of
    any scale; the division by 6 comes before it, behind it, or is applied to x.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"HardSigmoid", "Clip", "Max", "Min", "Relu"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around `node`, if it computes HardSwish."""
        for inner, high in _gates(node, opset):
            x = inner.x
            if not (close(6 * inner.slope, high, x) and close(2 * inner.constant, high, x)):
                continue
            found = product(node.outputs[0], x, 1 / high)
            if found is not None:
                make = functools.partial(own, "HardSwish_14", [x])
                return Chain(found.last, [node, *inner.nodes, *found.nodes], make)
        return None


def _gates(node: ir.Node, opset: int) -> Iterator[tuple[Affine, float]]:
    """Yields what `node` bounds to 0 and a number above, and that number."""
    if node.op_type == "HardSigmoid":
        numbers = {name: node.attributes[name].as_float() for name in node.attributes}
        slope, constant = numbers.get("alpha", 0.2), numbers.get("beta", 0.5)
        for inner in affine(node.inputs[0]):
            moved = slope * inner.constant + constant
            yield Affine(inner.x, slope * inner.slope, moved, inner.nodes), 1.0
        return
    found = bounded(node.outputs[0], opset)
    if found is None or found.low != 0 or not 0 < found.high < float("inf"):
        return
    for inner in affine(found.x):
        nodes = (*found.nodes, *inner.nodes)
        yield Affine(inner.x, inner.slope, inner.constant, nodes), found.high
