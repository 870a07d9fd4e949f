"""Activations: functions of one number each."""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.table import operator


@operator("Relu", 1, 6, 13, 14)
def _relu(x: torch.Tensor, *, consumed_inputs: object = None) -> torch.Tensor:
    return F.relu(x)
