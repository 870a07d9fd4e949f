"""Small drawings that stand in the cells of a table: a value and its interval on one axis."""

import math

from markupsafe import Markup

#: Pixels of a drawing, and of what is free on either side for a point at an end.
_WIDTH, _EDGE = 110, 5


def span(value: float, low: float, high: float, ends: tuple[float, float]) -> Markup:
    """Returns a value as a point on its interval; nothing where it is no number.

    Args:
        value: Where the point is.
        low: Where the interval begins.
        high: Where it ends.
        ends: Of the axis, the same in all rows of a table.
    """
    if not math.isfinite(value):
        return Markup("")

    def x(number: float) -> str:
        share = (number - ends[0]) / ((ends[1] - ends[0]) or 1.0)
        place = _EDGE + min(max(share, 0.0), 1.0) * (_WIDTH - 2 * _EDGE)
        return f"{place:.1f}".removesuffix(".0")

    bar = ""
    if math.isfinite(low) and math.isfinite(high):
        bar = f'<path class="bar" d="M{x(low)} 7H{x(high)}"/>'
    zero = f'<path class="axis" d="M{x(0.0)} 1v12"/>' if ends[0] < 0 < ends[1] else ""
    return Markup(
        f'<svg class="span" width="{_WIDTH}" height="14" aria-hidden="true">'
        f'<path class="axis" d="M0 7h{_WIDTH}"/>{zero}{bar}<circle cx="{x(value)}" cy="7" r="4"/>'
        "</svg>"
    )


def ends_of(numbers: list[float]) -> tuple[float, float]:
    """Returns the ends of an axis for these numbers: tenths, with 0 on it."""
    known = [number for number in numbers if math.isfinite(number)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return min(math.floor(low * 10) / 10, 0.0), max(math.ceil(high * 10) / 10, 0.0)
