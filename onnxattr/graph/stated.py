"""What is said of a model, by whom: the user's options, a file beside it, its metadata."""

from collections.abc import Sequence

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
    said = [] if model.sidecar is None else [said_beside(model.sidecar, model.name)]
    said.insert(0, _option(model, options or InputOptions(), said))
    named = next((s.input for s in said if s.input is not None), None)
    return Stated(*said, *said_inside(model.proto, named))


def _option(model: Model, options: InputOptions, others: Sequence[Statement]) -> Statement:
    """Returns what the user says, which holds for all models of a run, of those inputs it has.

    A number for the input that takes the probe of this model is meant for another one.
    """
    stored = {tensor.name for tensor in model.proto.graph.initializer}
    names = {v.name for v in model.proto.graph.input if v.name not in stored}
    if len(names) < 2:
        return Statement(OPTION, options)
    names.discard(options.name or next((s.input for s in others if s.input), ""))
    fixed = {name: number for name, number in options.fixed or () if name in names}
    return Statement(OPTION, options, input=options.name, fixed=fixed)
