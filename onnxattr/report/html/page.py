"""A page as one file of HTML: nothing is fetched, and no script runs but ours.

Imports `blocks`, Jinja2 and `sanitise`. Every string passes `clean` and Jinja's escaping on its way
into the page. A content-security policy forbids what could still come of one that did not: it names
our one style sheet and our one script by their hashes, and allows pictures from within the page.
"""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from onnxattr.report.html.blocks import Page
from onnxattr.report.html.colors import heat_rules
from onnxattr.sanitise import MAX_TEXT, clean

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent

#: What would end a script, start a comment, or end a line of one, inside a page.
_UNSAFE = str.maketrans(
    {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}
)


def render(page: Page) -> str:
    """Returns a page as HTML; the same bytes for the same input."""
    style, script = _style(), _asset("page.js")
    text = (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
            result=embedded(json.loads(page.result)),
            data=embedded(page.data),
        )
    )
    return text if text.endswith("\n") else text + "\n"


def embedded(value: Any) -> Markup:
    r"""Returns a value as JSON that cannot end the element that it stands in.

    Example:
        >>> print(embedded({"name": "</script>"}))
        {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.translate(_UNSAFE))


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _style() -> str:
    return _asset("style.css") + heat_rules()


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        finalize=_cleaned,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _cleaned(value: Any) -> Any:
    """Returns what a template prints: our own markup as it is, all else as a harmless string."""
    return value if isinstance(value, Markup) else clean(str(value), MAX_TEXT)
