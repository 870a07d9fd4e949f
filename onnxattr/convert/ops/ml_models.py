"""Linear models and support vector machines of domain `ai.onnx.ml`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from onnxattr.convert.ops.ml import learned
from onnxattr.errors import SupportError

#: How close libsvm, and so ONNX Runtime, comes to the probabilities, times the number of classes.
_CLOSE = 0.005

Labels = Sequence[int]


@learned("LinearRegressor")
def _linear_regressor(
    x: torch.Tensor,
    *,
    coefficients: torch.Tensor,
    intercepts: torch.Tensor | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> torch.Tensor:
    y = x.to(coefficients.dtype) @ coefficients.reshape(targets, -1).T
    return _transformed(y if intercepts is None else y + intercepts, post_transform)


@learned("LinearClassifier")
def _linear_classifier(
    x: torch.Tensor,
    *,
    coefficients: torch.Tensor,
    classlabels_ints: Labels = (),
    classlabels_strings: Sequence[str] = (),
    intercepts: torch.Tensor | None = None,
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> tuple[torch.Tensor | None, torch.Tensor]:
    y = x if x.ndim == 2 else x.reshape(1, -1)
    rows = coefficients.reshape(-1, y.shape[1])
    # Files of 2018 store more coefficients than there are scores; ONNX Runtime reads the first.
    rows = rows if intercepts is None else rows[: len(intercepts)]
    scores = y.to(coefficients.dtype) @ rows.T
    scores = scores if intercepts is None else scores + intercepts
    if scores.shape[1] == 1:
        # ONNX Runtime takes a single score for that of the second class, or of the only one.
        count = max(len(classlabels_ints), len(classlabels_strings))
        chosen = (scores[:, 0] > 0).to(torch.int64)
        if count == 2:
            label = _named(chosen, classlabels_ints, classlabels_strings)
            return label, _two(scores, post_transform, 1 - scores)
        return chosen, _transformed(scores, post_transform)
    label = _named(scores.argmax(1), classlabels_ints, classlabels_strings)
    return label, _transformed(scores, post_transform)


@learned("SVMRegressor")
def _svm_regressor(
    x: torch.Tensor,
    *,
    coefficients: torch.Tensor,
    rho: torch.Tensor,
    kernel_params: torch.Tensor | None = None,
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    support_vectors: torch.Tensor | None = None,
) -> torch.Tensor:
    x = x.to(coefficients.dtype)
    if n_supports and support_vectors is not None:
        vectors = support_vectors.reshape(n_supports, -1)
        y = _kernel(x, vectors, kernel_type, kernel_params) @ coefficients.reshape(-1, 1)
    else:
        y = x @ coefficients.reshape(-1, 1)
    y = y + rho[0]
    if one_class:
        return torch.where(y > 0, 1.0, -1.0).to(y.dtype)
    return _transformed(y, post_transform)


@learned("SVMClassifier")
def _svm_classifier(
    x: torch.Tensor,
    *,
    coefficients: torch.Tensor,
    rho: torch.Tensor,
    classlabels_ints: Labels = (),
    classlabels_strings: Sequence[str] = (),
    kernel_params: torch.Tensor | None = None,
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: torch.Tensor | None = None,
    prob_b: torch.Tensor | None = None,
    support_vectors: torch.Tensor | None = None,
    vectors_per_class: Sequence[int] = (),
) -> tuple[torch.Tensor | None, torch.Tensor]:
    x = x.to(coefficients.dtype)
    classes = max(len(classlabels_ints), len(classlabels_strings), 1)
    if not sum(vectors_per_class) or support_vectors is None:
        # Without support vectors it is a linear model, whatever the kernel says.
        scores = x @ coefficients.reshape(classes, -1).T + rho[0]
        chosen = scores.argmax(1)
        label = _named(chosen, classlabels_ints, classlabels_strings)
        return label, _transformed(scores, post_transform)
    vectors = support_vectors.reshape(sum(vectors_per_class), -1)
    kernels = _kernel(x, vectors, kernel_type, kernel_params)
    scores, votes = _duels(kernels, coefficients, rho, vectors_per_class)
    chosen = votes.argmax(1)
    label = _named(chosen, classlabels_ints, classlabels_strings)
    if prob_a is not None and prob_b is not None:
        return label, _transformed(_probabilities(scores, prob_a, prob_b, classes), post_transform)
    if classes == 2:
        other = -scores if post_transform == "NONE" else 1 - scores
        return label, _two(scores, post_transform, other)
    return label, _transformed(scores, post_transform)


def _kernel(
    x: torch.Tensor, vectors: torch.Tensor, kind: str, parameters: torch.Tensor | None
) -> torch.Tensor:
    """Returns the kernel of each input and each vector."""
    if kind == "LINEAR":
        return x @ vectors.T
    if parameters is None:
        raise SupportError(f"a kernel {kind} without parameters")
    gamma, offset, degree = parameters.unbind()
    if kind == "RBF":
        # (a - b)² = a² - 2ab + b² is fast, and loses digits only where the kernel is 1.
        squared = x.square().sum(1, keepdim=True) + vectors.square().sum(1) - 2 * x @ vectors.T
        return torch.exp(-gamma * squared)
    product = gamma * (x @ vectors.T) + offset
    if kind == "POLY":
        return product**degree
    if kind == "SIGMOID":
        return torch.tanh(product)
    raise SupportError(f"the kernel `{kind}`")


def _duels(
    kernels: torch.Tensor,
    coefficients: torch.Tensor,
    rho: torch.Tensor,
    per_class: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the scores of each pair of classes, and how many duels each class wins."""
    parts = torch.split(kernels, list(per_class), 1)
    rows = [torch.split(row, list(per_class)) for row in coefficients.reshape(-1, kernels.shape[1])]
    classes = len(per_class)
    scores: list[torch.Tensor] = []
    votes = [kernels.new_zeros(kernels.shape[0]) for _ in per_class]
    for i in range(classes):
        for j in range(i + 1, classes):
            score = parts[i] @ rows[j - 1][i] + parts[j] @ rows[i][j] + rho[len(scores)]
            won = (score > 0).to(score.dtype)
            votes[i], votes[j] = votes[i] + won, votes[j] + 1 - won
            scores.append(score)
    return torch.stack(scores, 1), torch.stack(votes, 1)


