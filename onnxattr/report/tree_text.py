"""A tree of models as lines of text, one a leaf, with joins as far to the left as they are far."""

from onnxattr.report.dendrogram import forks, scale
from onnxattr.types import ModelMap

_LEFT, _RIGHT, _UP, _DOWN = 1, 2, 4, 8

#: The character for each set of directions that lines leave a cell in.
_CELLS = {
    0: " ",
    _LEFT: "─",
    _RIGHT: "─",
    _LEFT | _RIGHT: "─",
    _UP: "│",
    _DOWN: "│",
    _UP | _DOWN: "│",
    _RIGHT | _DOWN: "┌",
    _RIGHT | _UP: "└",
    _LEFT | _DOWN: "┐",
    _LEFT | _UP: "┘",
    _LEFT | _RIGHT | _DOWN: "┬",
    _LEFT | _RIGHT | _UP: "┴",
    _RIGHT | _UP | _DOWN: "├",
    _LEFT | _UP | _DOWN: "┤",
    _LEFT | _RIGHT | _UP | _DOWN: "┼",
}


def tree_lines(result: ModelMap, width: int) -> list[tuple[str, str]]:
    """Returns the tree's line for each leaf, and what stands below it where a row is higher.

    Args:
        result: With a tree.
        width: Characters of a line.
    """
    low, high = scale(result.joins)
    count = len(result.leaves)
    cells = [[0] * width for _ in range(count)]

    def column(distance: float) -> int:
        # The last column is that of leaves alone, and every join is before it.
        share = (high - max(distance, low)) / ((high - low) or 1.0)
        return min(round(share * (width - 1)), width - 2)

    def across(row: int, start: int, end: int) -> None:
        for place in range(start, end):
            cells[row][place] |= _RIGHT
            if place + 1 < width:
                cells[row][place + 1] |= _LEFT

    # Row and column at which the line of each group ends.
    ends = {leaf: (place, width) for place, leaf in enumerate(result.leaves)}
    for number, (join, fork) in enumerate(zip(result.joins, forks(result), strict=True), count):
        here = column(fork.distance)
        (upper, right), (lower, other) = ends[join.first], ends[join.second]
        across(upper, here, right)
        across(lower, here, other)
        for row in range(upper, lower):
            cells[row][here] |= _DOWN
            cells[row + 1][here] |= _UP
        ends[number] = ((upper + lower) // 2, here)
    return [
        (
            "".join(_CELLS[cell] for cell in row),
            "".join("│" if cell & _DOWN else " " for cell in row),
        )
        for row in cells
    ]


def axis_line(result: ModelMap, width: int) -> str:
    """Returns the distances at both ends of the tree's lines."""
    low, high = scale(result.joins)
    left, right = f"{high:.3g}", f"{low:.3g}"
    middle = "distance"
    room = width - len(left) - len(right)
    return left + (middle if room >= len(middle) + 2 else "").center(room) + right
