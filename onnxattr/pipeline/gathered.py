"""What having models examined gives, and what may be put in its place."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from onnxattr.errors import StoreError
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import Options, Progress
from onnxattr.pipeline.outcome import Examined
from onnxattr.store import Store
from onnxattr.types import Failure, Probes, Stopping

#: Told of what is left out.
LeaveOut = Callable[[Failure], None]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Models as they were examined, and on which probes.

    Attributes:
        probes: Those that were shown to at least one model, in the order of the maps.
        outcomes: The models that can be used, by name.
        unfinished: Those that were not reached in time.
        store_error: Why the store could not be written, if so.
        missing: Of how many probes a model has no maps because it was not shown them, by name.
        stopping: Where probes were taken until an order was decided: what it took.
    """

    probes: Probes
    outcomes: Mapping[str, Examined]
    unfinished: Sequence[str]
    store_error: StoreError | None
    missing: Mapping[str, int] = dataclasses.field(default_factory=dict)
    stopping: Stopping | None = None


class Gather(Protocol):
    """Has models examined, as `gather_all` does."""

    def __call__(
        self,
        sources: Mapping[str, Source],
        given: Probes,
        options: Options,
        store: Store | None,
        progress: Progress,
        stop: threading.Event,
        leave_out: LeaveOut,
    ) -> Gathered:
        """See `gather_all`."""
