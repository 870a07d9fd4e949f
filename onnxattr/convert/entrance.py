"""What a module takes: sizes that its graph fixes, checked at every call, as ONNX Runtime does."""

import torch
from onnx import TypeProto
from torch import fx, nn

from onnxattr.errors import ModelInputError
from onnxattr.graph.walk import short
from onnxattr.types import Model


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


def entrances(dialect: Model) -> list[Entrance | None]:
    """Returns what checks each input of a normalised model; None for one of any size."""
    return [
        Entrance(short(dialect.names.values.get(value.name, value.name)), shape)
        if any(shape := _shape(value.type.tensor_type))
        else None
        for value in dialect.proto.graph.input
    ]


def _shape(kind: TypeProto.Tensor) -> tuple[int | None, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)


def guard(module: fx.GraphModule, checks: list[Entrance | None]) -> bool:
    """Puts the checks behind a module's inputs, in place; returns whether there are any."""
    inputs = module.graph.find_nodes(op="placeholder")
    for i, (node, check) in enumerate(zip(inputs, checks, strict=True)):
        if check is None:
            continue
        module.add_module(name := f"entrance{i}", check)
        with module.graph.inserting_after(inputs[-1]):
            passed = module.graph.call_module(name, (node,))
        node.replace_all_uses_with(passed, delete_user_cb=lambda user, own=passed: user is not own)
    return any(check is not None for check in checks)
