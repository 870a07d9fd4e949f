"""Decision distances in the manner of ModelDiff (Li et al. 2021, ISSTA).

Each of some images gets a twin that the victim answers as differently as possible: gradient ascent
within ε of every pixel. A model's vector holds, for each pair, the cosine distance of its two
answers; two models are compared by the cosine of their vectors, whatever the sizes of their
answers. Where we differ: answers are representations, and pairs are made by projected gradients.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.disguises.answers import Answers, Float32

EPSILON = 0.06
"""How far a pixel may go, of 0..1."""
STEPS = 10


def twins(victim: nn.Module, images: Float32, seed: int) -> Float32:
    """Return the images that the victim answers most differently, [image, 3, y, x] in 0..1."""
    start = torch.from_numpy(images)
    generator = torch.Generator().manual_seed(seed)
    change = EPSILON * (2 * torch.rand(start.shape, generator=generator) - 1)
    with torch.no_grad():
        known = victim(start)
    for _ in range(STEPS):
        change.requires_grad_(True)
        distance = (victim((start + change).clamp(0, 1)) - known).square().sum()
        (slope,) = torch.autograd.grad(distance, change)
        change = (change.detach() + EPSILON / 4 * slope.sign()).clamp(-EPSILON, EPSILON)
    result: Float32 = (start + change).clamp(0, 1).numpy()
    return result


def distances(answers: Answers, images: Float32, others: Float32) -> Float32:
    """Return the cosine distance of a model's answers to each pair of images, [pair]."""
    one, other = (answers(part).reshape(len(part), -1) for part in (images, others))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    result: Float32 = 1 - (one * other).sum(axis=1) / np.maximum(norms, 1e-12)
    return result


def compare(one: Float32, other: Float32) -> float:
    """Return the cosine of two models' distances."""
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / max(float(norms), 1e-12))
