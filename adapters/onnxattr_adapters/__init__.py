"""Adapters: one module a framework, each with one function that writes a checked ONNX file.

They only export. What a file's origin is, and everything after the file, is the business of
`onnxattr`, which this package does not import; nor does it import a framework before it is asked
to export from it.
"""

from __future__ import annotations

__all__ = ["ExportError"]


class ExportError(RuntimeError):
    """A model could not be exported, or the file does not compute what the model computes."""
