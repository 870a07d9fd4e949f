"""Activations that onnx2torch lacks."""

from collections.abc import Sequence

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
