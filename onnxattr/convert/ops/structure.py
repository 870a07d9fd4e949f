"""Operators that move values: the graph's outputs, reshaping."""

from collections.abc import Sequence

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator


class Outputs(nn.Module):
    """The graph's outputs in order: a tensor, or a tuple where there are several."""

    def forward(self, *values: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return values[0] if len(values) == 1 else values


@operator("Outputs")
def _outputs(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    return Outputs(), node.input_values


class Reshape(nn.Module):
    """ONNX Reshape: -1 is inferred; 0 keeps the input's size, unless `allowzero`.

    Args:
        shape: The target, where the graph stores it; otherwise it is the second input.
        allowzero: Whether 0 means zero.
    """

    def __init__(self, shape: list[int] | None, allowzero: bool) -> None:
        super().__init__()
        self.shape, self.allowzero = shape, allowzero

    def forward(self, x: torch.Tensor, shape: torch.Tensor | None = None) -> torch.Tensor:
        target = self.shape if shape is None else [int(s) for s in shape]
        assert target is not None
        if not self.allowzero:
            target = [x.shape[i] if s == 0 else s for i, s in enumerate(target)]
        return x.reshape(target)


# onnx2torch refuses `allowzero`, which torch's default exporter writes on every Reshape.
@operator("Reshape", 5, 13, 14)
def _reshape(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    data, shape = node.input_values
    allowzero = bool(node.attributes.get("allowzero", 0))
    if shape in graph.initializers:
        return Reshape(graph.initializers[shape].to_torch().tolist(), allowzero), [data]
    return Reshape(None, allowzero), [data, shape]
