"""What one model is; runs in a worker."""

from collections.abc import Callable, Mapping

from onnxattr.errors import OnnxattrError
from onnxattr.graph.array_input import shown_input
from onnxattr.graph.attributed import attributed
from onnxattr.graph.budget import require_budget
from onnxattr.graph.normalise import normalise
from onnxattr.graph.options import DEFAULT_AT, InputOptions
from onnxattr.graph.several import describe, graph_inputs
from onnxattr.graph.stated import stated
from onnxattr.graph.tail import tail
from onnxattr.graph.walk import short
from onnxattr.limits import Limits
from onnxattr.pipeline.blackbox import POSSIBLE
from onnxattr.pipeline.messages import Attributed, printable
from onnxattr.types import InputSpec, Inspection, Model, Parity, Representation, Unsupported


def inspect_model(
    model: Model,
    at: str | None,
    options: InputOptions,
    limits: Limits,
    trial: Callable[[], Attributed] | None = None,
    runs: Callable[[InputSpec, Representation], bool] = lambda spec, chosen: False,
) -> Inspection:
    """Returns what `model` is, and all that stops it from being ranked.

    Args:
        model: A model as it was given.
        at: As for `rank`.
        options: What the user says of the input.
        limits: What it may cost.
        trial: Runs it on a few probes, with all checks; None does not run it.
        runs: Whether ONNX Runtime takes it, for a black-box method, where nothing else does.
    """
    from onnxattr.convert.refusals import Refusals, refusals
    from onnxattr.convert.support import gradientless, remedy, unsupported

    problems: list[str] = []
    spec: InputSpec | None = None
    chosen: Representation | None = None
    missing: tuple[Unsupported, ...] = ()
    ends: tuple[Unsupported, ...] = ()
    found = Refusals()
    instead = ""
    tried: Attributed | None = None
    place = at or DEFAULT_AT
    fixed: Mapping[str, float] = {}
    bomb = False
    try:
        spec = shown_input(model, options)
        require_budget(model, spec, limits)
    except OnnxattrError as error:
        bomb = spec is not None
        problems.append(error.message)
    try:
        chosen, place = attributed(model, at, spec, limits)
        fixed = stated(model).fixed
        if not bomb:  # Inference of its shapes alone may take all memory.
            dialect = normalise(model, outputs=[chosen.value], spec=spec)
            inner = spec.at if spec else ""
            missing, ends = unsupported(dialect), gradientless(dialect, inner)
            instead = printable(remedy(dialect, inner))
            found = refusals(dialect, spec, limits)
    except OnnxattrError as error:
        problems.append(error.message)
    if missing:
        problems.append("no converter for " + ", ".join(f"`{u.operator}`" for u in missing))
    elif instead:
        problems.append(f"`{short(chosen.value) if chosen else place}` has no gradient")
    problems += [
        f"the converted network cannot be run: {refused.operator}: {refused.reason}"
        for refused in found.refused
        if refused.certain
    ]
    if trial and not problems:
        try:
            tried = trial()
        except OnnxattrError as error:
            problems.append(error.message)
    if problems and spec and chosen and not bomb and runs(spec, chosen):
        instead = "; ".join(filter(None, [instead, POSSIBLE]))
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
        parity=_parity(tried),
        gradient=tried.gradient if tried else None,
        gradientless=ends,
        remedy=instead,
        refused=found.refused,
        unchecked=found.unchecked,
        at=place,
        fixed=fixed,
        tail=tail(model, chosen, spec, shapes=not bomb),
    )


def _parity(tried: Attributed | None) -> Parity | None:
    if tried is None or tried.parity is None or tried.tolerance is None:
        return None
    return Parity(tried.parity, tried.tolerance, tried.maps.shape[1])  # [method, probe, …]
