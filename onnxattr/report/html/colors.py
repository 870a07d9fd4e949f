"""Colours of a page's heat maps: those of `palette`, as classes, since cells have no styles."""

import math

from markupsafe import Markup

from onnxattr.drawing import palette

#: Steps of colours on each side of zero; more could not be told apart in a table.
STEPS = 24

#: Share of the way to the strongest colour from which letters are white.
_DARK = 0.45


def heat_class(value: float | None, limit: float) -> str:
    """Returns the class of a value's colour: `p12`, `n3`, or `p0` for zero; `no` for none."""
    if value is None or not math.isfinite(value):
        return "no"
    step = round(min(max(value / (limit or 1.0), -1.0), 1.0) * STEPS)
    return f"p{step}" if step >= 0 else f"n{-step}"


def heat_rules() -> str:
    """Returns the rules of all classes, for the style sheet."""
    return "".join(
        f".heat td.{heat_class(step / STEPS, 1.0)}{{background:{_color(step / STEPS)};"
        f"color:{'#fff' if abs(step) > _DARK * STEPS else '#1b1f27'}}}\n"
        for step in range(-STEPS, STEPS + 1)
    )


def scale(low: str, high: str, *, signed: bool) -> Markup:
    """Returns a bar of the palette's colours with the numbers at its ends, and zero where it is."""
    steps = 48
    parts = []
    for step in range(steps):
        share = (step + 0.5) / steps
        color = _color(2 * share - 1 if signed else share, signed=signed)
        parts.append(f'<rect x="{step * 4}" width="4.5" height="10" fill="{color}"/>')
    middle = Markup('<text x="96" y="24" text-anchor="middle">0</text>') if signed else ""
    return Markup(
        '<svg class="scale" viewBox="0 0 192 28" width="192" height="28" role="img" '
        'aria-label="Colours from {low} to {high}">{bars}<text x="0" y="24">{low}</text>{middle}'
        '<text x="192" y="24" text-anchor="end">{high}</text></svg>'
    ).format(low=low, high=high, bars=Markup("".join(parts)), middle=middle)


def _color(share: float, *, signed: bool = True) -> str:
    table = palette.palette(signed)
    place = round(share * palette.STEPS) + (palette.STEPS if signed else 0)
    return "#" + "".join(f"{part:02x}" for part in table[place].tolist())
