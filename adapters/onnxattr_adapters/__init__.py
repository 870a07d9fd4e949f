"""Adapters: one module a framework, each with one object that turns its models into ONNX files.

They only export. What a file's origin is, and everything after the file, is the business of
`onnxattr`, which this package does not import; nor does it import a framework before it is asked
to export from it.

An adapter is found through the entry-point group `onnxattr.adapters`, whoever wrote it: a package
that has an object like `Adapter` and one line

    [project.entry-points."onnxattr.adapters"]
    mine = "my_package:ADAPTER"

adds a framework to `onnxattr export`, `rank`, `compare` and `inspect`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

__all__ = ["Adapter", "ExportError", "MissingPackageError", "require"]


class ExportError(RuntimeError):
    """A model could not be exported, or the file does not compute what the model computes."""


class MissingPackageError(ExportError):
    """A package that an export needs is not installed."""


@dataclass(frozen=True)
class Adapter:
    """How the models of one framework become ONNX files. Any object with these five parts will do.

    Attributes:
        install: What to give to pip where the framework is missing, such as `onnxattr[keras]`.
        recognises: Whether a source, as the user wrote it, is one of its own. It looks at names and
            at what lies where they say; it imports no framework and reads no model.
        holds_code: Whether reading such a source may run code that is in it.
        export: Takes a source, the path of the file to write, and by keyword those of `takes` that
            the user gave. It runs in a process of its own, after the user said that code may run,
            and raises `ExportError` with a reason of one line.
        takes: What it understands beside the source: `example` (a list of texts, one an input, see
            `_source.arrays`) and `state_dict` (a path).
    """

    install: str
    recognises: Callable[[str], bool]
    holds_code: Callable[[str], bool]
    export: Callable[..., None]
    takes: tuple[str, ...] = ()


def require(*modules: str) -> None:
    """Make sure that modules are installed, without importing them.

    Raises:
        MissingPackageError: One is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingPackageError(f"`{module}` is not installed")
