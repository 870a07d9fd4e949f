"""How a result shows itself in a notebook."""

from importlib import import_module

#: Where pages are made. Records stand below all layers and reports near the top, so it is found by
#: its name, as the façade finds what it exports, and only when a notebook asks.
_MAKER = "onnxattr.report.html.notebook"


class Shown:
    """A result with a piece of HTML for notebooks."""

    def _repr_html_(self) -> str:
        piece: str = import_module(_MAKER).fragment(self)
        return piece
