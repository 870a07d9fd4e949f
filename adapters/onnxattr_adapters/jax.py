"""JAX: exports functions and modules of Flax through jax2onnx; their layout is kept."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr_adapters import Adapter, ExportError, require
from onnxattr_adapters._file import Array, check, clean, draft, one_line, save, stamp
from onnxattr_adapters._source import arrays, is_object, load_object


def export(function: Callable[..., Any], path: str | os.PathLike[str], *, example: Any) -> None:
    """Write a function of arrays as an ONNX file that was compared with it.

    Args:
        function: What to export, such as a module of Flax in inference mode.
        path: Where to write.
        example: One array for each of its arguments; axis 0 is the batch, which is left free.

    Raises:
        ExportError: jax2onnx cannot export it, or the file differs from it.
    """
    require("jax", "jax2onnx")
    import jax
    from jax2onnx import to_onnx

    given: Sequence[Array] = [example] if isinstance(example, np.ndarray) else list(example)
    try:
        references = [
            np.asarray(v) for v in jax.tree.leaves(function(*map(jax.numpy.asarray, given)))
        ]
        proto = to_onnx(function, [("batch", *a.shape[1:]) for a in given])
    except Exception as error:  # both raise many unrelated types
        raise ExportError(f"jax2onnx cannot export it: {one_line(error)}") from error
    clean(proto)
    stamp(proto, {})
    with draft(path) as place:
        save(proto, place)
        check(place, given, references)


def _export_source(source: str, path: Path, example: Sequence[str] = ()) -> None:
    require("jax", "jax2onnx")
    if not example:
        raise ExportError("it does not say what its input is: --example 1x224x224x3 does")
    export(_function(source), path, example=arrays(example))


def _function(source: str) -> Callable[..., Any]:
    """Return the function that `module:callable` names, or makes where it takes no arguments."""
    found = load_object(source)
    if not callable(found):
        raise ExportError(f"`{source}` is a `{type(found).__name__}`, which cannot be called")
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # built in
        return found  # type: ignore[no-any-return]
    if any(p.default is p.empty and p.kind in (0, 1) for p in parameters):
        return found  # type: ignore[no-any-return]
    try:
        made = found()
    except Exception as error:  # a callable may raise whatever it likes
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise ExportError(f"`{source}` cannot be called without arguments: {reason}") from error
    if not callable(made):
        raise ExportError(f"`{source}` makes a `{type(made).__name__}`, which cannot be called")
    return made  # type: ignore[no-any-return]


ADAPTER = Adapter(
    install="onnxattr[jax]",
    recognises=is_object,
    holds_code=lambda source: True,
    export=_export_source,
    takes=("example",),
)
