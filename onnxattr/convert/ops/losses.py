"""Losses of a classification."""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.table import operator


@operator("NegativeLogLikelihoodLoss", 12, 13, 22)
def _negative_log_likelihood(
    x: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    return _loss(x, target, weight, ignore_index, reduction)


@operator("SoftmaxCrossEntropyLoss", 12, 13)
def _softmax_cross_entropy(
    x: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[torch.Tensor, torch.Tensor]:
    logarithms = F.log_softmax(x, 1)
    return _loss(logarithms, target, weight, ignore_index, reduction), logarithms


def _loss(
    x: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    ignored: int | None,
    reduction: str,
) -> torch.Tensor:
    """Returns minus what `x` holds at the targets, weighted, all of it or in one number.

    torch's own has no gradient of the weights.
    """
    place = target.long()
    counts = None if ignored is None else place != ignored
    if counts is not None:
        # What is ignored may be no class at all.
        place = torch.where(counts, place, 0)
    loss = -x.gather(1, place.unsqueeze(1)).squeeze(1)
    factors = None if weight is None else weight.take(place)
    if counts is not None:
        loss = torch.where(counts, loss, 0)
        factors = counts.to(x.dtype) if factors is None else torch.where(counts, factors, 0)
    if factors is not None and weight is not None:
        loss = loss * factors
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.mean() if factors is None else loss.sum() / factors.sum()
