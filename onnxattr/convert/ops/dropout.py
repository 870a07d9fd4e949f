"""Dropout, which drops nothing outside of training."""

import numpy as np
import torch

from onnxattr.convert.ops.numbers import Stored, number
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError

Dropped = tuple[torch.Tensor, torch.Tensor]


@operator("Dropout", 1, 6)
def _dropout_with_flag(
    x: torch.Tensor, *, ratio: float = 0.5, is_test: int = 0, consumed_inputs: object = None
) -> Dropped:
    return x, _kept(x, x.dtype)


@operator("Dropout", 7)
def _dropout_with_mask(x: torch.Tensor, *, ratio: float = 0.5) -> Dropped:
    return x, _kept(x, x.dtype)


@operator("Dropout", 10)
def _dropout_with_bools(x: torch.Tensor, *, ratio: float = 0.5) -> Dropped:
    return x, _kept(x, torch.bool)


@operator("Dropout", 12, 13, 22, stored=(1, 2), fold=False)
def _dropout(
    x: torch.Tensor, ratio: Stored = None, training: Stored = None, *, seed: int | None = None
) -> Dropped:
    if training is None or not number(training):
        return x, _kept(x, torch.bool)
    # A ratio that the graph computes has a gradient: what is kept grows with it.
    share = ratio if isinstance(ratio, torch.Tensor) else 0.5 if ratio is None else number(ratio)
    if (seed is None or not isinstance(share, torch.Tensor)) and not number(share):
        return x, _kept(x, torch.bool)
    if seed is None:
        raise SupportError("dropping at random: `training_mode` is true, without a `seed`")
    assert share is not None
    # As ONNX's reference draws them; other runtimes draw other numbers from the same seed.
    drawn = np.random.RandomState(seed).uniform(0, 1, tuple(x.shape))
    kept = torch.as_tensor(drawn, device=x.device) >= share
    return torch.where(kept, x / (1 - share), 0).to(x.dtype), kept


def _kept(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns a mask that keeps everything, in the memory of one number: few graphs look at it."""
    return x.new_ones((), dtype=dtype).expand(x.shape)
