"""Which tensor is attributed, once it is known who says so."""

import dataclasses

from onnxattr.errors import ModelInputError, UsageError
from onnxattr.graph.options import DEFAULT_AT
from onnxattr.graph.outputs import representation
from onnxattr.graph.stated import stated
from onnxattr.limits import Limits
from onnxattr.types import InputSpec, Model, Representation


def attributed(
    model: Model,
    at: str | None = None,
    spec: InputSpec | None = None,
    limits: Limits | None = None,
) -> tuple[Representation, str]:
    """Returns the tensor that is attributed, with the rule that found it, and what was asked for.

    Args:
        model: A model as it was given.
        at: As for `outputs.representation`; None asks its sidecar, then its metadata, and then for
            `feature`.
        spec: How probes are fed to it, if that is known.
        limits: What looking for a bottleneck may cost.

    Raises:
        UsageError: `at` names nothing in the model.
        LimitError: Its shapes are a bomb.
        ModelInputError: The sidecar names nothing in the model, or makes no sense.
    """
    if at is not None:
        return representation(model, at, spec, limits), at

    def misfit(name: str) -> str:
        try:
            representation(model, name, spec, limits)
        except UsageError:
            return "is not in the model"
        return ""

    said = stated(model)
    try:
        found = said("at", misfit)
    except ModelInputError as error:
        error.model = model.name
        raise
    place, who = found or (DEFAULT_AT, "")
    chosen = representation(model, place, spec, limits)
    rule = said.noted("at", f"{chosen.rule}, by {who}" if who else chosen.rule)
    return dataclasses.replace(chosen, rule=rule), place
