"""What a parent and its workers say to each other about models and probes."""

import math
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxattr import errors
from onnxattr.attribution.methods import Method
from onnxattr.attribution.reductions import Reduction
from onnxattr.errors import OnnxattrError, WorkerError
from onnxattr.graph.options import InputOptions
from onnxattr.limits import Limits
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.space.measures.table import OUTPUTS, REPRESENTATION
from onnxattr.types import (
    ARRAY,
    IMAGE,
    TOKENS,
    Failure,
    Finding,
    GradientCheck,
    Identity,
    InputSpec,
    Inspection,
    Origin,
    Representation,
    Sidecar,
)

_ERRORS: dict[str, type[OnnxattrError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, OnnxattrError)
    and kind not in (OnnxattrError, errors.RankingError)
}


class Array(msgspec.Struct, frozen=True):
    """An array as bytes, in C order and the machine's own byte order."""

    shape: tuple[int, ...]
    data: bytes


class Place(msgspec.Struct, frozen=True):
    """Where and within which bounds a worker works.

    Attributes:
        device: As the user asked for it.
        threads: Of the CPU; 0 for the libraries' own choice.
        memory: Bytes.
        limits: What a model may cost.
        folder: Directory that relative paths start from.
    """

    device: str
    threads: int
    memory: int
    limits: Limits
    folder: bytes


class Source(msgspec.Struct, frozen=True):
    """A model: the path of its file, or its bytes and what was written beside them."""

    name: str
    path: bytes | None = None
    data: bytes | None = None
    sidecar: Sidecar | None = None


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Asks whether work can be done in a place."""

    place: Place


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Names the device that was chosen."""

    device: str


class Decode(msgspec.Struct, frozen=True, tag=True):
    """Asks for probes, of several arrays for the one of that name."""

    place: Place
    sources: tuple[bytes, ...] | None
    limit: int | None
    name: str | None = None


class Decoded(msgspec.Struct, frozen=True, tag=True):
    """Probes, as `types.Probes` has them, and what was left out."""

    values: Array
    names: tuple[str, ...]
    source: str
    failures: tuple[Failure, ...]
    kind: str = IMAGE


class Examine(msgspec.Struct, frozen=True, tag=True):
    """Asks for what a model is; requests for its maps follow, until `End`.

    Attributes:
        place: Where to work.
        source: The model.
        at: As for `rank`.
        input: What the user says of its input.
        methods: By which maps are made.
        reduction: How T is made of the units.
        seed: Of all that methods draw.
        background: Probes that methods compare others with, as `types.Probes` has them, or None.
        precision: Of the arithmetic.
        compile: Whether torch compiles the network.
        batch_size: Probes at a time; None for the default.
        kind: What probes are.
        shape: Of one probe.
        units: Parts that measures compare, of `UNITS`, which are wanted beside the maps.
    """

    place: Place
    source: Source
    at: str | None
    input: InputOptions
    methods: tuple[Method, ...]
    reduction: Reduction
    batch_size: int | None
    seed: int = 0
    background: Array | None = None
    precision: str = "float32"
    compile: bool = False
    kind: str = IMAGE
    shape: tuple[int, ...] = ()
    units: tuple[str, ...] = ()


class Described(msgspec.Struct, frozen=True, tag=True):
    """What a model is, and where its maps will be computed.

    Attributes:
        sha256: Hash over its bytes.
        external: Whether the hash is also over a second file.
        origin: Who wrote it.
        opset: Version of the default operator set.
        parameters: Number of floating-point weights.
        spec: How probes are fed to it.
        representation: What is attributed.
        device: Where.
        outputs: The tensor of the model's outputs beside the representation, or ''.
    """

    sha256: str
    external: bool
    origin: Origin
    opset: int
    parameters: int
    spec: InputSpec
    representation: Representation
    device: str
    outputs: str = ""


class Attribute(msgspec.Struct, frozen=True, tag=True):
    """Asks for the maps of some probes.

    Attributes:
        images: The probes, images or not, as `types.Probes` has them.
        check: Whether the gradient is checked on them, too.
    """

    images: Array
    check: bool


