"""Words on pictures, in the font that Pillow brings."""

import unicodedata
from functools import cache

from PIL import ImageFont

from onnxattr.sanitise import clean

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: What the font has beside ASCII.
_MORE = "…·±"


@cache
def font(size: int) -> Font:
    """Returns the font of so many pixels."""
    return ImageFont.load_default(size)


def lettered(name: str) -> str:
    r"""Returns a vendor's string as the font can show it.

    Accents go; other letters that the font lacks are written as escapes, so that two names stay
    two.

    Example:
        >>> lettered("café-模.png")
        'cafe-\\u6a21.png'
    """
    plain = unicodedata.normalize("NFKD", clean(name))
    kept = (c for c in plain if not unicodedata.combining(c))
    return "".join(
        c if c.isascii() or c in _MORE else c.encode("unicode_escape").decode() for c in kept
    )


def shortened(text: str, width: float, size: int) -> str:
    """Returns `text` with its middle left out, where it is wider than `width` pixels.

    Both ends of a name tell more than its middle: the family in front, the variant behind.
    """
    letters = font(size)
    if letters.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        front = (kept + 1) // 2
        short = f"{text[:front]}…{text[len(text) - (kept - front) :]}"
        if letters.getlength(short) <= width:
            return short
    return text[:1]


def wrapped(text: str, width: float, size: int) -> list[str]:
    """Returns `text` in lines of at most `width` pixels, broken at spaces."""
    letters, lines = font(size), [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and letters.getlength(longer) > width:
            lines.append(shortened(word, width, size))
        else:
            lines[-1] = longer
    return [shortened(line, width, size) for line in lines]
