"""A few maps on a terminal: half blocks in colour, or characters where there are no colours."""

from collections.abc import Iterator, Sequence

from PIL import Image
from rich.color import Color
from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.text import Text

from onnxattr.drawing import tiles
from onnxattr.report.pictures import Look, limits
from onnxattr.sanitise import clean
from onnxattr.types import IMAGE, TOKENS, Attributions

#: Characters of a map, and spaces between maps.
_WIDE, _HIGH, _GAP = 24, 12, 2

#: Rows of maps, which fill a screen; of these, of how many models there are.
_ROWS, _MODELS = 4, 2

#: From zero to the largest, for positive, negative and unsigned values.
_PLUS, _MINUS, _SIZE = " .:+*#", " '-=~%", " .:-=+*#%@"

#: Colours with which half blocks are worth while.
_ENOUGH = ("256", "truecolor")


def preview(result: Attributions, looks: Sequence[Look], console: Console) -> RenderableType:
    """Returns the maps of the first models on the first probes, as many as fit a line.

    Args:
        result: What was attributed; its maps have one axis or two.
        looks: One a method: what decides the colours.
        console: Its width, colours and encoding decide how.
    """
    count = max(1, min((console.width + _GAP) // (_WIDE + _GAP), len(result.probes.names)))
    colourful = console.color_system in _ENOUGH and not console.options.ascii_only
    colourful = colourful and not console.no_color
    parts: list[RenderableType] = []
    square = result.probes.kind == IMAGE
    if result.probes.kind != TOKENS:
        shape = result.probes.values.shape[1 : 3 if square else None]
        size = _size(shape, square=square)
        drawn = [tiles.draw_probe(probe, size) for probe in result.probes.values[:count]]
        parts += [Text("probes", "dim"), *_rows(drawn, colourful, _SIZE)]
    by_method = result.by_method()
    looks, every = looks[:_ROWS], len(looks)
    models = min(_MODELS, len(result.maps), max(1, _ROWS // len(looks)))
    for look in looks:
        maps = by_method[look.method]
        sizes = [_size(each.values.shape[1:], square=square) for each in maps]
        # Colours end where those of the means do that a character shows, not where single pixels
        # would: so little is left of these.
        few = [tiles.shrunk(m.values, size) for m, size in zip(maps, sizes, strict=True)]
        shown = list(zip(maps, few, sizes, limits(few, look), strict=True))[:models]
        for each, values, size, ends in shown:
            how = "unsigned"
            if look.signed:
                how = "signed, red +, blue -" if colourful else "signed"
            parts.append(
                Text.assemble((clean(each.model), "bold"), f"  {clean(look.method)}, {how}")
            )
            drawn = [
                tiles.draw_map(one, end, size, signed=look.signed)
                for one, end in zip(values[:count], ends[:count], strict=True)
            ]
            ramps = (_PLUS, _MINUS) if look.signed else (_SIZE,)
            parts += _rows(drawn, colourful, *ramps)
    says = f"{models} of {len(result.maps)} models, "
    says += f"{len(looks)} of {every} methods, " if len(looks) < every else ""
    says += f"{count} of {len(result.probes.names)} probes; colours end at the "
    says += f"{looks[0].clip:g}th percentile of what is shown, scale {looks[0].scale}"
    if not colourful and any(look.signed for look in looks):
        says += f"; positive {' '.join(_PLUS.strip())}, negative {' '.join(_MINUS.strip())}"
    return Group(*parts, Text(says, "dim"))


def _size(shape: tuple[int, ...], *, square: bool) -> tuple[int, int]:
    """Returns the pixels of a tile: a character is one wide and two high."""
    width, height = tiles.size_of(shape, _WIDE, square=square)
    height = min(height, 2 * _HIGH)
    return min(width, _WIDE), height + height % 2


def _rows(
    drawn: Sequence[Image.Image], colourful: bool, ramp: str, negative: str = ""
) -> Iterator[Text]:
    """Yields lines of pictures side by side; two rows of pixels are one of characters."""
    for y in range(0, drawn[0].height, 2):
        line = Text(no_wrap=True)
        for image in drawn:
            line.append(" " * _GAP if line else "")
            for x in range(image.width):
                upper, lower = (_pixel(image, x, y + row) for row in (0, 1))
                if colourful:
                    style = Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
                    line.append("▀", style)
                else:
                    line.append(_character(upper, lower, ramp, negative))
        line.rstrip()
        yield line


def _pixel(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    red, green, blue = found[:3]
    return int(red), int(green), int(blue)


def _character(
    upper: tuple[int, int, int], lower: tuple[int, int, int], ramp: str, negative: str
) -> str:
    """Returns what stands for two pixels: dense where they are dark, as the palettes have it."""
    red, green, blue = (one + other for one, other in zip(upper, lower, strict=True))
    dark = 1 - (0.299 * red + 0.587 * green + 0.114 * blue) / 510
    letters = negative if negative and blue > red else ramp
    # The palettes end at a tenth of white, not at black.
    return letters[min(int(dark * 1.15 * len(letters)), len(letters) - 1)]
