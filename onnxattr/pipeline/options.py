"""What decides the numbers, and who is told while they are computed."""

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from onnxattr.attribution import reductions
from onnxattr.attribution.methods import Method, parse_all
from onnxattr.attribution.reductions import Reduction
from onnxattr.errors import UsageError
from onnxattr.graph.options import InputOptions
from onnxattr.limits import Limits
from onnxattr.pipeline.adapters import ExportOptions
from onnxattr.registry import closest
from onnxattr.space.measures.table import ENSEMBLE, MAPS, MEASURES
from onnxattr.types import Failure

#: Of the arithmetic of gradients: `bf16` is torch's autocast, `tf32` a GPU's products of float32.
PRECISIONS = ("float32", "bf16", "tf32", "float64")


#: The measure that rankings are made by where nobody says.
ATTRIBUTION = "attribution"


def parse_measures(text: str) -> tuple[str, ...]:
    """Returns the names of measures that a text means, separated by commas.

    Raises:
        UsageError: There is none of that name, or it stands there twice.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in (*MEASURES, ENSEMBLE):
            raise UsageError(
                f"there is no measure `{name}`", hint=closest(name, (*MEASURES, ENSEMBLE))
            )
        if names.count(name) > 1:
            raise UsageError(f"the measure `{name}` is asked for twice")
    return names


@dataclass(frozen=True)
class Options:
    """What decides the maps and the numbers made of them, and within which bounds.

    Attributes:
        method: A name of `methods.METHODS`, with options as in `occlusion:grid=4:span=2`; for
            `attribute` several, separated by commas. Without effect where no measure compares maps.
        measure: How models are compared, names of `space.measures.table.MEASURES` or `ensemble`,
            separated by commas; the first one orders them. None for `attribution` and, where a
            target is named, `predictability` beside it.
        reduction: How the units of a representation become the number that is attributed, one of
            `reductions.REDUCTIONS`.
        precision: One of `PRECISIONS`.
        compile: Whether torch compiles networks.
        at: The tensor that is attributed, see `graph.outputs.representation`; None for what a
            model's sidecar or metadata says, or else `feature`.
        input: What the user says of the models' inputs; it holds for all of them.
        export: How sources that are no ONNX files are exported.
        device: `auto`, `cpu`, `cuda[:n]` or `mps`; several, separated by commas, share the models.
        workers: Worker processes a device. On the CPU they share its cores.
        batch_size: Probes at a time; None for the default.
        limit: Number of probes; None for 64 of the built-in set, or all of the user's.
        paper: The paper's own arithmetic: maps are not centred.
        seed: Of the bootstrap, and of all that methods draw.
        check_assumptions: Whether models whose range is assumed are examined in other plausible
            ranges too, to see if the ranking would change.
        limits: What a model may cost.
        store: Directory of finished maps; `default` for the user's cache, None for none.

    Raises:
        UsageError: There is no such method, or a number is too small.
    """

    method: str = "saliency"
    measure: str | None = None
    reduction: str = "sum"
    precision: str = "float32"
    compile: bool = False
    at: str | None = None
    input: InputOptions = field(default_factory=InputOptions)
    export: ExportOptions = field(default_factory=ExportOptions)
    device: str = "auto"
    workers: int = 1
    batch_size: int | None = None
    limit: int | None = None
    paper: bool = False
    seed: int = 0
    check_assumptions: bool = False
    limits: Limits = field(default_factory=Limits)
    store: str | Path | None = "default"

    def __post_init__(self) -> None:
        # Wrong names and numbers raise.
        _, _, _ = self.methods, self.reduced, self.measures
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"there is no precision `{self.precision}`",
                hint=closest(self.precision, PRECISIONS),
            )
        if self.precision == "tf32" and {d.partition(":")[0] for d in self.devices} <= {
            "cpu",
            "mps",
        }:
            raise UsageError(
                f"--precision tf32 is arithmetic of NVIDIA's GPUs, and --device is `{self.device}`",
                hint="use --precision float32, or bf16 where it may be coarse",
            )
        for key, lowest in (("batch_size", 1), ("limit", 1), ("seed", 0), ("workers", 1)):
            value = getattr(self, key)
            if value is not None and value < lowest:
                option = f"--{key.replace('_', '-')}"
                raise UsageError(f"{option} takes a whole number from {lowest}, not `{value}`")

    @functools.cached_property
    def methods(self) -> tuple[Method, ...]:
        """By which maps are made."""
        return parse_all(self.method)

    @functools.cached_property
    def measures(self) -> tuple[str, ...]:
        """By which models are compared."""
        return parse_measures(self.measure or ATTRIBUTION)

    @functools.cached_property
    def wants_maps(self) -> bool:
        """Whether maps are made: a measure compares them, or assumptions are checked by them."""
        single = [MEASURES[name] for name in self.measures if name != ENSEMBLE]
        return self.check_assumptions or any(MAPS in one.needs for one in single)

    @functools.cached_property
    def reduced(self) -> Reduction:
        """How T is made of the units."""
        return reductions.parse(self.reduction)

    @property
    def devices(self) -> list[str]:
        """One a worker."""
        return [d.strip() for d in self.device.split(",")] * self.workers

    @property
    def threads(self) -> int:
        """Threads of a worker on the CPU; 0 for all cores."""
        if self.workers == 1:
            return 0
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, cores // self.workers)


class Progress(Protocol):
    """What a long computation tells while it runs; the default tells nothing."""

    def begin(self, models: int, probes: int, device: str) -> None:
        """Called once: how much there is to do, and on what."""

    def model(self, name: str) -> None:
        """Called when a model is taken up."""

    def advance(self, probes: int) -> None:
        """Called when so many more probes of it are done."""

    def failed(self, failure: Failure) -> None:
        """Called when a model, or a probe, is left out."""


class Silent:
    """A `Progress` that tells nothing."""

    def begin(self, models: int, probes: int, device: str) -> None:
        """Tells nothing."""

    def model(self, name: str) -> None:
        """Tells nothing."""

    def advance(self, probes: int) -> None:
        """Tells nothing."""

    def failed(self, failure: Failure) -> None:
        """Tells nothing."""
