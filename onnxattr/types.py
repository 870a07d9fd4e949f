"""The records that travel between the layers: frozen, without behaviour that needs a framework.

Imports `sanitise`, and `arrays`, onnx and torch for type checking only, so that importing it is
free; what `Maps` shows and converts itself with is imported when it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxattr.sanitise import clean

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import torch

    from onnxattr.arrays import Float32, Float64, UInt8

#: Where a value came from, in falling precedence. Shown beside every value that a user may doubt.
OPTION, SIDECAR, METADATA, GRAPH, ASSUMED = "option", "sidecar", "metadata", "graph", "assumed"

#: How a square probe becomes an input that is not square. `stretch`: it is resized to the input.
#: `crop`: it is resized to cover the input, and cut at the centre. `letterbox`: it is resized to
#: fit into the input, with grey around it.
RESIZE_RULES = ("stretch", "crop", "letterbox")


#: What probes are: images; arrays of floating point, fed as they are; whole numbers, that models
#: look up in a table.
IMAGE, ARRAY, TOKENS = KINDS = ("image", "array", "tokens")


@dataclass(frozen=True)
class Origin:
    """The framework and the exporter that wrote a file, for reporting only.

    Attributes:
        framework: `PyTorch`, `TensorFlow`, …, or `unknown`.
        exporter: The producer as the file names it, with its version.
    """

    framework: str
    exporter: str


@dataclass(frozen=True)
class Sidecar:
    """The text file beside a model that says how to feed it: `a.toml` for `a.onnx`.

    Attributes:
        name: Of the file, for messages.
        text: All of it.
    """

    name: str
    text: str


@dataclass(frozen=True)
class OnnxNode:
    """A node as the vendor's graph has it: its operator type and its own (possibly empty) name."""

    op_type: str
    name: str


@dataclass(frozen=True)
class Names:
    """The way back from our names to the vendor's.

    Attributes:
        nodes: Our node name → the vendor's node.
        values: Our value name → the vendor's value name.
    """

    nodes: Mapping[str, OnnxNode] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A model as it was given, or rewritten in our dialect.

    Attributes:
        name: Unique within one ranking.
        path: The file, or None for a model that was given in memory.
        sha256: Hash over the bytes of the file and of its external data.
        external: Whether there is external data.
        proto: The graph, external data read in.
        sidecar: What is written beside the file, or None.
        apart: Weights by their names, where all together are too many for one message; the graph
            has their shapes only.
        origin: Who wrote the file.
        opset: Version of the default operator set.
        parameters: Number of weights, floating-point or quantised.
        names: The vendor's names, once the graph is in our dialect; empty before.
        stored: What the graph stores, by our names of values, once it is in our dialect.
    """

    name: str
    path: Path | None
    sha256: str
    external: bool
    proto: onnx.ModelProto
    origin: Origin
    opset: int
    parameters: int
    sidecar: Sidecar | None = None
    names: Names = field(default_factory=Names)
    stored: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict, repr=False)
    apart: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class FixedInput:
    """Another input of a model, which is fed the same number everywhere.

    Attributes:
        name: Of the input.
        value: The number.
        shape: Its sizes; None where the batch of the probes is.
        dtype: Type of the input, as NumPy names it.
    """

    name: str
    value: float
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class InputSpec:
    """How a canonical probe becomes what a model's input expects.

    The canonical image is RGB, float32, [0, 1], NCHW. The model is fed
    `(probe^gamma · (high − low) + low − mean) / std`, in its own colour order and layout. Arrays
    and tokens are fed as they are: of the parts of an image, from `height` to `resize`, none says
    anything then.

    Attributes:
        input: Name of the model's input.
        layout: What each axis is, `N`, `C`, `H` or `W`: `NCHW`, `NHWC`, `HWC`, `NHW`, …. Without
            `N` the model takes one image at a time, without `C` a grey one. Of arrays and tokens it
            is `N`, or nothing where the model takes one at a time.
        height: Pixels.
        width: Pixels.
        channels: 1 (grey, Rec. 601), 3, or 4, of which the last is opacity, always 1.
        color: `RGB` or `BGR`: the order of the channels.
        range: `(low, high)` that black and white become.
        mean: Subtracted after the range, one value a channel (RGB) or one for all.
        std: Divided by after the mean, one value a channel (RGB) or one for all.
        gamma: Exponent of the probe's values: 1 for a model that takes pixels as files have them,
            2.2 for one that takes linear light.
        resize: How a square probe becomes an input that is not square; one of `RESIZE_RULES`.
        dtype: Type of the input, as NumPy names it. Integers are rounded to, with the gradient of
            the identity.
        batch: The batch size that the graph fixes, or None where it is free.
        sources: For each of `PARTS`: what decided it. `input`, where somebody says which it is, and
            `metadata`, where the file has keys of ours that are none, may stand there, too.
        kind: What probes are; one of `KINDS`.
        axes: Sizes of an array, or the number of tokens; empty for images.
        at: Of tokens, the tensor that the model makes of each, in whose terms maps are: their
            embedding. Empty for others.
        fixed: The model's other inputs.
    """

    input: str
    layout: str
    height: int = 0
    width: int = 0
    channels: int = 3
    color: str = "RGB"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    gamma: float = 1.0
    resize: str = "stretch"
    dtype: str = "float32"
    batch: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    kind: str = IMAGE
    axes: tuple[int, ...] = ()
    at: str = ""
    fixed: tuple[FixedInput, ...] = ()

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The input's shape in its own layout; None where the batch is free."""
        if self.kind != IMAGE:
            return (self.batch, *self.axes) if self.layout else self.axes
        sizes = {"N": self.batch, "C": self.channels, "H": self.height, "W": self.width}
        return tuple(sizes[axis] for axis in self.layout)

    @property
    def map_shape(self) -> tuple[int, ...]:
        """Sizes of a map, and of a whole probe at the model's scale: of images, in pixels."""
        if self.kind != IMAGE:
            return self.axes
        if self.resize == "stretch":
            return self.height, self.width
        side = (max if self.resize == "crop" else min)(self.height, self.width)
        return side, side


