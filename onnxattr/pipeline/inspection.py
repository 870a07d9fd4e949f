"""What one model is; runs in a worker."""

from collections.abc import Callable

from onnxattr.errors import OnnxattrError
from onnxattr.graph.array_input import shown_input
from onnxattr.graph.budget import require_budget
from onnxattr.graph.normalise import normalise
from onnxattr.graph.options import InputOptions
from onnxattr.graph.outputs import representation
from onnxattr.graph.several import describe, graph_inputs
from onnxattr.graph.walk import short
from onnxattr.limits import Limits
from onnxattr.pipeline.messages import Attributed, printable
from onnxattr.types import InputSpec, Inspection, Model, Parity, Representation, Unsupported


def inspect_model(
    model: Model,
    at: str,
    options: InputOptions,
    limits: Limits,
    trial: Callable[[], Attributed] | None = None,
) -> Inspection:
    """Returns what `model` is, and all that stops it from being ranked.

    Args:
        model: A model as it was given.
        at: As for `rank`.
        options: What the user says of the input.
        limits: What it may cost.
        trial: Runs it on a few probes, with all checks; None does not run it.
    """
    from onnxattr.convert.support import gradientless, remedy, unsupported
    from onnxattr.convert.torch import to_network

    problems: list[str] = []
    spec: InputSpec | None = None
    chosen: Representation | None = None
    missing: tuple[Unsupported, ...] = ()
    ends: tuple[Unsupported, ...] = ()
    instead = ""
    tried: Attributed | None = None
    bomb = False
    try:
        spec = shown_input(model, options)
        require_budget(model, spec, limits)
    except OnnxattrError as error:
        bomb = spec is not None
        problems.append(error.message)
    try:
        chosen = representation(model, at)
        if not bomb:  # Inference of its shapes alone may take all memory.
            dialect = normalise(model, outputs=[chosen.value], spec=spec)
            inner = spec.at if spec else ""
            missing, ends = unsupported(dialect), gradientless(dialect, inner)
            instead = printable(remedy(dialect, inner))
    except OnnxattrError as error:
        problems.append(error.message)
    if missing:
        problems.append("no converter for " + ", ".join(f"`{u.operator}`" for u in missing))
    elif instead:
        problems.append(f"`{short(chosen.value) if chosen else at}` has no gradient")
    if not problems:
        # Converters read constants and attributes that the list of operators does not show.
        try:
            if trial:
                tried = trial()
            else:
                to_network(model, at=at, spec=spec)
        except OnnxattrError as error:
            problems.append(error.message)
    graph = model.proto.graph
    return Inspection(
        name=model.name,
        path="",
        sha256=model.sha256,
        origin=model.origin,
        opset=model.opset,
        parameters=model.parameters,
        inputs=tuple(f"{v.name} {describe(v)}" for v in graph_inputs(graph)),
        outputs=tuple(f"{v.name} {describe(v)}" for v in graph.output),
        spec=spec,
        representation=chosen,
        unsupported=missing,
        problems=tuple(map(printable, problems)),
        parity=Parity(tried.parity, tried.tolerance, tried.maps.shape[0]) if tried else None,
        gradient=tried.gradient if tried else None,
        gradientless=ends,
        remedy=instead,
    )
