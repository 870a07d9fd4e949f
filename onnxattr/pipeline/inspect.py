"""What models are, before anything is run."""

from collections.abc import Sequence
from pathlib import Path

from onnxattr.errors import ModelInputError, OnnxattrError
from onnxattr.graph.find import find_models
from onnxattr.graph.inputs import describe, graph_inputs, image_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.graph.outputs import representation
from onnxattr.pipeline.space import failure_of
from onnxattr.types import (
    InputSpec,
    Inspection,
    Model,
    Representation,
    Survey,
    Unsupported,
)


def inspect(
    models: str | Path | Sequence[str | Path],
    *,
    at: str = "feature",
    input: InputOptions | None = None,
) -> Survey:
    """Returns what each model is and what would be attributed, and the files that are no models.

    Models are converted, and not run. Every operator without a converter is named, with its nodes.

    Args:
        models: One or several files, directories or glob patterns.
        at: As for `rank`.
        input: What the user says of the models' inputs.

    Example:
        >>> import onnxattr
        >>> (found,) = onnxattr.inspect(["samples/models/denoise-keras.onnx"]).models
        >>> found.origin.framework, found.spec.layout
        ('TensorFlow', 'NHWC')
    """
    found, failures = find_models(models)
    inspections = []
    for name, path in found.items():
        try:
            inspections.append(_inspect(load(path, name=name), at, input or InputOptions()))
        except Exception as error:
            failures.append(failure_of(name, error))
    return Survey(tuple(inspections), tuple(failures))


def _inspect(model: Model, at: str, options: InputOptions) -> Inspection:
    from onnxattr.convert.ops import OPERATORS
    from onnxattr.convert.support import unsupported
    from onnxattr.convert.torch import to_network
    from onnxattr.graph.normalise import normalise

    problems: list[str] = []
    spec: InputSpec | None = None
    chosen: Representation | None = None
    missing: tuple[Unsupported, ...] = ()
    try:
        spec = image_input(model, options)
    except ModelInputError as error:
        problems.append(error.message)
    try:
        chosen = representation(model, at)
        dialect = normalise(model, outputs=[chosen.value], spec=spec, own=OPERATORS)
        missing = unsupported(dialect)
    except OnnxattrError as error:
        problems.append(error.message)
    if missing:
        problems.append("no converter for " + ", ".join(f"`{u.operator}`" for u in missing))
    if not problems:
        # Converters read constants and attributes that the list of operators does not show.
        try:
            to_network(model, at=at, options=options)
        except OnnxattrError as error:
            problems.append(error.message)
    graph = model.proto.graph
    return Inspection(
        name=model.name,
        path=str(model.path or ""),
        sha256=model.sha256,
        origin=model.origin,
        opset=model.opset,
        parameters=model.parameters,
        inputs=tuple(f"{v.name} {describe(v)}" for v in graph_inputs(graph)),
        outputs=tuple(f"{v.name} {describe(v)}" for v in graph.output),
        spec=spec,
        representation=chosen,
        unsupported=missing,
        problems=tuple(problems),
    )