#: The parts of an `InputSpec` that are stated, inferred or assumed.
PARTS = ("layout", "size", "color", "range", "mean", "std", "gamma", "resize")


@dataclass(frozen=True)
class Representation:
    """The tensor that is attributed and compared.

    Attributes:
        value: Its name in the vendor's graph.
        rule: How it was found, in words.
        output: The output of the graph that it was found from; empty where it was named.
    """

    value: str
    rule: str
    output: str = ""


@dataclass(frozen=True)
class Parity:
    """How far a converted network is from ONNX Runtime on the same probes.

    Attributes:
        error: max|Δ| / max|reference| over the representation; 0 is identical.
        tolerance: The largest `error` that is let through.
        probes: Number of probes compared.
    """

    error: float
    tolerance: float
    probes: int


@dataclass(frozen=True)
class GradientCheck:
    """How far a network's gradient is from central finite differences through ONNX Runtime.

    Attributes:
        error: Median over probes and directions v of |(T(x + hv) − T(x − hv)) / 2h − ∇T·v| / ‖∇T‖.
        tolerance: The largest `error` that is let through.
        probes: Number of probes that were used.
    """

    error: float
    tolerance: float
    probes: int


@dataclass(frozen=True, eq=False)
class Network:
    """A model's differentiable torch form: evaluation mode, frozen parameters.

    Attributes:
        module: Takes the graph's input, in the model's own layout; returns the representation.
        model: The model it was converted from, as it was given.
        dialect: The same model as the converter read it.
        spec: How probes are fed to it.
        representation: What its output is.
        operators: Submodule name → the vendor's node that it stands for.
        device: Where its parameters are.
    """

    module: torch.nn.Module
    model: Model
    dialect: Model
    spec: InputSpec
    representation: Representation
    operators: Mapping[str, OnnxNode]
    device: str


@dataclass(frozen=True)
class Failure:
    """A model, or a probe, that was left out, and why.

    Attributes:
        name: The model; empty for a probe, which the message names.
        message: What is wrong.
        hint: What to do, or an empty string.
    """

    name: str
    message: str
    hint: str


@dataclass(frozen=True, eq=False)
class Probes:
    """Unlabelled inputs: images on one square canvas, arrays of one shape, or rows of token ids.

    Attributes:
        values: Images are uint8, [probe, y, x, 3], RGB, centre-cropped and resized; arrays float32,
            [probe, …]; token ids int64, [probe, length].
        names: One a probe.
        sha256: Hash over the values.
        source: Where they came from, for reports.
        failures: Files that are no images, and why.
        kind: What they are; one of `KINDS`.
    """

    values: np.ndarray[Any, Any]
    names: tuple[str, ...]
    sha256: str
    source: str
    failures: tuple[Failure, ...] = ()
    kind: str = IMAGE

    @property
    def images(self) -> UInt8:
        """The values, of probes that are images."""
        return self.values


