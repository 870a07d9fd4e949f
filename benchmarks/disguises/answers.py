"""What a model answers to RGB images in 0..1, by ONNX Runtime; nothing else of it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float32: TypeAlias = npt.NDArray[np.float32]
Answers: TypeAlias = Callable[[Float32], Float32]
"""From images [image, 3, y, x] to answers [image, …]."""

BATCH = 64


def answers_of(path: Path) -> Answers:
    """Return what runs a model; one that takes channels last gets them so, and no more is done.

    Channels of an answer of four axes are brought to axis 1.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # of warnings about what quantisers leave behind
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    last = given.shape[-1] == 3

    def run(images: Float32) -> Float32:
        fed = np.moveaxis(images, 1, -1) if last else images
        parts = [fed[n : n + BATCH] for n in range(0, len(fed), BATCH)]
        found = np.concatenate(
            [session.run(None, {given.name: np.ascontiguousarray(part)})[0] for part in parts]
        ).astype(np.float32)
        return np.moveaxis(found, -1, 1) if last and found.ndim == 4 else found

    return run
