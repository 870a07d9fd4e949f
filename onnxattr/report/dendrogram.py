"""Where the lines of a tree of models stand, whatever draws them. Reads `types` alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnxattr.types import Join, ModelMap


@dataclass(frozen=True)
class Fork:
    """One join as three lines: along, across, along.

    Attributes:
        distance: At which both groups are joined, where the line across stands.
        rows: Lines of the two groups, the upper one first: leaves are on 0, 1, …
        starts: Distances from which their lines come: those of their own joins, 0 of a leaf.
        leaves: Places of the first and of the last leaf of both.
        second: Place of the first leaf of the second group, which is below the gap that it closes.
    """

    distance: float
    rows: tuple[float, float]
    starts: tuple[float, float]
    leaves: tuple[int, int]
    second: int


def forks(result: ModelMap) -> list[Fork]:
    """Returns the joins of the tree, the nearest first; a join is midway between its groups."""
    places = {leaf: place for place, leaf in enumerate(result.leaves)}
    # Row, distance, first and last leaf of each group that there is so far.
    groups: dict[int, tuple[float, float, int, int]] = {
        leaf: (float(place), 0.0, place, place) for leaf, place in places.items()
    }
    found = []
    for number, join in enumerate(result.joins, len(result.leaves)):
        upper, lower = groups[join.first], groups[join.second]
        # Rounding may bring a join below one that it holds.
        distance = max(join.distance, upper[1], lower[1])
        rows, starts = (upper[0], lower[0]), (upper[1], lower[1])
        found.append(Fork(distance, rows, starts, (upper[2], lower[3]), lower[2]))
        groups[number] = (sum(rows) / 2, distance, upper[2], lower[3])
    return found


def gaps(result: ModelMap) -> list[float]:
    """Returns at which distance each leaf but the first is joined with the one above it.

    Every join closes one gap between neighbouring leaves, so these are all there are.
    """
    found = {fork.second: fork.distance for fork in forks(result)}
    return [found[place] for place in range(1, len(result.leaves))]


def scale(joins: Sequence[Join]) -> tuple[float, float]:
    """Returns the distances at which the axis of a tree begins and ends.

    It begins at 0, but where all joins are in the outer half: there it begins a little before the
    nearest one, so that they can be told apart.
    """
    far = max((join.distance for join in joins), default=0.0)
    near = min((join.distance for join in joins), default=0.0)
    if not far:
        return 0.0, 1.0
    if near < far / 2:
        return 0.0, far
    step = 10.0 ** math.floor(math.log10(far) - 1)
    return max(math.floor((near - (far - near) / 8) / step) * step, 0.0), far
