"""What is believed of a worker, of a file and of the store: what can be checked, and no more."""

import hashlib
import math
import os
import stat
from collections.abc import Mapping
from typing import Any

from onnxattr.errors import WorkerError
from onnxattr.graph.options import MAX_BATCH, MAX_SIZE
from onnxattr.limits import Limits
from onnxattr.pipeline.messages import Attributed, Checked, Described, Source
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import IMAGE, RESIZE_RULES, InputSpec, Probes

#: Bytes that are read at a time.
_PIECE = 2**20

#: What is kept of how maps were computed.
_SETTINGS = 32


def hash_source(source: Source, limits: Limits) -> str:
    """Returns the SHA-256 of a model's bytes, which are read once more and not looked into.

    A worker that a file has taken over may say of it what it likes; this is what it cannot choose.

    Raises:
        WorkerError: The file cannot be read any more.
    """
    if source.path is None:
        return hashlib.sha256(source.data or b"").hexdigest()
    digest, size = hashlib.sha256(), 0
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(source.path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is no regular file any more")
            while size <= limits.file_size and (piece := file.read(_PIECE)):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkerError(f"the file cannot be read a second time: {reason}") from None
    return digest.hexdigest()


def require_sense(found: Described, digest: str, name: str, probes: Probes) -> None:
    """Makes sure that a worker describes a model that there can be, and the one that was meant.

    Raises:
        WorkerError: It does not.
    """
    spec = found.spec
    sensible = (
        spec.kind == probes.kind
        and (_is_image(spec) if spec.kind == IMAGE else _takes(spec, probes))
        and (spec.batch is None or 1 <= spec.batch <= MAX_BATCH)
        and all(map(math.isfinite, (fixed.value for fixed in spec.fixed)))
        and len(found.sha256) == len(digest)
        and (found.external or found.sha256 == digest)
    )
    if not sensible:
        raise WorkerError(
            "its worker describes another model than the file",
            hint="did the file change while it was read?",
            model=name,
        )


def _is_image(spec: InputSpec) -> bool:
    """Whether there can be such an input of images."""
    return (
        1 <= spec.height <= MAX_SIZE
        and 1 <= spec.width <= MAX_SIZE
        and all(map(math.isfinite, (*spec.range, *spec.mean, *spec.std, spec.gamma)))
        and set("HW") <= set(spec.layout) <= set("NCHW")
        and len(set(spec.layout)) == len(spec.layout)
        and spec.resize in RESIZE_RULES
    )


def _takes(spec: InputSpec, probes: Probes) -> bool:
    """Whether there can be such an input of arrays, or token ids, and it takes the probes."""
    return spec.axes == probes.values.shape[1:] and spec.layout in ("N", "")


def malformed(facts: Mapping[str, Any], *, black_box: bool = False) -> bool:
    """Whether facts are not what `job` writes: a store may have been written by anybody.

    Args:
        facts: Of some maps.
        black_box: Whether they were made without a conversion, which then was not checked.
    """
    if facts.keys() - {"settings"} != {"batch", "parity", "tolerance", "gradient"}:
        return True
    if not _is_flat(facts.get("settings", {})):
        return True
    if black_box:
        unchecked = all(facts[key] is None for key in ("parity", "tolerance", "gradient"))
        return not (_count(facts["batch"]) and unchecked)
    check = facts["gradient"]
    if check is not None and not (
        isinstance(check, dict)
        and check.keys() == {"error", "tolerance", "probes"}
        and _within(check["error"], check["tolerance"])
        and _count(check["probes"])
    ):
        return True
    return not (_count(facts["batch"]) and _within(facts["parity"], facts["tolerance"]))


def _is_flat(settings: object) -> bool:
    """Whether it is a few numbers and short texts by name."""
    return (
        isinstance(settings, dict)
        and len(settings) <= _SETTINGS
        and all(type(key) is str and type(v) in (bool, int, str) for key, v in settings.items())
        and all(len(str(v)) <= MAX_TEXT for item in settings.items() for v in item)
    )


def _within(error: object, tolerance: object) -> bool:
    return all(type(v) in (int, float) for v in (error, tolerance)) and 0 <= error <= tolerance < 1  # type: ignore[operator]


def _count(value: object) -> bool:
    return type(value) is int and 0 < value < 2**31


def maps_facts(answer: Attributed | Checked) -> dict[str, Any]:
    """Returns what is kept beside maps, or fields: how they were made, in JSON's types, clean."""
    check = answer.gradient
    return {
        "batch": answer.batch,
        "parity": answer.parity,
        "tolerance": answer.tolerance,
        "gradient": {"error": check.error, "tolerance": check.tolerance, "probes": check.probes}
        if check
        else None,
        "settings": {
            clean(key, MAX_TEXT): clean(value, MAX_TEXT) if isinstance(value, str) else value
            for key, value in answer.settings.items()
        },
    }