@dataclass(frozen=True, eq=False, repr=False)
class Maps:
    """Attribution maps of one model, at the model's own input size: an array with named axes.

    Attributes:
        values: float32, [probe, y, x] of images, [probe, …] of arrays, [probe, length] of tokens;
            with several methods in front, [method, probe, …]. Raw: neither centred nor scaled.
        probes: Names of the probes.
        method: The method, with those of its options that are not the default's, or several,
            separated by commas.
        model: Name of the model.
        batch: The batch size that was used.
        device: Where they were computed.
        settings: What decides their last bits: precision, whether torch compiled the network and
            used deterministic algorithms, flags and threads. Empty for black-box maps.
        kind: What probes are; one of `KINDS`.
        signed: Whether maps have both signs, one a method.

    Example:
        >>> import numpy as np
        >>> maps = Maps(np.zeros((2, 4, 4), np.float32), ("a", "b"), "saliency", "net", 8, "cpu")
        >>> maps
        Maps(net, saliency: probe 2, y 4, x 4; float32, signed, on cpu)
        >>> maps.dims
        ('probe', 'y', 'x')
    """

    values: Float32
    probes: tuple[str, ...]
    method: str
    model: str
    batch: int
    device: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: str = IMAGE
    signed: tuple[bool, ...] = (True,)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, one or several."""
        return tuple(self.method.split(","))

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes of `values`."""
        several = len(self.methods) > 1
        inner = self.values.ndim - 1 - several
        axes: tuple[str, ...] = tuple(f"axis{i}" for i in range(inner))
        if self.kind == IMAGE:
            axes = ("y", "x")
        elif self.kind == TOKENS:
            axes = ("token",)
        return ("method",) * several + ("probe", *axes)

    @property
    def coords(self) -> dict[str, tuple[str, ...] | range]:
        """What stands at each place of an axis, by the axis's name: names, or counts from 0."""
        names: dict[str, tuple[str, ...]] = {"method": self.methods, "probe": self.probes}
        return {
            axis: names.get(axis, range(size))
            for axis, size in zip(self.dims, self.values.shape, strict=True)
        }

    def by_method(self) -> tuple[Maps, ...]:
        """Returns the maps of each method by themselves, without a copy."""
        if len(self.methods) == 1:
            return (self,)
        return tuple(
            replace(self, values=values, method=method, signed=(signed,))
            for values, method, signed in zip(self.values, self.methods, self.signed, strict=True)
        )

    def to_numpy(self) -> Float32:
        """Returns `values`, without a copy."""
        return self.values

    def to_xarray(self) -> Any:
        """Returns an `xarray.DataArray` over `values`, with these dimensions and coordinates.

        Raises:
            UsageError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            from onnxattr.errors import UsageError

            install = "pip install 'onnxattr[xarray]'"
            raise UsageError(f"xarray is not installed: {install}", hint=install) from None
        about = {"model": self.model, "method": self.method, "device": self.device}
        signs = ["yes" if signed else "no" for signed in self.signed]
        return xarray.DataArray(
            self.values,
            dims=self.dims,
            coords={axis: list(places) for axis, places in self.coords.items()},
            name="attribution",
            attrs={**about, "signed": ",".join(signs)},
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Float32:
        import numpy as np

        return np.asarray(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{a} {n}" for a, n in zip(self.dims, self.values.shape, strict=True))
        signs = ", ".join("signed" if signed else "unsigned" for signed in self.signed)
        names = f"{clean(self.model)}, {clean(self.method)}"
        return f"Maps({names}: {sizes}; {self.values.dtype}, {signs}, on {self.device})"

    def _repr_html_(self) -> str:
        from onnxattr.drawing.notebook import html

        rows = [(each.method, each.signed[0], each.values) for each in self.by_method()]
        return html(repr(self), rows, self.probes)


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosines between the maps of every two models.

    Attributes:
        names: One a model.
        matrix: float64, [model, model]: mean cosine over the probes, -1..1; NaN where the two
            models share no probe with a usable map.
        per_probe: float64, [model, model, probe]; NaN where a map is zero or not finite.
        centred: Whether each model's mean map was removed first.
        canvas: (height, width) in pixels on which the maps of images met; of others, their shape.
        unusable: Probes without a usable map, one count a model.
    """

    names: tuple[str, ...]
    matrix: Float64
    per_probe: Float64
    centred: bool
    canvas: tuple[int, ...]
    unusable: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """What a report says of one model beside its similarities.

    Attributes:
        name: The model.
        path: The file as it was given, or an empty string.
        sha256: Hash over its bytes.
        origin: Who wrote it.
        opset: Version of the default operator set.
        parameters: Number of weights, floating-point or quantised.
        spec: How probes were fed to it.
        representation: What was attributed.
        parity: Distance from ONNX Runtime; None for black-box maps, which ONNX Runtime made.
        gradient: Distance of the gradient from finite differences through ONNX Runtime.
        batch: The batch size that was used.
        unusable: Probes without a usable map.
    """

    name: str
    path: str
    sha256: str
    origin: Origin
    opset: int
    parameters: int
    spec: InputSpec
    representation: Representation
    parity: Parity | None
    gradient: GradientCheck | None
    batch: int
    unusable: int


