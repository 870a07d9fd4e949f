"""A bound on bodies that run again and again: how often, and how many bytes they give."""

import contextvars
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from onnx2torch.onnx_node import OnnxNode

from onnxattr.convert.ops.scope import current
from onnxattr.errors import LimitError
from onnxattr.graph.walk import label
from onnxattr.limits import Limits

_GIB = 2**30


@dataclass
class _Spent:
    """What a body and those inside it have done since the outermost began."""

    turns: int = 0
    made: int = 0


_SPENT: contextvars.ContextVar[_Spent | None] = contextvars.ContextVar("spent", default=None)


@dataclass(frozen=True)
class Turns:
    """Counts the turns of one node.

    Attributes:
        node: How messages call it.
        limits: What may be spent.
    """

    node: str
    limits: Limits

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Begins to count, if no node around this one has."""
        token = _SPENT.set(_SPENT.get() or _Spent())
        try:
            yield
        finally:
            _SPENT.reset(token)

    def take(self, values: Iterable[Any]) -> None:
        """Counts one turn, and the values that it gave.

        Raises:
            LimitError: It is one too many, or they are too large.
        """
        spent = _SPENT.get() or _Spent()
        spent.turns += 1
        spent.made += sum(v.nbytes for v in values if isinstance(v, torch.Tensor))
        if spent.turns > self.limits.iterations:
            raise LimitError(
                f"its {self.node} takes more than the {self.limits.iterations:,} turns that are "
                "allowed",
                hint="--max-iterations allows more",
            )
        if spent.made > self.limits.tensors:
            raise LimitError(
                f"its {self.node} makes tensors of more than the "
                f"{self.limits.tensors / _GIB:.3g} GiB that are allowed",
                hint="--max-tensors allows more",
            )


def turns_of(node: OnnxNode) -> Turns:
    """Returns the count of a node that is being converted."""
    here = current()
    return Turns(label(here.vendor.get(node.proto.name, node.proto)), here.limits)
