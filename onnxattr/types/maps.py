"""Probes, and the maps that are made on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnxattr.sanitise import clean
from onnxattr.types.models import (
    IMAGE,
    TOKENS,
    Failure,
    GradientCheck,
    InputSpec,
    Origin,
    Parity,
    Representation,
)
from onnxattr.types.showing import Shown

if TYPE_CHECKING:
    import numpy as np

    from onnxattr.arrays import Float32, UInt8
    from onnxattr.types.galleries import Gallery


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
class Attributions(Shown):
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
        galleries: A few of the maps, small, for figures; one a method, none of maps that cannot be
            drawn.
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
    galleries: tuple[Gallery, ...] = ()

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
