"""The table of our own operators, and the decorator that fills it."""

from collections.abc import Callable, Sequence
from typing import Any

from onnx2torch.node_converters.registry import add_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult
from torch import nn

from onnxattr.graph.load import OWN_DOMAIN

#: Operators with their since-version, `Gelu_20`, that have a converter of ours.
OPERATORS: set[str] = set()

#: From a node to the module that computes it, and the names of the inputs that the module takes:
#: inputs that were read at build time are left out.
Build = Callable[[OnnxNode, OnnxGraph], tuple[nn.Module, Sequence[str]]]


def operator(name: str, *versions: int) -> Callable[[Build], Build]:
    """Returns a decorator that registers a function from a node to the module that computes it.

    The module returns a tuple exactly when the node lists more than one output.

    Args:
        name: The ONNX operator.
        *versions: The since-versions for which the function is right; none for an operator that
            exists in our domain only.
    """

    def decorate(build: Build) -> Build:
        def convert(node: Any, graph: OnnxGraph) -> OperationConverterResult:
            module, inputs = build(node, graph)
            mapping = OnnxMapping(tuple(inputs), tuple(node.output_values))
            return OperationConverterResult(torch_module=module, onnx_mapping=mapping)

        for label in [f"{name}_{version}" for version in versions] or [name]:
            add_converter(operation_type=label, version=1, domain=OWN_DOMAIN)(convert)
            OPERATORS.add(label)
        return build

    return decorate