class Observe(msgspec.Struct, frozen=True, tag=True):
    """Asks for the units of some probes, whose maps are known already."""

    images: Array


class Trace(msgspec.Struct, frozen=True, tag=True):
    """Asks for the gradient fields of some probes, and for the units that come on the way.

    Attributes:
        images: The probes.
        references: As many, from which the ways to them lead.
        check: Whether the gradient is checked on them, too.
    """

    images: Array
    references: Array
    check: bool


class Units(msgspec.Struct, frozen=True):
    """Units of some probes, or why there are none; see `attribution.units.Arranged`."""

    values: Array | None
    whole: tuple[int, ...] = ()
    lacking: str = ""


class Checked(msgspec.Struct, frozen=True):
    """What was measured while a gradient was taken; of black-box maps, the batch alone.

    There is neither parity nor its tolerance where nothing was converted.
    """

    batch: int
    parity: float | None
    tolerance: float | None
    gradient: GradientCheck | None
    settings: dict[str, bool | int | str] = {}


class Observed(msgspec.Struct, frozen=True, tag=True):
    """Units and fields by part, the wall time that they took, and what was measured of a field."""

    units: dict[str, Units]
    seconds: dict[str, float]
    checked: Checked | None = None


class Attributed(msgspec.Struct, frozen=True, tag=True):
    """Maps, float32 [method, probe, …], and what was measured while they were made.

    Of black-box maps there is neither parity nor its tolerance: nothing was converted. Beside them
    are the units that were asked for, by part.
    """

    maps: Array
    batch: int
    parity: float | None
    tolerance: float | None
    gradient: GradientCheck | None
    seconds: dict[str, float]
    settings: dict[str, bool | int | str] = {}
    units: dict[str, Units] = {}


class End(msgspec.Struct, frozen=True, tag=True):
    """Says that no more maps of this model are wanted."""


class Inspect(msgspec.Struct, frozen=True, tag=True):
    """Asks for what a model is, without maps."""

    place: Place
    source: Source
    at: str | None
    input: InputOptions
    check: bool


class Inspected(msgspec.Struct, frozen=True, tag=True):
    """What a model is."""

    inspection: Inspection


class Stamp(msgspec.Struct, frozen=True, tag=True):
    """Asks for a model file with its spec in its metadata."""

    place: Place
    source: Source
    at: str | None
    input: InputOptions


class Stamped(msgspec.Struct, frozen=True, tag=True):
    """A model file, what its metadata says, and whether there is a second file with weights."""

    data: bytes
    spec: InputSpec
    external: bool


class Watch(msgspec.Struct, frozen=True, tag=True):
    """Asks what a model makes of some probes, fed in one way or several; nothing is converted.

    Attributes:
        place: Where to work.
        source: The model.
        at: As for `rank`.
        inputs: Ways to feed it; one that comes to the same as an earlier one is not run again.
        kind: What probes are.
        images: The probes, as `types.Probes` has them.
        layers: Whether tensors within the model are wanted, too, and two runs compared.
    """

    place: Place
    source: Source
    at: str | None
    inputs: tuple[InputOptions, ...]
    kind: str
    images: Array
    layers: bool = False


class Way(msgspec.Struct, frozen=True):
    """What a model made of probes that it was fed in one way.

    Attributes:
        spec: The way; None where there is no such one.
        units: By part: `representation`, `outputs`, `early:I`, `late:I`.
        refusal: Why there are none; '' where it is the same way as an earlier one, too.
        deterministic: Whether two runs gave the same bits; None where there was one.
    """

    spec: InputSpec | None
    units: dict[str, Units] = {}
    refusal: str = ""
    deterministic: bool | None = None


class Watched(msgspec.Struct, frozen=True, tag=True):
    """What a model made of probes, a way each, and what its file was found to hold."""

    ways: tuple[Way, ...]
    findings: tuple[Finding, ...] = ()


