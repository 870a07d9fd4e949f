"""What the similarities of many models take, against one plain matrix product of the same size.

After every so many blocks of maps the same product is made of two other matrices, so that both meet
the same machine, however busy it is; what it takes is multiplied by how often it was left out. Maps
are handed out again for every few probes, so that no gigabytes are written first. Prints CPU time,
the ratio, the most memory that the process ever held (maps that are handed out and one operand of
the product are part of it), and how far single precision is off.

    python benchmarks/similarity.py [--models N] [--probes N] [--side N] [--every N]
        [--modes MODE[,MODE…]]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.space.blocks import Numpy, streamed

#: Precision, and whether maps are centred.
MODES = {
    "float64": (np.float64, False),
    "float64-centred": (np.float64, True),
    "float32": (np.float32, False),
    "float32-centred": (np.float32, True),
}

#: Probes that differ.
FEW = 4


class Again:
    """The same few maps for every probe, copied as a reader would: without a sign, as saliency."""

    def __init__(self, models: int, probes: int, pixels: int) -> None:
        self.shape = (models, probes, pixels)
        rng = np.random.default_rng(0)
        self._few = rng.standard_normal((models, FEW, pixels), np.float32)
        self._few += rng.standard_normal((1, FEW, pixels), np.float32)
        np.abs(self._few, out=self._few)

    def __getitem__(self, key: Any) -> np.ndarray:
        models, probes = key
        which = np.arange(self.shape[1])[probes] % FEW
        return self._few[models][:, which]


class Beside(Numpy):
    """NumPy's kernel, with a plain product after every so many of its own.

    `plain` is what those took, `setup` what it took to make their operand.
    """

    def __init__(self, precision: Any, every: int) -> None:
        super().__init__(precision)
        self._every, self._blocks, self._made = every, 0, 0
        self._dtype, self._rows = precision, np.empty((0, 0))
        self.plain = self.setup = 0.0

    def products(self, maps: Any, centres: Any) -> Any:
        """See `Kernel`."""
        made = super().products(maps, centres)
        self._blocks += 1
        if (self._blocks - 1) % self._every:
            return made
        self._made += 1
        began = time.process_time()
        models, width = len(maps), maps.shape[1] * maps.shape[2]
        if self._rows.shape != (models + 1, width):
            rng = np.random.default_rng(1)
            self._rows = rng.standard_normal((models + 1, width), np.float32).astype(self._dtype)
            self.setup += time.process_time() - began
            began = time.process_time()
        # A row further down, it is no product of a matrix with itself, which takes half the time.
        _ = self._rows[:-1] @ self._rows[1:].T
        self.plain += time.process_time() - began
        return made

    @property
    def whole(self) -> float:
        """Seconds that plain products take of all blocks."""
        return self.plain * self._blocks / self._made


def measured(mode: str, size: tuple[int, int, int], every: int, folder: Path) -> None:
    """Runs one mode in this process, prints a row, and keeps the matrix."""
    precision, centred = MODES[mode]
    maps, kernel = Again(*size), Beside(precision, every)
    began = time.process_time()
    matrix = streamed(maps, centred=centred, kernel=kernel)
    took = time.process_time() - began - kernel.plain - kernel.setup
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    np.save(folder / f"{mode}.npy", matrix)
    double = folder / f"{mode.replace('32', '64')}.npy"
    error = "–"
    if precision == np.float32 and double.exists():
        error = f"{np.abs(matrix - np.load(double)).max():.1e}"
    print(
        f"| {precision.__name__} | {'yes' if centred else 'no'} | {kernel.whole:.1f} s "
        f"| {took:.1f} s | {took / kernel.whole:.2f} | {memory:.2f} GiB | {error} |",
        flush=True,
    )


def main() -> None:
    """Measures and prints a table in markdown, each mode in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--every", type=int, default=1, help="blocks between two plain products")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        size = given.models, given.probes, given.side**2
        measured(given.modes, size, given.every, given.folder)
        return
    print("| precision | centred | product | similarity | ratio | peak memory | error |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for mode in given.modes.split(","):
            same = [f"--{k}={getattr(given, k)}" for k in ("models", "probes", "side", "every")]
            subprocess.run(
                [sys.executable, __file__, *same, f"--modes={mode}", f"--folder={folder}"],
                check=True,
            )


if __name__ == "__main__":
    main()
