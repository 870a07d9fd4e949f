"""A network is run at a baseline, then at the probes, and its gradient becomes the multipliers.

Operators are functions of torch. Each step of such a function, a product, a root, a maximum, has a
rule of its own (`rules`), so that operators need none: what is made of many steps, a normalisation
or a recurrent layer, follows from them. The two runs take the same steps in the same order, which
is how a step at the probe finds itself at the baseline: that needs no batch of both, which graphs
that fix their batch would refuse, and no axis of it, which recurrent layers have elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

from onnxattr.errors import SupportError

#: A function of torch as it is called: itself, its arguments, and those by name.
Rule = Callable[["Walk", Callable[..., Any], Sequence[Any], Mapping[str, Any]], Any]

#: What torch calls operators of Python from the right, and functions behind others.
_SAME = {
    "__rsub__": "rsub",
    "__rdiv__": "rdiv",
    "__rtruediv__": "rdiv",
    "__rpow__": "rpow",
    "_threshold": "threshold",
}


class Walk(TorchFunctionMode):
    """Notes what a rule needs to know of the baseline, or finds it again; to be used by `with`.

    Args:
        rules: By the name of a function of torch.
        noted: What was noted at the baseline, in order; None at the baseline itself.

    Attributes:
        noted: What was noted so far, or what is left of it.
        first: Whether this is the run at the baseline.
    """

    def __init__(self, rules: Mapping[str, Rule], noted: Sequence[Any] | None = None) -> None:
        super().__init__()
        self._rules = rules
        self.first = noted is None
        self.noted: deque[Any] = deque(noted or ())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Returns what a function of torch does, with multipliers for its derivatives."""
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        # What a tensor is: its shape, its type, itself transposed.
        if name == "__get__" or not any(True for _ in moving(args, given)):
            return func(*args, **given)
        return self.apply(func, *args, **given)

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns the function of what moves, by its rule; for rules that are made of others.

        Raises:
            SupportError: It has none.
        """
        name = getattr(func, "__name__", "")
        name = _SAME.get(name, name)
        rule = self._rules.get(name)
        if rule is not None:
            return rule(self, func, args, kwargs)
        result = func(*args, **kwargs)
        # What does not move is a choice or a count: comparisons, places, sizes.
        if any(True for _ in moving((result,), {})):
            raise SupportError(f"DeepLIFT has no rule for its step `torch.{name}`")
        return result

    def note(self, result: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        """Returns a result at the baseline, and notes the values of which a rule made it."""
        self.noted.append(tuple(v.detach() for v in values))
        return result

    def before(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Returns what some values were at the baseline.

        Raises:
            SupportError: Another way was taken there.
        """
        found: tuple[torch.Tensor, ...] = self.noted.popleft() if self.noted else ()
        if [v.shape for v in found] != [v.shape for v in values]:
            raise SupportError(
                "it takes other steps, or other sizes, for the baseline than for the probe, and "
                "DeepLIFT compares step by step"
            )
        return found


def moving(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """Yields the tensors among arguments that depend on the probe, also in lists."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            if value.requires_grad:
                yield value
        elif isinstance(value, list | tuple):
            yield from moving(value, {})


def tensors(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[torch.Tensor], Any]:
    """Returns all tensors among arguments, and what puts others in their places."""
    leaves, form = _pytree.tree_flatten((tuple(args), dict(kwargs)))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def again(values: Sequence[torch.Tensor]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        others = list(leaves)
        for place, value in zip(places, values, strict=True):
            others[place] = value
        found: tuple[Sequence[Any], Mapping[str, Any]] = _pytree.tree_unflatten(others, form)
        return found

    return [leaves[i] for i in places], again


def graft(value: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Returns a value with the gradient of another tensor of its shape."""
    found: torch.Tensor = _Graft.apply(value.detach(), slope)
    return found


class _Graft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, gradients[0]


def multiplied(x: torch.Tensor, value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Returns a value that is a function of each number of x, with a multiplier for each."""
    found: torch.Tensor = _Multiplied.apply(x, value, by)
    return found


class _Multiplied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(by)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (by,) = ctx.saved_tensors
        return gradients[0] * by, None, None
