"""The one way of strings from files to readers. Imports nothing of ours."""

import unicodedata

#: A name longer than this is no name but an attack on the reader's screen.
MAX_NAME = 500

#: Of a message or of a string in a data format: that of the longest path.
MAX_TEXT = 4096


def clean(text: str, limit: int = MAX_NAME) -> str:
    r"""Returns `text` on one line without anything that moves a cursor, hides or reorders.

    Control, formatting (bidirectional, zero-width), surrogate and private characters are written as
    escapes. Every string that comes from a file passes here on its way to a reader.

    Args:
        text: Anything.
        limit: The number of characters that are kept.

    Example:
        >>> clean("a\x1b[31mb\u202ec")
        'a\\x1b[31mb\\u202ec'
    """
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if visible(c) else c.encode("unicode_escape").decode() for c in text)


def visible(character: str) -> bool:
    """Returns whether a character can be seen, and moves nothing."""
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")
