"""What the similarities of many models take, against one plain matrix product of the same size.

Maps are noise on one probe block that is handed out again for every probe, so that no gigabytes
are written first. Prints CPU time, the ratio, and the memory that is traced beside the maps.

    python benchmarks/similarity.py [--models N] [--probes N] [--side N]
"""

import argparse
import time
import tracemalloc
from typing import Any

import numpy as np

from onnxattr.space.blocks import Numpy, streamed


class Again:
    """The same few maps for every probe, copied as a reader would."""

    def __init__(self, models: int, probes: int, pixels: int) -> None:
        self.shape = (models, probes, pixels)
        self._few = np.random.default_rng(0).normal(size=(models, 4, pixels)).astype(np.float32)

    def __getitem__(self, key: Any) -> np.ndarray:
        models, probes = key
        which = np.arange(self.shape[1])[probes] % 4
        return self._few[models][:, which]


def product(models: int, probes: int, pixels: int, precision: type) -> float:
    """Returns the CPU seconds of a product of two matrices [model, probe · pixel], in parts."""
    one = np.random.default_rng(1).normal(size=(models, 4 * pixels)).astype(precision)
    other = np.ascontiguousarray(one[::-1].T)
    total = np.zeros((models, models), precision)
    began = time.process_time()
    for _ in range(0, probes, 4):
        total += one @ other
    return time.process_time() - began


def main() -> None:
    """Measures and prints a table in markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--side", type=int, default=64)
    given = parser.parse_args()
    size = given.models, given.probes, given.side**2
    maps = Again(*size)
    print("| precision | centred | product | similarity | ratio | memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    for precision in (np.float64, np.float32):
        plain = product(*size, precision)
        for centred in (False, True):
            tracemalloc.start()
            began = time.process_time()
            streamed(maps, centred=centred, kernel=Numpy(precision))
            took = time.process_time() - began
            memory = tracemalloc.get_traced_memory()[1] / 2**30
            tracemalloc.stop()
            print(
                f"| {precision.__name__} | {'yes' if centred else 'no'} | {plain:.1f} s "
                f"| {took:.1f} s | {took / plain:.2f} | {memory:.2f} GB |"
            )


if __name__ == "__main__":
    main()
