"""Unsupervised segments of a picture (Felzenszwalb & Huttenlocher 2004), and targets made of them.

Needs numpy only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


def colour_steps(image: Float64) -> tuple[Float64, Float64]:
    """Return how unlike neighbours are in colour: |Δ| to the right neighbour and to that below."""
    across, down = np.diff(image, axis=1), np.diff(image, axis=0)
    return np.linalg.norm(across, axis=-1), np.linalg.norm(down, axis=-1)


def surface_steps(normals: Float64, points: Float64) -> tuple[Float64, Float64]:
    """Return how little neighbours look like one smooth surface, to the right and below.

    |n - m| + 4 · max(|n·(q - p)|, |m·(q - p)|) / depth, for points p and q with normals n and m:
    zero on a plane, however steep it is seen, in the camera's frame (depth is its third axis).
    """

    def step(n: Float64, m: Float64, p: Float64, q: Float64) -> Float64:
        off = np.maximum(np.abs((n * (q - p)).sum(-1)), np.abs((m * (q - p)).sum(-1)))
        return np.linalg.norm(n - m, axis=-1) + 4 * off / np.minimum(p, q)[..., 2]

    return (
        step(normals[:, :-1], normals[:, 1:], points[:, :-1], points[:, 1:]),
        step(normals[:-1], normals[1:], points[:-1], points[1:]),
    )


def segment(steps: tuple[Float64, Float64], scale: float, smallest: int) -> Ids:
    """Return each pixel's segment, int [height, width], numbered from 0 in reading order.

    Every pixel is joined to its neighbours by edges with weights. By growing weight w, two segments
    become one if w ≤ min over both of (its heaviest inner edge + scale / its pixels); in the end
    those with fewer than `smallest` pixels join a neighbour, over the lightest edges first. Edges
    of equal weight are taken in a fixed order.

    Args:
        steps: Weights of the edges to the right, [height, width - 1], and of those down,
            [height - 1, width].
        scale: Larger means larger segments.
        smallest: Fewest pixels of a segment.
    """
    across, down = steps
    height, width = across.shape[0], down.shape[1]
    grid = np.arange(height * width).reshape(height, width)
    first = np.concatenate([grid[:, :-1].ravel(), grid[:-1].ravel()])
    second = np.concatenate([grid[:, 1:].ravel(), grid[1:].ravel()])
    weights = np.concatenate([across.ravel(), down.ravel()])
    order = np.argsort(weights.round(9), kind="stable")  # noise of arithmetic decides no ties
    columns = (values[order].tolist() for values in (first, second, weights))
    edges = list(zip(*columns, strict=True))

    parent = list(range(height * width))
    size = [1] * (height * width)
    limit = [scale] * (height * width)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b, weight in edges:
        a, b = root(a), root(b)
        if a != b and weight <= limit[a] and weight <= limit[b]:
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight + scale / size[a]
    for a, b, _ in edges:
        a, b = root(a), root(b)
        if a != b and (size[a] < smallest or size[b] < smallest):
            parent[b] = a
            size[a] += size[b]
    roots = np.array([root(node) for node in range(height * width)])
    _, seen, numbers = np.unique(roots, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(seen))[numbers].reshape(height, width)


def layout(segments: Ids) -> npt.NDArray[np.float32]:
    """Return where each pixel's segment is and how large, float32 [height, width, 3].

    The middle of the segment (right, down, both -1..1 over the picture) and the square root of its
    share of the picture: the same for all its pixels, and the same however segments are numbered.
    """
    height, width = segments.shape
    rows, columns = np.indices((height, width)).reshape(2, -1)
    numbers = segments.ravel()
    count = np.bincount(numbers)
    middle_x = np.bincount(numbers, (2 * columns + 1) / width - 1) / count
    middle_y = np.bincount(numbers, (2 * rows + 1) / height - 1) / count
    table = np.stack([middle_x, middle_y, np.sqrt(count / numbers.size)], axis=-1)
    return table[segments].astype(np.float32)
