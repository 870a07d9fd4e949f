"""Whether a value is the expected one: type, shape and numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from onnxattr.convert.ops.tensors import from_numpy

RTOL, ATOL = 1e-3, 1e-5

#: Two units in the last place: what rounding once more, or once less, may change.
HALVES = {torch.float16: 2.0**-9, torch.bfloat16: 2.0**-6}


def to_torch(value: Any) -> Any:
    """Returns a value of the suite as an input: a tensor, a list of them, or None."""
    if isinstance(value, list):
        return [to_torch(v) for v in value]
    if value is None or value.dtype.kind in "OU":
        return value
    return from_numpy(value.copy())


def difference(expected: Any, got: Any, rtol: float = RTOL, atol: float = ATOL) -> str:
    """Returns what is wrong with a value, or an empty string."""
    if isinstance(expected, list):
        if not isinstance(got, Sequence) or len(got) != len(expected):
            return f"{_kind(got)} instead of a list of {len(expected)}"
        found = (difference(e, g, rtol, atol) for e, g in zip(expected, got, strict=True))
        return next(filter(None, found), "")
    if expected is None:
        return "" if got is None else f"{_kind(got)} instead of nothing"
    expected = np.asarray(expected)
    if expected.dtype.kind in "OU":
        same = isinstance(got, np.ndarray) and np.array_equal(expected, got)
        return "" if same else f"{_kind(got)} instead of strings"
    if not isinstance(got, torch.Tensor):
        return f"{_kind(got)} instead of a tensor"
    if expected.dtype.kind in "iu":
        # C has two names for 64 bits, and torch knows one.
        expected = expected.astype(expected.dtype.name)
    wanted = from_numpy(expected)
    if got.dtype != wanted.dtype:
        return f"{got.dtype} instead of {wanted.dtype}"
    if got.shape != wanted.shape:
        return f"shape {tuple(got.shape)} instead of {tuple(wanted.shape)}"
    if rtol == np.inf:
        return ""
    ours, theirs = numbers(got), numbers(wanted)
    slack = HALVES.get(got.dtype, 0.0)
    if np.allclose(ours, theirs, max(rtol, slack), max(atol, slack / 8), equal_nan=True):
        return ""
    with np.errstate(all="ignore"):
        return f"off by {np.nanmax(np.abs(ours - theirs), initial=0.0):.3g}"


def numbers(tensor: torch.Tensor) -> np.ndarray:
    """Returns a tensor's values in a type in which they can be compared."""
    tensor = tensor.detach().cpu()
    if tensor.is_complex():
        return tensor.numpy()
    if tensor.is_floating_point():
        return tensor.to(torch.float64).numpy()
    array: np.ndarray = tensor.numpy()
    return array


def _kind(value: Any) -> str:
    return type(value).__name__
