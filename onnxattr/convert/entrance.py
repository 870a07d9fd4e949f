"""What a module takes: sizes that its graph fixes, checked at every call, as ONNX Runtime does."""

from typing import Any

import torch
from torch import nn

from onnxattr.errors import ModelInputError
from onnxattr.graph.walk import short
from onnxattr.types import Model


class Entrance:
    """A hook that refuses inputs of shapes that the graph does not take.

    What was computed for one size, and stored, would give any numbers for another: a batch of two
    may pass through a graph for one image from beginning to end.

    Args:
        dialect: A normalised model.
    """

    def __init__(self, dialect: Model) -> None:
        self._names: list[str] = []
        self._shapes: list[tuple[int | None, ...] | None] = []
        for value in dialect.proto.graph.input:
            kind = value.type.tensor_type
            dims = kind.shape.dim if kind.HasField("shape") else None
            self._names.append(short(dialect.names.values.get(value.name, value.name)))
            self._shapes.append(
                None
                if dims is None
                else tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
            )

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Compares shapes; values are not read.

        Raises:
            ModelInputError: A size is another than the graph fixes.
        """
        for name, shape, value in zip(self._names, self._shapes, inputs, strict=False):
            if shape is None or not isinstance(value, torch.Tensor):
                continue
            if len(shape) != value.ndim or any(
                size is not None and size != given
                for size, given in zip(shape, value.shape, strict=True)
            ):
                wanted = ",".join("?" if size is None else str(size) for size in shape)
                given = ",".join(map(str, value.shape))
                raise ModelInputError(f"its input `{name}` takes [{wanted}], not [{given}]")