def _probabilities(
    scores: torch.Tensor, a: torch.Tensor, b: torch.Tensor, classes: int
) -> torch.Tensor:
    """Returns libsvm's probabilities of the classes from those of the pairs.

    It stops as soon as it is close enough, which shows in the third digit, so its steps are taken
    one by one; a row that has stopped stays as it is. See Wu, Lin, Weng: Probability estimates for
    multi-class classification by pairwise coupling, JMLR 2004, algorithm 2.
    """
    pairs = torch.sigmoid(-(scores * a + b)).clamp(1e-7, 1 - 1e-7)
    place = iter(range(pairs.shape[1]))
    wins: list[list[torch.Tensor]] = [[pairs[:, 0]] * classes for _ in range(classes)]
    for i in range(classes):
        for j in range(i + 1, classes):
            wins[i][j] = pairs[:, next(place)]
            wins[j][i] = 1 - wins[i][j]
    matrix = torch.stack(
        [
            torch.stack(
                [-wins[j][i] * wins[i][j] if i != j else _squares(wins, i) for j in range(classes)],
                1,
            )
            for i in range(classes)
        ],
        1,
    )
    p = torch.full_like(matrix[:, 0], 1 / classes)
    for _ in range(max(100, classes)):
        product = (matrix @ p.unsqueeze(-1)).squeeze(-1)
        mean = (p * product).sum(1, keepdim=True)
        done = (product - mean).abs().amax(1, keepdim=True) < _CLOSE / classes
        new = p
        for t in range(classes):
            diagonal = matrix[:, t, t].unsqueeze(1)
            change = (mean - product[:, t : t + 1]) / diagonal
            at = torch.zeros_like(p)
            at[:, t : t + 1] = 1
            scale = 1 + change
            mean = (
                mean + change * (change * diagonal + 2 * product[:, t : t + 1])
            ) / scale.square()
            new = (new + at * change) / scale
            product = (product + change * matrix[:, t]) / scale
        p = torch.where(done, p, new)
    return p


def _squares(wins: list[list[torch.Tensor]], i: int) -> torch.Tensor:
    losses = [wins[j][i].square() for j in range(len(wins)) if j != i]
    return torch.stack(losses).sum(0)


def _two(scores: torch.Tensor, transform: str, other: torch.Tensor) -> torch.Tensor:
    """Returns scores of two classes from the one of the second, as ONNX Runtime makes them.

    It computes the logistic of both, and leaves them as they are for the other transforms.
    """
    if transform == "PROBIT":
        raise SupportError("the transform `PROBIT` of a single score")
    if transform == "LOGISTIC":
        return torch.sigmoid(torch.cat([-scores, scores], 1))
    return torch.cat([other, scores], 1)


def _transformed(scores: torch.Tensor, transform: str) -> torch.Tensor:
    if transform == "NONE":
        return scores
    if transform == "LOGISTIC":
        return torch.sigmoid(scores)
    if transform == "SOFTMAX":
        return scores.softmax(-1)
    if transform == "SOFTMAX_ZERO":
        # A score of 0 stays 0.
        there = scores.abs() > 1e-7
        top = scores.amax(-1, keepdim=True)
        weights = torch.where(there, torch.exp(scores - top), scores * torch.exp(-top))
        total = weights.sum(-1, keepdim=True)
        return torch.where(total == 0, 0.5, weights / torch.where(total == 0, 1, total))
    if transform == "PROBIT":
        return _probit(scores)
    raise SupportError(f"the transform `{transform}`")


def _probit(p: torch.Tensor) -> torch.Tensor:
    """Returns Winitzki's approximation of the quantile of the normal distribution.

    It is ONNX Runtime's: the exact one differs in the third digit.
    """
    x = 2 * p - 1
    log = torch.log((1 - x) * (1 + x))
    v = 2 / (math.pi * 0.147) + 0.5 * log
    # At 1/2 the root is of 0.
    inside = v.square() - log / 0.147
    size = torch.sqrt((inside.sqrt() - v).clamp(min=1e-30))
    return math.sqrt(2) * torch.sign(x) * size


def _named(chosen: torch.Tensor, labels: Labels, strings: Sequence[str]) -> torch.Tensor | None:
    """Returns class labels, None where they are strings: nothing reads those."""
    if strings:
        return None
    return torch.tensor(labels, device=chosen.device)[chosen] if labels else chosen
