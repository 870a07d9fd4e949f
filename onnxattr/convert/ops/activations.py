"""Activations that onnx2torch lacks."""

from collections.abc import Sequence

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator


@operator("Gelu", 20)
def _gelu(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    return nn.GELU(approximate=node.attributes.get("approximate", "none")), node.input_values


@operator("Mish", 18, 22)
def _mish(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    return nn.Mish(), node.input_values


class Clip(nn.Module):
    """ONNX Clip: values cut off at a minimum and a maximum, each of which may be absent.

    Args:
        minimum: The smallest value that is let through, or None.
        maximum: The largest, or None.
    """

    def __init__(self, minimum: float | None, maximum: float | None) -> None:
        super().__init__()
        self.minimum, self.maximum = minimum, maximum

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.minimum is None and self.maximum is None:
            return x
        return x.clamp(self.minimum, self.maximum)


# onnx2torch takes an empty minimum for the name of a value.
@operator("Clip", 11, 12, 13)
def _clip(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    data, *names = node.input_values
    if any(name and name not in graph.initializers for name in names):
        raise NotImplementedError("Clip with computed bounds")
    bounds = [graph.initializers[name].to_torch().item() if name else None for name in names]
    minimum, maximum = [*bounds, None, None][:2]
    return Clip(minimum, maximum), [data]
