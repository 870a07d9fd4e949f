"""Signatures in the manner of Zest (Jia, Chen, Papernot 2022, "A Zest of LIME", ICLR).

Around each reference image, squares of it are hidden at random, and a linear model learns each
output from which squares are seen (LIME; Ribeiro, Singh, Guestrin 2016). All coefficients together
are the signature, and two models are compared by the cosine of theirs. Where we differ: squares in
place of superpixels, because the images are tiny; and outputs are channels of a representation,
averaged over places, since encoders have no classes. As theirs have no order that two models share,
`matched` pairs them by the Hungarian method first.
"""

from __future__ import annotations

import numpy as np

from benchmarks.disguises.answers import Answers, Float32

SIDE = 8
"""Squares a side."""
MASKS = 128
WIDTH = 0.25
RIDGE = 1.0
"""LIME's kernel width (of the cosine distance) and its ridge."""


def masks(seed: int) -> Float32:
    """Return which squares are seen, [mask, square] of 0 and 1; all of them in the first."""
    drawn = np.random.default_rng(seed).integers(0, 2, (MASKS, SIDE * SIDE))
    drawn[0] = 1
    return drawn.astype(np.float32)


def signature(answers: Answers, images: Float32, seen: Float32) -> Float32:
    """Return the coefficients of squares for outputs, [image, square, output].

    Args:
        answers: Of the model.
        images: Reference images, [image, 3, y, x] in 0..1.
        seen: [mask, square].
    """
    solve = _solver(seen)
    return np.stack([solve @ _pooled(answers(_hidden(image, seen))) for image in images])


def plain(one: Float32, other: Float32) -> float:
    """Return the cosine of two signatures, as in the paper; NaN where outputs differ in number."""
    return _cosine(one, other) if one.shape == other.shape else float("nan")


def matched(one: Float32, other: Float32) -> float:
    """Return the cosine of two signatures after their outputs were paired, each of unit norm."""
    from scipy.optimize import linear_sum_assignment

    first, second = (_units(part) for part in (one, other))
    cosines = first.T @ second
    return float(cosines[linear_sum_assignment(cosines, maximize=True)].mean())


def _solver(seen: Float32) -> Float32:
    """Return the matrix [square, mask] that takes outputs to the weighted ridge's coefficients."""
    share = np.sqrt(seen.mean(axis=1))  # the cosine of a mask with that of all squares
    weights = np.sqrt(np.exp(-((1 - share) ** 2) / WIDTH**2))[:, None]
    centred = seen - (weights * seen).sum(axis=0) / weights.sum()
    gram = centred.T @ (weights * centred) + RIDGE * np.eye(seen.shape[1])
    result: Float32 = np.linalg.solve(gram, (weights * centred).T)
    return result


def _hidden(image: Float32, seen: Float32) -> Float32:
    """Return the image once a mask, hidden squares in their mean colour."""
    colours, height, width = image.shape
    tiles = image.reshape(colours, SIDE, height // SIDE, SIDE, width // SIDE)
    flat = np.broadcast_to(tiles.mean(axis=(2, 4), keepdims=True), tiles.shape)
    kept = seen.reshape(-1, 1, SIDE, 1, SIDE, 1)
    both: Float32 = (kept * tiles + (1 - kept) * flat).reshape(-1, colours, height, width)
    return both.astype(np.float32)


def _pooled(found: Float32) -> Float32:
    return found.reshape(*found.shape[:2], -1).mean(axis=2)


def _units(signature: Float32) -> Float32:
    rows = signature.reshape(-1, signature.shape[-1])
    result: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=0), 1e-12)
    return result


def _cosine(one: Float32, other: Float32) -> float:
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / max(float(norms), 1e-12))
