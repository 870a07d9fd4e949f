"""What decides the numbers, and who is told while they are computed."""

from dataclasses import dataclass, field
from typing import Protocol

from onnxattr.errors import UsageError
from onnxattr.graph.options import InputOptions
from onnxattr.types import Failure


@dataclass(frozen=True)
class Options:
    """What decides the maps and the numbers made of them.

    Attributes:
        method: `saliency`, `grad-input` or `elrp`.
        at: The tensor that is attributed; see `graph.outputs.representation`.
        input: What the user says of the models' inputs; it holds for all of them.
        device: `auto`, `cpu`, `cuda[:n]` or `mps`.
        batch_size: Probes at a time; None for the default.
        limit: Number of probes; None for 64 of the built-in set, or all of the user's.
        paper: The paper's own arithmetic: maps are not centred.
        seed: Of the bootstrap.
    """

    method: str = "saliency"
    at: str = "feature"
    input: InputOptions = field(default_factory=InputOptions)
    device: str = "auto"
    batch_size: int | None = None
    limit: int | None = None
    paper: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for key, lowest in (("batch_size", 1), ("limit", 1), ("seed", 0)):
            value = getattr(self, key)
            if value is not None and value < lowest:
                option = f"--{key.replace('_', '-')}"
                raise UsageError(f"{option} takes a whole number from {lowest}, not `{value}`")


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
