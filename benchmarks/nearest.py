"""What finding the ten nearest of very many models takes, and how many of them are found.

Maps are made as they are read, so that no gigabytes are written first: models in families of
twenty, each a mixture of its family's maps and of noise of its own, cut from one long strip. What
is found is held against the exact cosines of some models with all others.

    python benchmarks/nearest.py [--models N] [--probes N] [--side N] [--checked N]
"""

import argparse
import resource
import time
from typing import Any

import numpy as np

from onnxattr.space import blocks
from onnxattr.space.nearest import nearest, search, sketch

#: Models of a family, and neighbours that are looked for.
FAMILY, K = 20, 10


class Families:
    """Maps of models in families, [model, probe, pixel], made as they are asked for."""

    def __init__(self, models: int, probes: int, pixels: int) -> None:
        self.shape = (models, probes, pixels)
        self._strip = np.random.default_rng(0).standard_normal(2**22 + pixels, np.float32)

    def __getitem__(self, key: Any) -> np.ndarray:
        models, probes, pixels = self.shape
        which, when = np.arange(models)[key[0]], np.arange(probes)[key[1]]
        made = np.empty((len(which), len(when), pixels), np.float32)
        for place, model in enumerate(which.tolist()):
            family, member = divmod(model, FAMILY)
            for column, probe in enumerate(when.tolist()):
                share = 0.5 + member / (2 * FAMILY)
                made[place, column] = self._cut(family, probe) + share * self._cut(~model, probe)
        return made

    def _cut(self, owner: int, probe: int) -> np.ndarray:
        # Far apart for owners and probes that are near each other.
        start = (owner * 2_654_435_761 + probe * 40_503 * 7919) % 2**22
        return self._strip[start : start + self.shape[2]]


def main() -> None:
    """Measures and prints lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20_000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--checked", type=int, default=100)
    given = parser.parse_args()
    maps = Families(given.models, given.probes, given.side**2)

    began = time.process_time()
    vectors = sketch(maps, 4096)
    print(f"vectors: {time.process_time() - began:.1f} s of CPU", flush=True)
    began = time.process_time()
    search(vectors, 8 * K)
    print(f"search alone: {time.process_time() - began:.1f} s", flush=True)
    began = time.process_time()
    found = nearest(maps, K, vectors=vectors)
    print(f"search and exact cosines: {time.process_time() - began:.1f} s", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory: {memory:.2f} GiB; crowded: {found.crowded.sum()} models", flush=True)
    hits = 0
    checked = np.linspace(0, given.models - 1, given.checked).astype(int)
    for model in checked.tolist():
        exact = blocks.row(maps, model).mean(axis=1)
        exact[model] = -np.inf
        hits += len({*np.argsort(-exact)[:K].tolist()} & {*found.models[model].tolist()})
    print(f"found of the {K} nearest of {given.checked} models: {hits / K / given.checked:.4f}")


if __name__ == "__main__":
    main()
