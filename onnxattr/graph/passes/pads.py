"""Writes out the pads that `auto_pad` leaves to the engine."""

from collections.abc import Sequence

import onnx_ir as ir

from onnxattr.graph.walk import STANDARD

_WINDOWED = {"AveragePool", "Conv", "MaxPool"}


class ExplicitPads(ir.passes.InPlacePass):
    """Replaces `auto_pad` of convolutions and pools by `pads`; shapes must have been inferred.

    `SAME` depends on the size of the input wherever the stride is not 1. A node whose input has no
    known size keeps its `auto_pad`, and so does one with dilations, on which engines disagree: ONNX
    counts them, ONNX Runtime ignores them in pools and refuses them in convolutions.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with explicit pads, as far as sizes are known."""
        modified = False
        for node in model.graph.all_nodes():
            if node.domain in STANDARD and node.op_type in _WINDOWED:
                modified |= _write_pads(node)
        return ir.passes.PassResult(model, modified=modified)


def _write_pads(node: ir.Node) -> bool:
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    if mode not in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        return False
    kernel = _kernel(node)
    if kernel is None:
        return False
    totals = [0] * len(kernel) if mode == "VALID" else _totals(node, kernel)
    if totals is None:
        return False
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    pads = [*less, *more] if mode != "SAME_LOWER" else [*more, *less]
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return True


def _totals(node: ir.Node, kernel: Sequence[int]) -> list[int] | None:
    """Returns how much each axis is padded so that the output has ⌈size / stride⌉ positions."""
    strides, dilations = (_steps(node, name, len(kernel)) for name in ("strides", "dilations"))
    if any(d != 1 for d in dilations):
        return None
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    sizes = list(shape[2:]) if shape is not None else [None] * len(kernel)
    totals: list[int] = []
    for size, k, stride in zip(sizes, kernel, strides, strict=True):
        if isinstance(size, int):
            totals.append(max((-(-size // stride) - 1) * stride + k - size, 0))
        elif stride == 1:
            totals.append(k - 1)
        else:
            return None
    return totals


def _kernel(node: ir.Node) -> list[int] | None:
    if "kernel_shape" in node.attributes:
        return list(node.attributes["kernel_shape"].as_ints())
    weight = node.inputs[1].shape if len(node.inputs) > 1 and node.inputs[1] is not None else None
    sizes = list(weight[2:]) if weight is not None else [None]
    return [s for s in sizes if isinstance(s, int)] if None not in sizes else None


def _steps(node: ir.Node, name: str, rank: int) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else [1] * rank
