"""Broadcasting as opsets before 7 wrote it: the second operand's first axis is an attribute."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Aligned:
    """A function of two tensors, the second of which fits the first from an axis on.

    Attributes:
        function: It broadcasts as torch does.
    """

    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    @property
    def __name__(self) -> str:
        return self.function.__name__

    def __call__(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        *,
        axis: int | None = None,
        broadcast: int = 0,
        consumed_inputs: object = None,
    ) -> torch.Tensor:
        """Returns the function's result for `b` with trailing axes of size one.

        Without an axis the last axes are meant, as they are everywhere else.
        """
        if broadcast and axis is not None and b.ndim:
            axis = axis + a.ndim if axis < 0 else axis
            b = b.reshape(*b.shape, *[1] * (a.ndim - axis - b.ndim))
        return self.function(a, b)
