"""What `inspect` says of files before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxattr.types.models import Failure, GradientCheck, InputSpec, Origin, Parity, Representation


@dataclass(frozen=True)
class Unsupported:
    """An operator that stops a conversion or a gradient, and the vendor's nodes that use it."""

    operator: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class TailNode:
    """One of the last nodes of a vendor's graph.

    Attributes:
        op_type: Its operator.
        name: Its own (possibly empty) name.
        value: The tensor that it makes.
        shape: Type and shape of that for one probe, as text; empty where they are not known.
        chosen: Whether that is attributed.
        output: Whether that is an output of the graph.
        skipped: Nodes before it that are left out.
    """

    op_type: str
    name: str
    value: str
    shape: str
    chosen: bool
    output: bool
    skipped: int = 0


@dataclass(frozen=True)
class Refused:
    """An operator that has a converter, which refuses nodes of the vendor's.

    Attributes:
        operator: Its type.
        reason: What is refused: an attribute, a type, a shape, ….
        nodes: The vendor's nodes.
        certain: Whether that alone stops the model; not where a branch or a loop may never be run,
            or a size is a guess.
    """

    operator: str
    reason: str
    nodes: tuple[str, ...]
    certain: bool = True


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found in one model, which is converted, and run only if asked for.

    Attributes:
        name: The model.
        path: The file as it was given, or an empty string.
        sha256: Hash over its bytes.
        origin: Who wrote it.
        opset: Version of the default operator set.
        parameters: Number of weights, floating-point or quantised.
        inputs: Name and shape of each input, as text.
        outputs: Name and shape of each output, as text.
        spec: How probes would be fed, or None where no input fits.
        representation: What would be attributed, or None where nothing fits.
        unsupported: Operators without a converter on the way to the representation.
        gradientless: Operators on that way at which a gradient ends.
        remedy: What can be attributed instead where the representation has no gradient, or ''.
        refused: Operators on that way that are refused for their attributes, types or shapes.
        unchecked: Operators on that way of which shapes did not tell whether they are refused:
            values must be read, as behind NonZero.
        at: What is asked for, by the user or by whom `representation` names.
        fixed: Values of the inputs that are not the probe, as the sidecar says.
        problems: Why it could not be ranked, a line each; empty when it could.
        parity: Distance from ONNX Runtime on a few probes, or None where it was not run.
        gradient: Distance of the gradient from finite differences through ONNX Runtime, likewise.
        tail: The last nodes of the graph, with what was chosen.
    """

    name: str
    path: str
    sha256: str
    origin: Origin
    opset: int
    parameters: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    spec: InputSpec | None
    representation: Representation | None
    unsupported: tuple[Unsupported, ...]
    problems: tuple[str, ...]
    parity: Parity | None = None
    gradient: GradientCheck | None = None
    gradientless: tuple[Unsupported, ...] = ()
    remedy: str = ""
    refused: tuple[Refused, ...] = ()
    unchecked: tuple[Unsupported, ...] = ()
    at: str = "feature"
    fixed: Mapping[str, float] = field(default_factory=dict)
    tail: tuple[TailNode, ...] = ()


@dataclass(frozen=True)
class Survey:
    """The outcome of `inspect`.

    Attributes:
        models: What was found in each model.
        failures: Files that are no models.
    """

    models: tuple[Inspection, ...]
    failures: tuple[Failure, ...]
