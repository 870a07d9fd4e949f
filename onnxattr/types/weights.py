"""What is known of a model's weights, and how two models' weights agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from onnxattr.arrays import Float32

#: What the weights of two models say of each other; see `lineage.finding`.
IDENTICAL, DERIVED, PARTIAL, SHARED_START, UNRELATED, UNDECIDABLE = FINDINGS = (
    "identical",
    "derived",
    "partly copied",
    "shared initialisation",
    "no sign of derivation",
    "undecidable",
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with stored weights, in one form whatever the exporter wrote.

    Channels are numbered through the whole model: those that an Add joins are one channel, however
    many layers write it. What can be reordered together without a change of the function shares a
    channel; what can be rescaled together shares a gain.

    Attributes:
        name: The vendor's name of its weights, as it is in the file.
        operator: What it is: `Conv`, `ConvTranspose`, `Gemm`, `MatMul`, `Embedding`, ….
        weight: float32 [out, in, …]: behind the first two axes those of a kernel. Of a depthwise
            convolution [out, 1, …], and each row reads the channel of the same place.
        bias: float32 [out], or None.
        depth: Layers on the longest way from an input to it, itself included; 1 is the first.
        writes: int64 [out]: the channels of its rows.
        reads: int64 [in]: the channels of its columns, -1 where they are not known. Of a depthwise
            convolution those of its rows.
        places: int64 [in]: where in a channel a column reads, for what was flattened; else 0.
        gains_out: int64 [out]: the gain of each row.
        gains_in: int64 [in]: the gain of each column, -1 where it is not known.
        depthwise: Whether each row reads one channel alone.
    """

    name: str
    operator: str
    weight: Float32
    bias: Float32 | None
    depth: int
    writes: npt.NDArray[np.int64]
    reads: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    gains_out: npt.NDArray[np.int64]
    gains_in: npt.NDArray[np.int64]
    depthwise: bool = False


@dataclass(frozen=True, eq=False)
class Weights:
    """All layers of a model, and which of their channels belong together.

    Attributes:
        layers: In the order of the graph.
        streams: int64 [channel]: channels of one stream may change places among each other. -1 for
            numbers that are no channel any more: another one, that is the same, stands for them.
        omitted: Why some stored weights are in no layer, a line each.
    """

    layers: tuple[Layer, ...]
    streams: npt.NDArray[np.int64]
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerMatch:
    """How a suspect's layer agrees with a reference's.

    Attributes:
        suspect: Name of the suspect's layer.
        reference: Name of the reference's layer.
        operator: Of the suspect's layer.
        shape: Of its weights.
        depth: Of the reference's layer.
        similarity: Mean cosine of the filters once they are matched, -1..1; 1 is a copy.
        chance: The same against the reference's own filters with their columns shuffled.
        marks: How alike what training alone leaves is, -1..1; see `lineage.marks`. None where that
            cannot be told.
        filters: Filters that were compared.
    """

    suspect: str
    reference: str
    operator: str
    shape: tuple[int, ...]
    depth: int
    similarity: float
    chance: float
    marks: float | None = None
    filters: int = 0


@dataclass(frozen=True)
class TensorMatch:
    """Two layers, anywhere in the two models, that hold the same weights.

    Attributes:
        suspect: Name of the suspect's layer.
        reference: Name of the reference's layer.
        shape: Of the suspect's weights.
        parameters: Numbers in them.
        similarity: Cosine of the weights as they are stored, order kept, -1..1.
        exact: Whether they are the same numbers.
    """

    suspect: str
    reference: str
    shape: tuple[int, ...]
    parameters: int
    similarity: float
    exact: bool


@dataclass(frozen=True)
class WeightMatch:
    """How the weights of a suspect agree with those of a reference.

    Attributes:
        suspect: The suspect.
        reference: The reference.
        profile: Layers that correspond, by depth.
        late: Mean similarity of the last layers that correspond, at least three and a third of
            them all: what lineage is judged by. None where there are too few.
        early: Mean similarity of as many of the first ones, which never decide.
        chance: What `late` would be of weights that have nothing in common.
        marks: Mean of the same layers' marks of training, -1..1, or None.
        covered: Share of the suspect's weights that are in layers of `profile`, 0..1.
        tensors: Layers with the same weights, wherever they are, the largest first.
        copied: Share of the suspect's weights that are in `tensors`, 0..1.
        identical: Whether all layers of both hold the same numbers.
        reason: Why there is no `late`, or an empty string.
    """

    suspect: str
    reference: str
    profile: tuple[LayerMatch, ...]
    late: float | None
    early: float | None
    chance: float | None
    marks: float | None
    covered: float
    tensors: tuple[TensorMatch, ...]
    copied: float
    identical: bool
    reason: str = ""


@dataclass(frozen=True)
class WeightFinding:
    """What is concluded from a `WeightMatch`.

    Attributes:
        kind: One of `FINDINGS`.
        p_value: Conformal: (1 + number of independent pairs at least as similar) / (1 + number of
            independent pairs); None where there is no similarity.
        floor: The least that it can be with so many independent pairs.
        independent: Number of independent pairs.
        evidence: Why, a line each.
    """

    kind: str
    p_value: float | None
    floor: float
    independent: int
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What a file is, beyond its name.

    Attributes:
        file: SHA-256 over its bytes and those of its external data.
        weights: SHA-256 over all stored weights, whatever their names and their order.
        structure: SHA-256 over the graph: operators, attributes and what feeds what, whatever the
            names and the order of the nodes; of stored tensors only types and shapes.
        framework: Who wrote it, or `unknown`.
        exporter: Its producer, with its version.
        opsets: Versions by domain of operators; ONNX's own is ``.
        operators: How often each is used, most often first.
        parameters: Number of weights, floating-point or quantised.
        by_type: Numbers stored, by type.
        size: Bytes of the file and its external data.
        nodes: Number of nodes, those of subgraphs and functions included.
        metadata: What else the file says of itself, sanitised and bounded.
        content: SHA-256 over the graph as `structure`, with the numbers of its stored tensors, each
            where it is used: two files of one content are the same model.
    """

    file: str
    weights: str
    structure: str
    framework: str
    exporter: str
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    parameters: int
    by_type: Mapping[str, int]
    size: int
    nodes: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    content: str = ""


@dataclass(frozen=True, eq=False)
class Weighed:
    """A model's identity and its weights; what `pipeline.weights_of` returns of each file.

    Attributes:
        name: What the model is called.
        identity: What its file is.
        weights: Its layers.
    """

    name: str
    identity: Identity
    weights: Weights
