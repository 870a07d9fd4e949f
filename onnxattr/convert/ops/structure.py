"""The nodes of the dialect itself, and operators with subgraphs."""

from collections.abc import Sequence
from typing import Any

import onnx2torch
import torch
from onnx import GraphProto, helper
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.scope import current, known
from onnxattr.convert.ops.table import builder, operator
from onnxattr.convert.ops.tensors import from_numpy
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import captured


class Outputs(nn.Module):
    """The graph's outputs in order: a tensor, or a tuple where there are several."""

    def forward(self, *values: Any) -> Any:
        return values[0] if len(values) == 1 else values


@builder("Outputs")
def _outputs(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    return Outputs(), node.input_values


@builder("Parameter")
def _parameter(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    (name,) = node.output_values
    return known(name, from_numpy(current().arrays[name])), ()


def subgraph(graph: GraphProto) -> tuple[nn.Module, list[str]]:
    """Returns the module of a subgraph, and the outer values that it takes after its own inputs."""
    outer = captured(graph)
    body = GraphProto()
    body.CopyFrom(graph)
    body.input.extend(helper.make_empty_tensor_value_info(name) for name in outer)
    imports = [helper.make_opsetid(OWN_DOMAIN, 1)]
    module: nn.Module = onnx2torch.convert(helper.make_model(body, opset_imports=imports))
    return module, outer


@operator("RepeatBatch")
def _repeat_batch(
    x: torch.Tensor, like: torch.Tensor, *, axis: int = 0, inner: int = 1
) -> torch.Tensor:
    """Returns `x` with one axis repeated for every member of `like`, before the last `inner`."""
    before, size, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    members = x.reshape(*before, size // inner, 1, inner, *behind)
    repeated = members.expand(*before, size // inner, len(like), inner, *behind)
    return repeated.reshape(*before, size * len(like), *behind)
