"""What a module takes: sizes that its graph fixes, checked at every call, as ONNX Runtime does."""

from collections.abc import Sequence

import torch
from onnx import NodeProto, ValueInfoProto, helper
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.scope import current
from onnxattr.convert.ops.table import builder
from onnxattr.errors import ModelInputError
from onnxattr.graph.load import OWN_DOMAIN

#: A size that the graph leaves free.
_FREE = -1


class Entrance(nn.Module):
    """Passes an input on, if its sizes are those that the graph fixes; values are not read.

    What was computed for one size, and stored, would give any numbers for another: a batch of two
    may pass through a graph for one image from beginning to end.

    Args:
        name: Of the input, as the vendor calls it.
        shape: None for a size that is free.

    Raises:
        ModelInputError: When called: a size is another than the graph fixes.
    """

    def __init__(self, name: str, shape: tuple[int | None, ...]) -> None:
        super().__init__()
        self.name, self.shape = name, shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the input as it is."""
        fits = len(self.shape) == x.ndim and all(
            size is None or size == given for size, given in zip(self.shape, x.shape, strict=True)
        )
        if not fits:
            wanted = ",".join("?" if size is None else str(size) for size in self.shape)
            given = ",".join(map(str, x.shape))
            raise ModelInputError(f"its input `{self.name}` takes [{wanted}], not [{given}]")
        return x


def entrance(value: ValueInfoProto) -> NodeProto | None:
    """Renames an input whose sizes are not all free, and returns the node that it goes through."""
    dims = value.type.tensor_type.shape.dim
    sizes = [d.dim_value if d.HasField("dim_value") else _FREE for d in dims]
    if all(size == _FREE for size in sizes):
        return None
    inside = value.name
    value.name = f"{inside}.given"  # No name of ours has a point.
    return helper.make_node(
        "Entrance", [value.name], [inside], value.name, domain=OWN_DOMAIN, shape=sizes
    )


@builder("Entrance")
def _build(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    sizes = node.attributes["shape"]
    vendor = current().inputs.get(node.output_values[0], "")
    return Entrance(vendor, tuple(None if s == _FREE else s for s in sizes)), node.input_values
