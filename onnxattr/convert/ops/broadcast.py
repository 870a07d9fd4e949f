"""Broadcasting as opsets before 7 wrote it: the second operand's first axis is an attribute."""

import torch


def aligned(a: torch.Tensor, b: torch.Tensor, axis: int | None, broadcast: int) -> torch.Tensor:
    """Returns `b` with trailing axes of size one, so that it fits `a` from `axis` on.

    Without an axis the last axes are meant, as they are everywhere else.
    """
    if not broadcast or axis is None or b.ndim == 0:
        return b
    axis = axis + a.ndim if axis < 0 else axis
    return b.reshape(*b.shape, *[1] * (a.ndim - axis - b.ndim))
