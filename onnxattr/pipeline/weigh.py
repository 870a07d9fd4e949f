"""What files are and the weights that they hold: read in workers, returned as plain arrays."""

import threading
from collections.abc import Mapping
from pathlib import Path

from onnxattr.limits import Limits
from onnxattr.types import Failure, Weighed


def weights_of(
    models: Mapping[str, Path],
    *,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Weighed], tuple[Failure, ...]]:
    """Returns what each file is and its layers, and the files of which that cannot be told.

    Each is read in a worker process. A layer's weights come back as float32.

    Args:
        models: Files by the names that they are called by, as from `graph.find.find_models`.
        limits: What a model may cost.
        stop: Ends the work when it is set; what is not finished is among the failures.
    """
    raise NotImplementedError