@dataclass(frozen=True, eq=False)
class Attributions:
    """The outcome of `attribute_many`.

    Attributes:
        models: What is to be said of each attributed model.
        maps: Their maps, in the same order, by all methods but those that refuse the model.
        unusable: Probes whose map is zero or not finite, one count a model and method.
        probes: What was attributed.
        failures: Models and probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the maps.
        versions: Of onnxattr and of what it computed with.
        unfinished: Models that were not reached before an interruption.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
    """

    models: tuple[Summary, ...]
    maps: tuple[Maps, ...]
    unusable: tuple[tuple[int, ...], ...]
    probes: Probes
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    unfinished: tuple[str, ...]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]

    def by_method(self) -> dict[str, tuple[Maps, ...]]:
        """Returns the maps of the models by each method, without a copy; some may lack some."""
        found: dict[str, tuple[Maps, ...]] = {}
        for maps in self.maps:
            for each in maps.by_method():
                found[each.method] = (*found.get(each.method, ()), each)
        return found


@dataclass(frozen=True)
class MapFile:
    """A file that was written of the maps of a model, or of a map of models.

    Attributes:
        path: Below the directory that was asked for, with `/` between its parts.
        kind: `maps`, `picture` or `sheet`; of a map of models `matrix`, `arrays`, `tree`, `figure`
            or `nearest`.
        model: Whose maps; empty for a sheet, and for a map of models.
        methods: By which; several in one file of maps.
        probe: Of a picture, the probe; else empty.
        sha256: Hash over its bytes.
        bytes: Size.
    """

    path: str
    kind: str
    model: str
    methods: tuple[str, ...]
    probe: str
    sha256: str
    bytes: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """One measure of every source and target.

    Attributes:
        measure: Its name.
        names: One a model; sources and targets are the same models.
        matrix: float64, [source, target], higher is nearer; NaN where there is none, as where only
            one target was asked for.
        per_probe: float64, [source, target, probe]: numbers whose mean is the measure.
        directed: Whether source and target may not change places.
    """

    measure: str
    names: tuple[str, ...]
    matrix: Float64
    per_probe: Float64
    directed: bool


@dataclass(frozen=True)
class Score:
    """What one measure says of a source.

    Attributes:
        value: The measure; higher is nearer.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
        rank: Among the sources, by this measure; 1 is closest.
        tied: Whether another source shares the rank.
    """

    value: float
    low: float
    high: float
    rank: int
    tied: bool


@dataclass(frozen=True)
class PairScore:
    """What one measure says of two models, in one direction.

    Attributes:
        measure: Its name.
        source: Name of the model that is transferred from; of a measure without direction, of
            either.
        target: Name of the other.
        directed: Whether source and target may not change places.
        value: The measure; higher is nearer.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
    """

    measure: str
    source: str
    target: str
    directed: bool
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Source:
    """One row of a ranking: a possible source of a transfer to the target.

    Attributes:
        name: The source model.
        rank: By the first measure. 1 is closest; sources that the probes cannot tell apart share a
            rank.
        tied: Whether another source shares the rank.
        similarity: The first measure: by default the mean cosine over the probes, -1..1.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
        distance: The paper's N / Σ cos, 1 or more, where maps are not centred and the sum is
            positive; None elsewhere.
        duplicate: Whether the source is the same file as the target, byte for byte.
        measures: What each measure says, by name, the first one too; not of those that say nothing.
        disputed: Whether two measures disagree: of the places that a source may have among the
            sources by one (several where it shares a rank), it has none by another.
    """

    name: str
    rank: int
    tied: bool
    similarity: float
    low: float
    high: float
    distance: float | None
    duplicate: bool
    measures: Mapping[str, Score] = field(default_factory=dict)
    disputed: bool = False


