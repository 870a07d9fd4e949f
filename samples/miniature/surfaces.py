"""Edges, corners and curvature of arrays on a grid: formulas for targets; needs numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
JUMP = 0.15
"""Difference of log depth between neighbours from which they count as different surfaces."""
REACH = 0.1
"""Metres: a curvature of radius `REACH` is squashed to one half."""


def blur(values: Float64) -> Float64:
    """Return values [height, width, …] smoothed by a 5×5 binomial, edges repeated."""
    for axis in (0, 1):
        pad = [(2, 2) if a == axis else (0, 0) for a in range(values.ndim)]
        wide = np.pad(values, pad, mode="edge")
        length = values.shape[axis]
        parts = [np.take(wide, range(k, k + length), axis) for k in range(5)]
        values = sum(w * part for w, part in zip(BINOMIAL, parts, strict=True))  # type: ignore[assignment]
    return values


def corners(values: Float64) -> Float64:
    """Return how much values [height, width, channel] change in *every* direction, [height, width].

    The square root of the smaller eigenvalue of the structure tensor G = blur(Σ_c ∇v_c ∇v_cᵀ), with
    central differences: zero on flat parts and along straight edges (Shi & Tomasi 1994).
    """
    down, right = np.gradient(values, axis=(0, 1))
    a, b, c = (blur((p * q).sum(-1)) for p, q in ((right, right), (right, down), (down, down)))
    smaller = (a + c) / 2 - np.hypot((a - c) / 2, b)
    return np.asarray(np.sqrt(np.maximum(smaller, 0)))


def folds(depth: Float64) -> Float64:
    """Return where one surface hides another, 0..1, from depth [height, width] in metres.

    On a plane 1 / depth is affine in the pixel's position, so that its second differences vanish
    however steep the plane is seen. With d = 1 / depth, at each pixel and along rows and columns:
    |d₋ - 2 d + d₊| / d, their sum clipped to 1. A crease between two walls gives a few hundredths.
    """
    near = 1 / depth
    total = np.zeros_like(near)
    total[:, 1:-1] += np.abs(near[:, :-2] - 2 * near[:, 1:-1] + near[:, 2:])
    total[1:-1] += np.abs(near[:-2] - 2 * near[1:-1] + near[2:])
    return np.minimum(total / near, 1)


def curvatures(normals: Float64, depth: Float64, focal: float) -> Float64:
    """Return the two principal curvatures as the picture shows them, float [height, width, 2].

    The shape operator is taken in the image plane: S = (J + Jᵀ) / 2, where J holds the change of
    the normal's x and y for a metre to the right and a metre down (a pixel is depth / focal
    metres), and differences across a jump of depth count as zero. Its eigenvalues k, the larger
    first, are squashed to k·r / (1 + |k|·r), r = 0.1 m. A ball of radius R has 1 / R at its middle,
    hollow corners are negative, and a plane has zero.

    Args:
        normals: [height, width, 3], unit, camera frame (x right, y down), towards the camera.
        depth: [height, width], metres.
        focal: Focal length in pixels.
    """
    metre = depth / focal
    jacobian = [_slope(normals[..., i], depth, axis) / metre for i in (0, 1) for axis in (1, 0)]
    xx, xy, yx, yy = jacobian
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, (xy + yx) / 2)
    both = np.stack([middle + spread, middle - spread], axis=-1) * REACH
    return np.asarray(both / (1 + np.abs(both)))


def _slope(values: Float64, depth: Float64, axis: int) -> Float64:
    """Return the mean of the differences to both neighbours along an axis that are no jumps."""
    step = np.diff(values, axis=axis)
    step[np.abs(np.diff(np.log(depth), axis=axis)) > JUMP] = 0
    pad = [(1, 1) if a == axis else (0, 0) for a in range(2)]
    steps = np.pad(step, pad)
    before, after = (np.take(steps, range(k, k + values.shape[axis]), axis) for k in (0, 1))
    return np.asarray((before + after) / 2)
