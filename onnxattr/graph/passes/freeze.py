"""Fixes the free dimensions of an input, all but the batch."""

from collections.abc import Sequence

import onnx_ir as ir


class Freeze(ir.passes.InPlacePass):
    """Gives the input its shape, and throws away shapes that were stored for the free one.

    Args:
        name: The input.
        shape: One size an axis; a name leaves that axis free.
    """

    def __init__(self, name: str, shape: Sequence[int | str]) -> None:
        super().__init__()
        self._name = name
        self._shape = ir.Shape(shape)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with the input's shape fixed."""
        (value,) = (v for v in model.graph.inputs if v.name == self._name)
        if value.shape == self._shape:
            return ir.passes.PassResult(model, modified=False)
        value.shape = self._shape
        return ir.passes.PassResult(model, modified=True)
