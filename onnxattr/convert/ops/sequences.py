"""Sequences, which are Python lists here, and optional values, which are None where absent."""

from collections.abc import Sequence
from typing import Any

import torch

from onnxattr.convert.ops.numbers import Stored, integers, number
from onnxattr.convert.ops.table import operator


@operator("SequenceEmpty", 11)
def _sequence_empty(*, dtype: int | None = None) -> list[torch.Tensor]:
    return []


@operator("SequenceConstruct", 11)
def _sequence_construct(*xs: torch.Tensor) -> list[torch.Tensor]:
    return list(xs)


@operator("SequenceAt", 11, stored=(1,))
def _sequence_at(xs: Sequence[torch.Tensor], position: Stored) -> torch.Tensor:
    return xs[int(number(position) or 0)]


@operator("SequenceInsert", 11, stored=(2,))
def _sequence_insert(
    xs: Sequence[torch.Tensor], x: torch.Tensor, position: Stored = None
) -> list[torch.Tensor]:
    place = number(position)
    at = len(xs) if place is None else int(place)
    if not -len(xs) <= at <= len(xs):
        raise IndexError(f"SequenceInsert at {at} into a sequence of {len(xs)}")
    return [*xs[:at], x, *xs[at:]]


@operator("SequenceErase", 11, stored=(1,))
def _sequence_erase(xs: Sequence[torch.Tensor], position: Stored = None) -> list[torch.Tensor]:
    place = number(position)
    at = range(len(xs))[-1 if place is None else int(place)]
    return [*xs[:at], *xs[at + 1 :]]


@operator("SequenceLength", 11, gradient=False, host=True)
def _sequence_length(xs: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.tensor(len(xs), dtype=torch.int64, device="cpu")


@operator("SplitToSequence", 11, 24, stored=(1,))
def _split_to_sequence(
    x: torch.Tensor, split: Stored = None, *, axis: int = 0, keepdims: int = 1
) -> list[torch.Tensor]:
    if split is None and not keepdims:
        return list(x.unbind(axis))
    sizes = [1] if split is None else integers(split) or []
    # A number is the size of every part, a list of one number that of the only one.
    one = not (split.ndim if isinstance(split, torch.Tensor) else isinstance(split, Sequence))
    if one and not x.shape[axis]:
        return []
    return list(torch.split(x, sizes[0] if one else sizes, axis))


@operator("ConcatFromSequence", 11)
def _concat_from_sequence(
    xs: Sequence[torch.Tensor], *, axis: int, new_axis: int = 0
) -> torch.Tensor:
    return torch.stack(list(xs), axis) if new_axis else torch.cat(list(xs), axis)


@operator("Optional", 15, 28)
def _optional(value: Any = None, *, type: object = None) -> Any:
    return value


@operator("OptionalHasElement", 15, 18, 28, gradient=False, host=True)
def _optional_has_element(value: Any = None) -> torch.Tensor:
    return torch.tensor(value is not None, device="cpu")


@operator("OptionalGetElement", 15, 18, 28)
def _optional_get_element(value: Any) -> Any:
    if value is None:
        raise ValueError("OptionalGetElement of an optional value that is absent")
    return value
