"""Where the batch lies in a tensor, and how a node is computed with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onnxattr.graph.arithmetic import product

#: A size: a number, the name of a free one, or None.
Size = int | str | None

#: Axes of a tensor beyond which nothing is tried: each of them may be where the batch goes.
MAX_AXES = 16


class Layout(NamedTuple):
    """One axis that holds `outer` · batch · `inner` things, where it holds outer · inner for one.

    The batch is alone on its axis if both are 1. Heads behind it (batch · heads) are `inner`,
    windows before it (windows · batch) are `outer`. All things of one member, in their order, are
    what the graph computes for that member alone: that is what a layout states.
    """

    axis: int
    outer: int = 1
    inner: int = 1

    @property
    def size(self) -> int:
        """The size of the axis for a batch of one."""
        return self.outer * self.inner

    def at(self, axis: int) -> Layout:
        """Returns the same on another axis."""
        return self._replace(axis=axis)


#: The batch as it comes in and goes out: the first axis, alone.
FIRST = Layout(0)


@dataclass(frozen=True)
class Step:
    """One way to compute a node with a free batch.

    Attributes:
        outputs: Where the batch lies in each output; None where there is none.
        repeats: Inputs without a batch that are repeated for every member, to these layouts.
        stored: Inputs that are stored anew, as these integers.
        target: The shape of a Reshape that takes the node's place.
    """

    outputs: tuple[Layout | None, ...]
    repeats: Mapping[int, Layout] = field(default_factory=dict)
    stored: Mapping[int, list[int]] = field(default_factory=dict)
    target: list[int] | None = None


def regroup(before: Sequence[Size], layout: Layout, after: Sequence[Size]) -> list[Layout]:
    """Returns where the batch may lie after a Reshape, which leaves all numbers in their order.

    The batch stays between the same numbers, so it may join the end of one axis, the begin of the
    next, or any axis of one in between: [tokens, 1, width] becomes [tokens, heads, width / heads]
    with tokens · batch or batch · heads. Later nodes tell which it was. Where there is an axis of
    one, it is the batch's: a graph that then sums over it, say, is not to be freed.
    """
    if 0 in before or 0 in after or max(len(before), len(after)) > MAX_AXES:
        return []
    ahead = product([*before[: layout.axis], layout.outer])
    behind = product([layout.inner, *before[layout.axis + 1 :]])
    found = []
    for axis, size in enumerate(after):
        if not isinstance(size, int):
            continue
        outer = _quotient(ahead, product(after[:axis]))
        inner = _quotient(behind, product(after[axis + 1 :]))
        if outer is None and inner is None:
            continue
        # Free sizes may hide one of them: it follows from the other.
        outer = size // inner if outer is None and inner else outer
        inner = size // outer if inner is None and outer else inner
        if outer and inner and outer * inner == size:
            found.append(Layout(axis, outer, inner))
    return [x for x in found if x.size == 1] or found


def _quotient(
    whole: tuple[int, list[str]] | None, part: tuple[int, list[str]] | None
) -> int | None:
    """Returns a quotient of products of sizes; 0 if it is not whole, None if it is not known."""
    if whole is None or part is None or whole[1] != part[1]:
        return None
    return whole[0] // part[0] if whole[0] % part[0] == 0 else 0
