"""Normalisation by stored statistics."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator


class BatchNormalization(nn.Module):
    """ONNX BatchNormalization in inference: (x − mean) / √(variance + ε) · scale + bias.

    Args:
        scale: One value a channel.
        bias: One value a channel.
        mean: One value a channel.
        variance: One value a channel.
        epsilon: Added to the variance.
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(
        self,
        scale: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        variance: torch.Tensor,
        epsilon: float,
    ) -> None:
        super().__init__()
        self.scale, self.bias = nn.Parameter(scale), nn.Parameter(bias)
        self.register_buffer("mean", mean)
        self.register_buffer("variance", variance)
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(
            x, self.mean, self.variance, self.scale, self.bias, training=False, eps=self.epsilon
        )


# onnx2torch needs the input's rank, which shape inference cannot always tell.
@operator("BatchNormalization", 7, 9, 14, 15)
def _batch_normalization(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    if node.attributes.get("training_mode", 0) or any(node.output_values[1:]):
        raise NotImplementedError("BatchNormalization in training mode")
    if not all(name in graph.initializers for name in node.input_values[1:]):
        raise NotImplementedError("BatchNormalization with computed statistics")
    stored = (graph.initializers[name].to_torch() for name in node.input_values[1:])
    scale, bias, mean, variance = stored
    epsilon = node.attributes.get("epsilon", 1e-5)
    module = BatchNormalization(scale, bias, mean, variance, epsilon)
    return module, node.input_values[:1]
