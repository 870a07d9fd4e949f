"""When a growing set of probes is looked at, and how clear a difference must be at each look."""

from functools import lru_cache

import numpy as np

from onnxattr.arrays import Float64

#: From one look to the next at least so many probes, and a quarter of those there are.
STEP, SHARE = 8, 4

#: Points of the grid on which probabilities are integrated, and its half-width in standard
#: deviations.
_POINTS, _WIDTH = 1201, 8.0


def planned_looks(minimum: int, probes: int) -> tuple[int, ...]:
    """Returns after how many probes to look, in steps that grow by a quarter; the last is all.

    Few looks share the allowed error among few, and each costs a model's conversion.

    Args:
        minimum: Of the first look.
        probes: That there are; none of fewer than `minimum`.

    Example:
        >>> planned_looks(16, 200)
        (16, 24, 32, 40, 56, 72, 96, 120, 152, 192, 200)
    """
    looks = []
    at = minimum
    while at < probes:
        looks.append(at)
        at += max(STEP, -(-at // SHARE // STEP) * STEP)
    return (*looks, probes) if probes >= minimum else ()


@lru_cache(maxsize=64)
def bounds(looks: tuple[int, ...], error: float) -> tuple[float, ...]:
    """Returns how many standard errors above zero a mean must lie at each look.

    A group-sequential test: of a mean that is zero the probability of ever passing a bound is
    `error`, of which every look spends an equal share (Lan & DeMets 1983, *Discrete sequential
    boundaries for clinical trials*). The density of the sum among those that have passed none is
    carried from look to look (Armitage, McPherson & Rowe 1969). Sums are taken for normal, which
    they become as the probes grow. A confidence sequence, which may be asked for ever and not
    at planned looks alone, needs a bound that is wider by a tenth.

    Args:
        looks: Numbers of probes, rising.
        error: 0..½.

    Example:
        >>> round(bounds((100,), 0.05)[0], 3)  # One look: the normal quantile.
        1.645
    """
    share = error / len(looks)
    found: list[float] = []
    sums, density, last = np.zeros(1), np.ones(1), 0
    for look in looks:
        # Of the scaled sum, which a probe moves by one standard deviation.
        grid = np.linspace(-_WIDTH, _WIDTH, _POINTS) * np.sqrt(look)
        spread = look - last
        steps = np.exp(-((grid[:, None] - sums) ** 2) / (2 * spread)) / np.sqrt(2 * np.pi * spread)
        width = grid[1] - grid[0]
        reached = steps @ (density * (sums[1] - sums[0] if len(sums) > 1 else 1.0))
        tail = np.cumsum((reached * width)[::-1])[::-1] - reached * width / 2
        bound = float(np.interp(-np.log(share), -np.log(tail), grid))
        found.append(bound / float(np.sqrt(look)))
        passed = grid > bound
        # The grid's last cell is cut where the bound is, not at the next of its points.
        sums, density, last = grid[~passed], _cut(reached[~passed], grid, bound), look
    return tuple(found)


def _cut(density: Float64, grid: Float64, bound: float) -> Float64:
    """Returns the density below the bound, its last point weighed by what is left of its cell."""
    width = grid[1] - grid[0]
    weights = np.ones(len(density))
    weights[-1] = 0.5 + (bound - grid[len(density) - 1]) / width
    result: Float64 = density * weights
    return result
