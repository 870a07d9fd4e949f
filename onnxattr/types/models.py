"""What is known of a model file, and the network that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import torch

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
