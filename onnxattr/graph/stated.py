"""What is said of a model, by whom: the user's options, a file beside it, its metadata."""

from onnxattr.graph.metadata import said_inside
from onnxattr.graph.options import InputOptions
from onnxattr.graph.sidecar import said_beside
from onnxattr.graph.statement import Stated, Statement
from onnxattr.types import OPTION, Model

__all__ = ["Stated", "Statement", "stated"]


def stated(model: Model, options: InputOptions | None = None) -> Stated:
    """Returns what is said of `model`: by options, by its sidecar, by its metadata.

    Raises:
        ModelInputError: Its sidecar makes no sense.
    """
    said = [Statement(OPTION, options or InputOptions())]
    if model.sidecar is not None:
        said.append(said_beside(model.sidecar, model.name))
    named = next((s.input for s in said if s.input is not None), None)
    return Stated(*said, *said_inside(model.proto, named))