@dataclass(frozen=True)
class Target:
    """A target model and its sources, closest first; the target itself is not among them.

    Attributes:
        name: The model.
        sources: The others.
        probabilities: Where one target was asked for: how often, over resampled probes, each source
            takes each place by the first measure, [source, place]; rows and columns sum to 1.
    """

    name: str
    sources: tuple[Source, ...]
    probabilities: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Assumption:
    """What becomes of a ranking if something that was assumed of a model is otherwise.

    Attributes:
        model: Its name.
        part: What was assumed, such as `range`.
        value: What it was taken to be instead.
        changes: In words, targets whose closest source is another then; none if all stay.
        failure: Why the model cannot be used that way, or an empty string.
    """

    model: str
    part: str
    value: str
    changes: tuple[str, ...]
    failure: str


@dataclass(frozen=True, eq=False)
class Ranking:
    """The outcome of `rank`.

    Attributes:
        targets: One for each target asked for, in the order of the models.
        models: What is to be said of each ranked model.
        failures: Models and probes that were left out.
        similarity: The cosines of the models' maps.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        unfinished: Models that were not reached before an interruption. The ranking is partial
            where there are any.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
        assumptions: What was found when assumptions were checked; empty where they were not.
        measures: Each measure of all pairs; the first one orders the sources.
    """

    targets: tuple[Target, ...]
    models: tuple[Summary, ...]
    failures: tuple[Failure, ...]
    similarity: Similarity
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    unfinished: tuple[str, ...]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]
    assumptions: tuple[Assumption, ...] = ()
    measures: tuple[Pairs, ...] = ()


@dataclass(frozen=True)
class Join:
    """Two groups of models that a tree joins.

    Attributes:
        first: A group: models are 0, 1, … in their order, the k-th join is what follows them + k.
        second: The other one, further down in the order of the leaves.
        distance: How far apart the two are, by the tree's linkage.
        size: Models in both together.
    """

    first: int
    second: int
    distance: float
    size: int


@dataclass(frozen=True)
class Neighbour:
    """Another model that is near: its name, and the mean cosine over the probes, -1..1."""

    name: str
    similarity: float


