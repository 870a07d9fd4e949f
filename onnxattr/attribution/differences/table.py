"""The table of rules, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from onnxattr.attribution.differences.walk import Rule
from onnxattr.errors import SupportError

#: Differences below this many roundings of their operands say nothing: a derivative is taken.
_ROUNDINGS = 16

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Returns a decorator that puts a rule into the table, by names of functions of torch."""

    def decorate(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return decorate


def quotient(
    change: torch.Tensor, x: torch.Tensor, x0: torch.Tensor, slope: torch.Tensor
) -> torch.Tensor:
    """Returns Δy/Δx of what is detached; a slope where Δx is no more than rounding of x."""
    by = x - x0
    least = x.abs().mul_(_ROUNDINGS * torch.finfo(x.dtype).eps)
    m = torch.where(by.abs() > least, change / by, slope)
    return m.nan_to_num_(0.0, 0.0, 0.0)


def only(values: Sequence[torch.Tensor], func: Callable[..., Any]) -> int:
    """Returns which of some tensors is the only one that moves.

    Raises:
        SupportError: Several do.
    """
    places = [i for i, value in enumerate(values) if value.requires_grad]
    if len(places) > 1:
        raise SupportError(
            f"DeepLIFT has no rule for `torch.{func.__name__}` where more than one input depends "
            "on the probe"
        )
    return places[0]


def moves(value: Any) -> bool:
    """Returns whether an argument depends on the probe."""
    return is_tensor(value) and value.requires_grad


def is_tensor(value: Any) -> bool:
    """Returns whether an argument is a tensor."""
    return isinstance(value, torch.Tensor)
