"""The suspect, before anything else is worked on: whether there is anything to audit."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from onnxattr.errors import RankingError
from onnxattr.pipeline.inspect import inspect
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.weigh import weights_of
from onnxattr.types import Failure, Weighed


def weigh_suspect(
    source: Source, path: str | Path, options: Options, stop: threading.Event
) -> tuple[Weighed | None, tuple[Failure, ...]]:
    """Returns what the suspect's file is and its weights, and why it has none of these.

    A file of which neither is told may still be run; one that cannot even be loaded ends an audit
    here, in a second or two, and not behind all references.

    Args:
        source: Where it is.
        path: As the user gave it, for messages.
        options: Within which bounds it is read.
        stop: Ends the work when it is set.

    Raises:
        RankingError: It cannot be loaded; the message says why.
    """
    assert source.path is not None
    file = os.fsdecode(source.path)
    found, lost = weights_of({source.name: Path(file)}, limits=options.limits, stop=stop)
    if source.name in found:
        return found[source.name], ()
    if stop.is_set():
        raise RankingError("interrupted before the suspect was read")
    looked = inspect(file, at=options.at, input=options.input, limits=options.limits, stop=stop)
    if looked.models:
        return None, lost
    (reason,) = lost
    raise RankingError(
        f"the suspect `{path}` cannot be audited: {reason.message}",
        hint=reason.hint,
        failures=[reason],
    )
