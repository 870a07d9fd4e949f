"""Windows that slide over an input: sizes, steps and pads, of convolutions and pools.

Pads may differ at the two ends of an axis, as TensorFlow's `SAME` does at every even size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.errors import SupportError

Pads = tuple[list[int], list[int]]


def ones(given: Sequence[int] | None, axes: int) -> list[int]:
    """Returns strides or dilations, one an axis; they are 1 where the node does not say."""
    return list(given) if given else [1] * axes


def reaches(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Returns how many values lie between the ends of a window, these included, by axis."""
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]


def pads_of(
    auto_pad: str,
    pads: Sequence[int] | None,
    size: Sequence[int],
    reach: Sequence[int],
    strides: Sequence[int],
) -> Pads:
    """Returns the pads at the begin and at the end of every axis.

    Args:
        auto_pad: The attribute; SAME_* is decided by `size`.
        pads: The attribute, all begins and then all ends.
        size: Of the input's spatial axes.
        reach: Of the windows.
        strides: Of the windows.
    """
    axes = len(reach)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (-(-n // s) - 1) * s + r - n)
            for n, r, s in zip(size, reach, strides, strict=True)
        ]
        return halves(totals, more_at_end=auto_pad == "SAME_UPPER")
    if auto_pad not in ("NOTSET", "VALID", ""):
        raise SupportError(f"auto_pad `{auto_pad}`")
    if auto_pad == "VALID" or not pads:
        return [0] * axes, [0] * axes
    return list(pads[:axes]), list(pads[axes:])


def halves(totals: Sequence[int], *, more_at_end: bool) -> Pads:
    """Returns pads that are split between both ends; `more_at_end` has the larger half there."""
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (small, large) if more_at_end else (large, small)


def hang(
    size: Sequence[int], reach: Sequence[int], strides: Sequence[int], pads: Pads
) -> list[int]:
    """Returns what to append to each axis so that a last, partial window of `ceil_mode` is whole.

    As in ONNX Runtime and torch, a window must start inside the input or its begin pad.
    """
    more = []
    for n, r, s, begin, end in zip(size, reach, strides, *pads, strict=True):
        free = n + begin + end - r
        starts_inside = (free // s + 1) * s < n + begin
        more.append(s - free % s if free % s and starts_inside else 0)
    return more


def padded(x: torch.Tensor, pads: Pads, value: float = 0.0) -> torch.Tensor:
    """Returns `x` with pads at its last axes; negative ones cut it."""
    pairs = zip(reversed(pads[0]), reversed(pads[1]), strict=True)
    return F.pad(x, [p for pair in pairs for p in pair], value=value)
