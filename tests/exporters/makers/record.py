"""What a maker leaves for each network: NAME.onnx, and NAME.npz with what the framework computes.

A maker is a script that is run by an interpreter which has its framework:

    python tests/exporters/makers/torch_maker.py FOLDER [NAME …]

It writes the networks that it is asked for, or all. Where a framework fails to export one, the
reason is left in NAME.error.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

Networks = Mapping[str, Callable[[Path], None]]


def weights(outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return fixed noise in the outputs' shapes; the gradient is that of Σ output · noise."""
    rng = np.random.default_rng(7)
    return [rng.standard_normal(output.shape).astype(np.float32) for output in outputs]


def noise(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def save(path: Path, inputs, outputs, gradients, feature=None, logits=None) -> None:
    """Write the framework's side beside `path`.

    The gradient of an integer input is None. `feature` and `logits` are what a framework says that
    its classifier is fed and makes, before a softmax or a sigmoid; else they are the output.
    """
    arrays = {f"input_{i}": array for i, array in enumerate(inputs)}
    arrays |= {f"output_{i}": array for i, array in enumerate(outputs)}
    arrays |= {f"gradient_{i}": g for i, g in enumerate(gradients) if g is not None}
    arrays |= {k: v for k, v in {"feature": feature, "logits": logits}.items() if v is not None}
    np.savez(path.with_suffix(".npz"), **arrays)


def main(networks: Networks) -> None:
    # Some exporters want a file name, some leave notes in the working directory.
    folder, names = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(networks)
    os.chdir(folder)
    warnings.simplefilter("ignore")
    for name in names:
        try:
            networks[name](folder / f"{name}.onnx")
        except Exception:
            (folder / f"{name}.error").write_text(traceback.format_exc())
