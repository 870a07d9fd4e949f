"""ONNX Runtime on a model's original graph: its representation and, in the same pass, its outputs.

What lies behind the representation is nobody's condition: where ONNX Runtime refuses it, or lacks
memory for it, the outputs are given up, and the representation is computed without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.convert.session import Session
from onnxattr.errors import LimitError, SupportError
from onnxattr.types import Model


class Observer:
    """A model's representation, and what the model says of the probes.

    Args:
        model: A model as it was given.
        value: Its representation.
        beside: Its outputs, another tensor; '' for none.
        threads: Of ONNX Runtime, which computes on the CPU; 0 for its own choice.

    Attributes:
        lost: Why there are no outputs though they were asked for; '' while there are.

    Raises:
        SupportError: ONNX Runtime refuses the model up to its representation.
    """

    def __init__(self, model: Model, value: str, beside: str = "", threads: int = 0) -> None:
        self._model, self._value, self._threads = model, value, threads
        self.lost = ""
        self._session: Session | None = None
        if beside:
            try:
                self._session = Session(model, [value, beside], threads)
            except (SupportError, LimitError) as error:
                self.lost = error.message
        self._whole = self._session is not None
        self._session = self._session or Session(model, [value], threads)

    def run(self, given: Mapping[str, np.ndarray[Any, Any]]) -> tuple[Float32, Float32 | None]:
        """Returns the representation and the outputs, or None, for what is given to each input.

        Raises:
            SupportError: ONNX Runtime fails on the representation.
        """
        assert self._session is not None
        if self._whole:
            try:
                units, outputs = self._session.run(given)
                return units, outputs
            except (SupportError, LimitError) as error:
                self.lost, self._whole = error.message, False
                self._session = None  # Its weights go before they are read once more.
                self._session = Session(self._model, [self._value], self._threads)
        (units,) = self._session.run(given)
        return units, None
