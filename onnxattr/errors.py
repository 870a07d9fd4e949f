"""Every error that onnxattr raises on purpose. Imports `types` for type checking only.

OnnxattrError
├── UsageError          the request itself is wrong: unknown name, nothing given, bad option
├── InputError          what was given cannot be used
│   ├── ModelFileError  a model file: missing, empty, truncated, not ONNX, external data gone
│   ├── ModelInputError the model has no input that a probe fits
│   ├── ProbeError      a probe: missing, unreadable, too large
│   └── ScoresError     a table of transfer or of similarities: missing, malformed, incomplete
├── ExportError         a model of some framework could not be exported to ONNX
├── SupportError        operators or types that have no converter or no gradient
├── ParityError         the converted network and ONNX Runtime disagree
├── LimitError          a model needs more than a limit allows: bytes, seconds, nodes, …
├── WorkerError         the process that worked on a model died, or said what makes no sense
├── StoreError          the store of finished maps cannot be read or written
├── DeviceError         a device that was asked for is not there, or its memory runs out
└── RankingError        too few models are left to rank; carries why each one is not
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxattr.types import Failure


class OnnxattrError(Exception):
    """An expected failure, told in one line.

    Args:
        message: What happened, with the exact value in back-ticks; no line breaks.
        hint: What to do next, or an empty string.
        model: Name of the model concerned, or an empty string.
    """

    def __init__(self, message: str, *, hint: str = "", model: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.model = model


class UsageError(OnnxattrError):
    """The request itself is wrong: an unknown name, nothing given, a bad option."""


class InputError(OnnxattrError):
    """Something that was given cannot be used."""


class ModelFileError(InputError):
    """A model file is missing, empty, truncated, not ONNX, or lacks its external data."""


class ModelInputError(InputError):
    """A model has no input that the probes fit."""


class ProbeError(InputError):
    """A probe is missing, unreadable or too large."""


class ScoresError(InputError):
    """A table of measured transfer, or of similarities, is missing, malformed or incomplete."""


class ExportError(OnnxattrError):
    """A framework's model could not be exported, or the file would not compute the same."""


class SupportError(OnnxattrError):
    """A model uses operators or types that have no converter or no gradient."""


class ParityError(OnnxattrError):
    """The converted network and ONNX Runtime disagree on the same input."""


class LimitError(OnnxattrError):
    """A model needs more than a limit allows: bytes, seconds, nodes, …."""


class WorkerError(OnnxattrError):
    """The process that worked on a model died, or said what makes no sense."""


class StoreError(OnnxattrError):
    """The store of finished maps cannot be read or written."""


class DeviceError(OnnxattrError):
    """A device that was asked for is not there, or its memory runs out."""


class RankingError(OnnxattrError):
    """Too few models are left to rank.

    Args:
        message: What happened.
        hint: What to do next.
        failures: The models that were left out, and why.
    """

    def __init__(self, message: str, *, hint: str = "", failures: Sequence[Failure] = ()) -> None:
        super().__init__(message, hint=hint)
        self.failures = tuple(failures)
