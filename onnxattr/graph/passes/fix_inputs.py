"""Stores what a model's other inputs are fed, so that the probe is its only input."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.types import FixedInput


class FixInputs(ir.passes.InPlacePass):
    """Replaces inputs by stored tensors; where the batch is, one is repeated for each probe.

    Args:
        fixed: The inputs.
        probe: The input that takes the probes.
        batch: Which of its axes counts them, or None.
    """

    def __init__(self, fixed: Sequence[FixedInput], probe: str, batch: int | None) -> None:
        super().__init__()
        self._fixed, self._probe, self._batch = fixed, probe, batch

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with the probe as its only input, if all others are fixed."""
        inputs = {value.name: value for value in model.graph.inputs}
        present = [fixed for fixed in self._fixed if fixed.name in inputs]
        for fixed in present:
            old = inputs[fixed.name]
            sizes = [1 if size is None else size for size in fixed.shape]
            array = np.full(sizes, fixed.value, fixed.dtype)
            model.graph.inputs.remove(old)
            new: ir.Value = ir.Value(
                name=fixed.name,
                shape=ir.Shape(sizes),
                type=old.type,
                const_value=ir.tensor(array, name=fixed.name),
            )
            model.graph.register_initializer(new)
            for axis, size in enumerate(fixed.shape):
                if size is None:
                    new = self._repeated(model, new, axis)
            for place, value in enumerate(model.graph.outputs):
                if value is old:
                    model.graph.outputs[place] = new
            old.replace_all_uses_with(new)
        return ir.passes.PassResult(model, modified=bool(present))

    def _repeated(self, model: ir.Model, value: ir.Value, axis: int) -> ir.Value:
        """Returns `value` with one axis repeated for each probe."""
        (like,) = (v for v in model.graph.inputs if v.name == self._probe)
        members = like.shape[self._batch or 0] if like.shape is not None else None
        made = []
        if self._batch:
            # RepeatBatch counts the members of what is batched along its first axis.
            rank = len(like.shape or ())
            order = [self._batch, *(i for i in range(rank) if i != self._batch)]
            turned = [ir.AttrInt64s("perm", order)]
            made.append(ir.Node("", "Transpose", [like], turned, num_outputs=1))
            made[0].outputs[0].name = f"{value.name}.like.{axis}"
            like = made[0].outputs[0]
        place = [ir.AttrInt64("axis", axis)]
        made.append(ir.Node(OWN_DOMAIN, "RepeatBatch", [value, like], place, num_outputs=1))
        (new,) = made[-1].outputs
        new.name, new.type = f"{value.name}.batch.{axis}", value.type
        sizes = [members if i == axis else size for i, size in enumerate(value.shape or ())]
        new.shape = ir.Shape(sizes)
        model.opset_imports[OWN_DOMAIN] = 1
        first = next(iter(model.graph), None)
        if first is None:
            model.graph.extend(made)
        else:
            model.graph.insert_before(first, made)
        return new
