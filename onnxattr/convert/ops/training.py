"""Steps of training of `ai.onnx.preview.training`, as plain functions of what they are given.

`Gradient` is not among them: gradients are what torch is here for.
"""

import torch

from onnxattr.convert.ops.table import operator


@operator("ai.onnx.preview.training.Adagrad")
def _adagrad(
    rate: torch.Tensor,
    step: torch.Tensor,
    *tensors: torch.Tensor,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
) -> tuple[torch.Tensor, ...]:
    weights, gradients, squares = _groups(tensors, 3)
    rate = rate / (1 + step * decay_factor)
    gradients = [norm_coefficient * w + g for w, g in zip(weights, gradients, strict=True)]
    squares = [s + g * g for s, g in zip(squares, gradients, strict=True)]
    new = [
        w - rate * g / (_root(s) + epsilon)
        for w, g, s in zip(weights, gradients, squares, strict=True)
    ]
    return (*new, *squares)


@operator("ai.onnx.preview.training.Momentum")
def _momentum(
    rate: torch.Tensor,
    step: torch.Tensor,
    *tensors: torch.Tensor,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[torch.Tensor, ...]:
    weights, gradients, momenta = _groups(tensors, 3)
    gradients = [norm_coefficient * w + g for w, g in zip(weights, gradients, strict=True)]
    # Before the first step there is nothing to be dampened.
    beta_now = torch.where(step > 0, beta, 1.0).to(rate.dtype)
    momenta = [alpha * m + beta_now * g for m, g in zip(momenta, gradients, strict=True)]
    steps = (
        [g + alpha * m for m, g in zip(momenta, gradients, strict=True)]
        if mode == "nesterov"
        else momenta
    )
    return (*(w - rate * s for w, s in zip(weights, steps, strict=True)), *momenta)


@operator("ai.onnx.preview.training.Adam")
def _adam(
    rate: torch.Tensor,
    step: torch.Tensor,
    *tensors: torch.Tensor,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[torch.Tensor, ...]:
    weights, gradients, means, squares = _groups(tensors, 4)
    gradients = [norm_coefficient * w + g for w, g in zip(weights, gradients, strict=True)]
    means = [alpha * m + (1 - alpha) * g for m, g in zip(means, gradients, strict=True)]
    squares = [beta * s + (1 - beta) * g * g for s, g in zip(squares, gradients, strict=True)]
    # Before the first step nothing is corrected, and both powers are one.
    power = torch.where(step > 0, step, 1).to(rate.dtype)
    corrected = rate * (1 - beta**power).sqrt() / (1 - alpha**power)
    rate = torch.where(step > 0, corrected, rate)
    new = [
        (1 - norm_coefficient_post) * (w - rate * m / (_root(s) + epsilon))
        for w, m, s in zip(weights, means, squares, strict=True)
    ]
    return (*new, *means, *squares)


def _root(x: torch.Tensor) -> torch.Tensor:
    """Returns the square root, with a gradient of zero at zero."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)


def _groups(tensors: tuple[torch.Tensor, ...], count: int) -> list[list[torch.Tensor]]:
    """Returns the inputs in as many groups, each of which has one tensor for each weight."""
    size = len(tensors) // count
    return [list(tensors[i * size : (i + 1) * size]) for i in range(count)]