class Weigh(msgspec.Struct, frozen=True, tag=True):
    """Asks for what a model is and for its weights."""

    place: Place
    source: Source


class Weighing(msgspec.Struct, frozen=True, tag=True):
    """Says what a model is; so many layers follow, each in a message."""

    identity: Identity
    external: bool
    layers: int
    streams: Array
    omitted: tuple[str, ...]


class WeighedLayer(msgspec.Struct, frozen=True, tag=True):
    """One layer, as `types.Layer` has it."""

    name: str
    operator: str
    depth: int
    depthwise: bool
    weight: Array
    bias: Array | None
    writes: Array
    reads: Array
    places: Array
    gains_out: Array
    gains_in: Array


class FindIdle(msgspec.Struct, frozen=True, tag=True):
    """Asks which layers do nothing for what a model makes of some probes.

    Attributes:
        place: Where to work.
        source: The model.
        at: As for `rank`.
        input: How it is fed.
        kind: What probes are.
        images: The probes, as `types.Probes` has them.
    """

    place: Place
    source: Source
    at: str | None
    input: InputOptions
    kind: str
    images: Array


class Idle(msgspec.Struct, frozen=True, tag=True):
    """Says of how many layers which do nothing, by their places among those of `Weighing`."""

    layers: int
    idle: tuple[int, ...]


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Says why what was asked for cannot be had."""

    kind: str
    message: str
    hint: str


Request = (
    Hello
    | Decode
    | Examine
    | Attribute
    | Trace
    | Observe
    | End
    | Inspect
    | Stamp
    | Watch
    | Weigh
    | FindIdle
)


#: Parts of what a model makes of probes that measures compare beside its maps.
UNITS = (REPRESENTATION, OUTPUTS)

#: Types of probes, by their kind.
DTYPES: dict[str, type[np.generic]] = {IMAGE: np.uint8, ARRAY: np.float32, TOKENS: np.int64}


def pack(array: np.ndarray[Any, Any]) -> Array:
    """Returns `array` as bytes."""
    return Array(array.shape, np.ascontiguousarray(array).tobytes())


def unpack(array: Array, dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Returns an array, once it is what it must be; −1 in `shape` stands for any size.

    Raises:
        WorkerError: It is something else.
    """
    fits = len(array.shape) == len(shape) and all(
        size >= 0 and wanted in (-1, size) for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or len(array.data) != math.prod(array.shape) * np.dtype(dtype).itemsize:
        raise WorkerError("its worker sent an array of another shape than was asked for")
    return np.frombuffer(array.data, dtype).reshape(array.shape)


def refusal_of(error: BaseException) -> Refusal:
    """Returns what a worker says of an error."""
    if isinstance(error, OnnxattrError):
        return Refusal(type(error).__name__, printable(error.message), printable(error.hint))
    if isinstance(error, MemoryError):
        hint = "--max-memory allows more; --batch-size or --size with smaller numbers take less"
        return Refusal("LimitError", "it takes more memory than it may have", hint)
    if "can't allocate memory" in str(error):  # As torch says it on the CPU.
        return refusal_of(MemoryError())
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, RecursionError):
        return Refusal("SupportError", f"its graph is nested too deeply ({reason})"[:200], "")
    return Refusal("WorkerError", printable(reason), "this is a bug in onnxattr")


def error_of(refusal: Refusal, name: str) -> OnnxattrError:
    """Returns the error that a worker met, on the side of its parent."""
    kind = _ERRORS.get(refusal.kind, WorkerError)
    message = clean(refusal.message, MAX_TEXT) or "its worker gave no reason"
    return kind(message, hint=clean(refusal.hint, MAX_TEXT), model=name)


def printable(text: str) -> str:
    """Returns `text` without what UTF-8 cannot hold, at most 4096 characters of it."""
    text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def source_of(name: str, path: str | Path) -> Source:
    """Returns a model file as a worker is told of it."""
    return Source(printable(name), path=os.fsencode(path))
