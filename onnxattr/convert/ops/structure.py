"""The nodes of the dialect itself, and operators with subgraphs."""

from collections.abc import Sequence
from typing import Any

import onnx2torch
import torch
from onnx import GraphProto, helper
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import builder, current, known, operator
from onnxattr.convert.ops.tensors import from_numpy
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import graphs


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


def captured(graph: GraphProto) -> list[str]:
    """Returns the names of the outer values that `graph`, or a graph inside of it, reads."""
    inside = {value.name for value in graph.input}
    outer: dict[str, None] = {}
    for node in graph.node:
        read = [*node.input, *(name for body in graphs(node) for name in captured(body))]
        outer.update(dict.fromkeys(name for name in read if name and name not in inside))
        inside.update(node.output)
    return list(outer)


@operator("RepeatBatch")
def _repeat_batch(
    x: torch.Tensor, like: torch.Tensor, *, axis: int = 0, like_axis: int = -1
) -> torch.Tensor:
    sizes = list(x.shape)
    sizes[axis] = like.shape[axis if like_axis < 0 else like_axis]
    return x.expand(sizes)