@dataclass(frozen=True, eq=False)
class ModelMap:
    """The outcome of `map_models`: models as a matrix, a tree and points in the plane.

    Attributes:
        models: What is to be said of each model.
        similarity: Their cosines. Those of single probes, `per_probe`, are kept of so few models
            that they take half a GiB at most; else that is [model, model, 0].
        distances: float64 [model, model]: how unlike two models' rows of the matrix are,
            √Σₖ (sᵢₖ − sⱼₖ)². Of more models than are drawn, [0, 0], as is the matrix.
        joins: Of the tree, the nearest first; empty where there is no matrix.
        leaves: Models in the order in which the tree shows them, by their numbers.
        linkage: How far apart two groups are: `single`, `average` or `ward`.
        clusters: Of each model, 1, 2, … in the order of the leaves; empty if nobody asked for them.
        points: float64 [model, 2]: classical multidimensional scaling; their mean is zero.
        kept: Share of the variance along each of the two dimensions, 0..1.
        nearest: The nearest other models of each, nearest first.
        newick: The tree in Newick's format.
        failures: Models and probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        unfinished: Models that were not reached before an interruption.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
    """

    models: tuple[Summary, ...]
    similarity: Similarity
    distances: Float64
    joins: tuple[Join, ...]
    leaves: tuple[int, ...]
    linkage: str
    clusters: tuple[int, ...]
    points: Float64
    kept: tuple[float, ...]
    nearest: tuple[tuple[Neighbour, ...], ...]
    newick: str
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    unfinished: tuple[str, ...]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class ProbeCosine:
    """How alike two models' maps are on one probe: -1..1."""

    name: str
    cosine: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome of `compare`.

    Attributes:
        models: The two.
        similarity: Mean cosine over the probes, -1..1.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
        distance: As in `Source`.
        duplicate: Whether both are the same file, byte for byte.
        probes: All probes with a cosine, most alike first.
        failures: Probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
        measures: What each measure says, a directed one of both directions.
    """

    models: tuple[Summary, Summary]
    similarity: float
    low: float
    high: float
    distance: float | None
    duplicate: bool
    probes: tuple[ProbeCosine, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]
    measures: tuple[PairScore, ...] = ()


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


@dataclass(frozen=True)
class StoredMaps:
    """What the store keeps under one key.

    Attributes:
        key: SHA-256 of all that decides the maps, but the probes.
        about: What the key was made of, and the model's name.
        probes: Number of probes with maps.
        bytes: On disk.
        used: Last use, in seconds since the epoch.
        blocks: Number of files.
    """

    key: str
    about: Mapping[str, Any]
    probes: int
    bytes: int
    used: float
    blocks: int


@dataclass(frozen=True, eq=False)
class Scores:
    """A number for each source and target: measured transfer, or how good a source a measure says.

    Attributes:
        name: Of the measure, or of the truth, for reports.
        sources: Names of the models that are transferred from.
        targets: Names of the models, or tasks, that are transferred to.
        values: float64 [source, target], higher is better; NaN where there is none.
        origin: The file that it is from, or an empty string.
        sha256: Hash over the bytes of that file, or an empty string.
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    values: Float64
    origin: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Estimate:
    """A mean over targets, and its bootstrap interval over targets; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """How many of the relevant sources are among the first K.

    Attributes:
        k: K.
        hits: n_K, pooled over the targets; whole for every measure, expected for `random`.
        precision: P@K, n_K / (targets · K).
        recall: R@K, n_K / (targets · relevant).
        low: Lower end of the bootstrap interval of `precision`. That of `recall` is it times
            K / relevant.
        high: Upper end, likewise.
    """

    k: int
    hits: float
    precision: float
    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class TargetOutcome:
    """How well a measure orders the sources of one target.

    Attributes:
        target: Its name.
        best: The source of the best truth.
        chosen: The source that the measure puts first; empty for `random`.
        hits: Relevant sources among the first `Evaluation.relevant`.
        spearman: Rank correlation of truth and measure over all sources but the target itself.
        spearman_with_self: Likewise with the target itself; NaN where there is no truth of that.
        tau: Weighted Kendall τ, without the target itself.
        tau_with_self: With it.
        regret: Truth of the best source minus that of the chosen one, in the truth's own unit.
        relative_regret: That, as a share of what lies between the best and the worst source.
    """

    target: str
    best: str
    chosen: str
    hits: float
    spearman: float
    spearman_with_self: float
    tau: float
    tau_with_self: float
    regret: float
    relative_regret: float


#: The figures of a measure, each a mean over the targets: `p_at_1`; `p_at_relevant`, P@R where R is
#: `Evaluation.relevant`; and those of `TargetOutcome`.
FIGURES = (
    "p_at_1",
    "p_at_relevant",
    "spearman",
    "spearman_with_self",
    "tau",
    "tau_with_self",
    "regret",
    "relative_regret",
)


@dataclass(frozen=True)
class Measured:
    """How well one measure predicts the truth.

    Attributes:
        name: The measure.
        figures: One for each of `FIGURES`.
        differences: Each figure minus that of the first measure, paired by target; empty for the
            first one itself, and for the references.
        curve: One point for each K.
        outcomes: One for each target.
    """

    name: str
    figures: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    curve: tuple[CurvePoint, ...]
    outcomes: tuple[TargetOutcome, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome of `evaluate`: measures beside measured transfer.

    Attributes:
        measures: One for each similarity, in the order given.
        references: `oracle`, the truth itself; `random`, what a random order is expected to reach;
            and `symmetric ceiling`, what the symmetrised truth reaches, where both directions of
            any pair were measured.
        sources: Models that were ordered, by name.
        targets: Models that they were ordered for, by name.
        relevant: Number of best sources of each target that are relevant.
        missing: Models of the truth that are not in every similarity.
        failures: Models and probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
    """

    measures: tuple[Measured, ...]
    references: tuple[Measured, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    relevant: int
    missing: tuple[str, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    stored: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
