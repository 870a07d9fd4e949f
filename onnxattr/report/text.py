"""Words and numbers for people: the one sanitiser, and short forms of figures."""

import unicodedata

#: A name longer than this is no name but an attack on the reader's screen.
_MAX_LENGTH = 500


def clean(text: str) -> str:
    r"""Returns `text` on one line without anything that moves a cursor, hides or reorders.

    Control, formatting (bidirectional, zero-width), surrogate and private characters are written as
    escapes. Every string that comes from a file passes here on its way to a reader.

    Example:
        >>> clean("a\x1b[31mb\u202ec")
        'a\\x1b[31mb\\u202ec'
    """
    text = text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"
    return "".join(c if _visible(c) else c.encode("unicode_escape").decode() for c in text)


def _visible(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")


def short_count(count: int) -> str:
    """Returns a number of parameters in at most five characters: `88.4k`, `11.7M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return (
                f"{count / size:.3g}{letter}"
                if count < 999.5 * size
                else f"{count / size:.0f}{letter}"
            )
    return str(count)


def cosine(value: float) -> str:
    """Returns a cosine with three digits behind the point."""
    return f"{value:.3f}"


def interval(low: float, high: float) -> str:
    """Returns an interval of cosines."""
    return f"{low:.2f} to {high:.2f}"


def rank(number: int, tied: bool) -> str:
    """Returns a rank; `=` says that it is shared."""
    return f"{number}=" if tied else str(number)
