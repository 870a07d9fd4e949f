"""How often `--until-stable` decides between two sources that are equal, by the shape of the noise.

The difference of the two has mean zero, so that any decision is wrong. A decision for either is
counted apart: the error that is stated, 1 − confidence, is of one side.

    python benchmarks/stopping_skew.py
"""

import argparse
import math
from collections.abc import Callable

import numpy as np

from onnxattr.space.sequential import StoppingRule, until_stable

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

#: Each with mean zero; the last two have a long tail to the right (skewness 2.0 and 3.8).
SHAPES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "exponential^1.5": lambda rng, size: rng.exponential(size=size) ** 1.5 - math.gamma(2.5),
}


def main() -> None:
    """Prints a line a shape: the shares of runs that end in a decision, and of those in a tie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--minimum", type=int, default=StoppingRule().minimum)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng, wanted = np.random.default_rng(given.seed), StoppingRule(minimum=given.minimum)
    print(f"{'difference':16} {'decided':>8} {'to tail':>8} {'from it':>8} {'tied':>8}")
    for name, draw in SHAPES.items():
        ends = []
        for row in draw(rng, (given.runs, given.probes)):
            standing = until_stable(np.stack([row, np.zeros_like(row)]), wanted)
            # The first source is the one whose difference has the tail.
            ends.append((standing.decided[0], standing.order[0] == 0))
        decided, first = np.array(ends).T
        shares = [decided, decided & first, decided & ~first, ~decided]
        print(f"{name:16}", *(f"{share.mean():8.3f}" for share in shares))


if __name__ == "__main__":
    main()
