"""What operators share: inputs that may be numbers or tensors, and integers that torch lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

#: Integers that torch can store and hardly compute with; int64 wraps around as they do.
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

Stored = torch.Tensor | Sequence[Any] | float | None


def integers(value: Stored) -> list[int] | None:
    """Returns an input that holds sizes, axes or positions: stored numbers, or a tensor's values.

    None where it is blank. A scalar counts as a list of one.
    """
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, Sequence):
        return [int(v) for v in value]
    return [int(value)]


def number(value: Stored) -> float | int | bool | None:
    """Returns an input that holds one number, or None where it is blank."""
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        return value.reshape(-1)[0].item()
    first: Any = value
    while isinstance(first, Sequence):
        first = first[0]
    found: float | int | bool = first
    return found


def widened(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns `function` for unsigned integers too, computed as int64 and cast back."""

    def compute(*values: torch.Tensor) -> torch.Tensor:
        dtype = values[0].dtype
        if dtype not in UNSIGNED:
            return function(*values)
        wide = function(*(v.to(torch.int64) for v in values))
        return wide if wide.dtype is torch.bool else wide.to(dtype)

    return compute


def ordered(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns `function`, which compares its arguments, for unsigned integers too."""

    def compute(*values: torch.Tensor) -> torch.Tensor:
        dtype = values[0].dtype
        if dtype not in UNSIGNED:
            return function(*values)
        # With the highest bit flipped, numbers of 64 bits are in the order of signed ones.
        flip = torch.iinfo(torch.int64).min if dtype is torch.uint64 else 0
        wide = function(*(v.to(torch.int64) ^ flip for v in values))
        return wide if wide.dtype is torch.bool else (wide ^ flip).to(dtype)

    return compute
