"""Rules of normalisations: what is divided by is held, what is subtracted is part of the signal.

A normalisation is then linear (Ali et al. 2022, section 3.2: “detach the standard deviation”).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.attribution.rules.parts import held, layer_normalised, normalised, secant
from onnxattr.attribution.rules.table import Function, Site, row, rule
from onnxattr.errors import SupportError

Tensor = torch.Tensor

#: What is moved by a bias: positions of the input, and of the bias.
_WITH_BIAS = (0, 2)


@rule("BatchNormalization", signal=(0, 2, 3))
def _batch_normalization(site: Site) -> Function:
    """By statistics that are stored it is linear; the mean, too, is a bias."""
    attributes = site.call.attributes
    first = "is_test" in attributes or "consumed_inputs" in attributes
    if attributes.get("training_mode") or (site.call.outputs > 1 and not first):
        raise SupportError("a BatchNormalization by the statistics of its own batch")

    def compute(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Any:
        return site.function(x, held(scale), bias, mean, held(variance))

    return compute


def _affine(y: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
    y = y if scale is None else y * held(scale)
    return y if bias is None else y + bias


def _over_last(
    x: Tensor, count: int, scale: Tensor | None, bias: Tensor | None, epsilon: float
) -> Tensor:
    """Returns a layer normalisation over the last axes, whatever its parameters broadcast from."""
    shape = x.shape[x.ndim - count :]
    if all(p is None or (p.shape == shape and p.dtype == x.dtype) for p in (scale, bias)):
        return layer_normalised(x, count, scale, bias, epsilon)
    y = layer_normalised(x, count, None, None, epsilon)
    return _affine(y if scale is None else y.to(scale.dtype), scale, bias)


@rule(
    "LayerNormalization",
    ".LayerNormalization",
    "com.microsoft.LayerNormalization",
    signal=_WITH_BIAS,
)
def _layer_normalization(site: Site) -> Function:
    epsilon, axis = _epsilon(site), site.call.attributes.get("axis", -1)

    def compute(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
        count = x.ndim - axis % x.ndim
        y = _over_last(x, count, scale, bias, epsilon)
        if site.call.outputs == 1:
            return y
        # The mean is linear, too; a standard deviation bears nothing.
        _, mean, *rest = site.function(x.detach(), held(scale), held(bias))
        along = x.mean(list(range(axis % x.ndim, x.ndim)), keepdim=True).to(mean.dtype)
        return (y, along, *rest)

    return compute


@rule("FusedLayerNormalization", signal=_WITH_BIAS)
def _fused_layer_normalization(site: Site) -> Function:
    epsilon, axes = _epsilon(site), site.call.attributes.get("axes", (-1,))

    def compute(x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        count = len(axes)
        last = tuple(range(-count, 0))
        ordered = tuple(sorted(a % x.ndim - x.ndim for a in axes))
        shape = [x.shape[a] for a in ordered]
        whole = all(p is None or p.numel() == math.prod(shape) for p in (scale, bias))
        if ordered == last and whole:
            scale, bias = (None if p is None else p.reshape(shape) for p in (scale, bias))
            return layer_normalised(x, count, scale, bias, epsilon)
        y = layer_normalised(x.movedim(ordered, last), count, None, None, epsilon)
        return _affine(y.movedim(last, ordered), scale, bias)

    return compute


@rule(
    "RMSNormalization",
    ".SimplifiedLayerNormalization",
    "com.microsoft.SimplifiedLayerNormalization",
)
def _rms_normalization(site: Site) -> Function:
    epsilon, axis = _epsilon(site), site.call.attributes.get("axis", -1)

    def compute(x: Tensor, scale: Tensor) -> Any:
        axes = range(axis % x.ndim, x.ndim)
        y = normalised(x, axes, epsilon, centre=False).to(scale.dtype) * held(scale)
        return y if site.call.outputs == 1 else (y, *_held_outputs(site, x, scale)[1:])

    return compute


@rule("com.microsoft.SkipLayerNormalization", signal=(0, 1, 3, 4))
def _skip_layer_normalization(site: Site) -> Function:
    epsilon = _epsilon(site, 1e-12)

    def compute(
        x: Tensor,
        skip: Tensor,
        scale: Tensor,
        bias: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Any:
        total = x + skip if added is None else x + skip + added
        y = _over_last(total, scale.ndim, scale, bias, epsilon)
        if site.call.outputs == 1:
            return y
        mean, inverse = _held_outputs(site, x, skip, scale, bias, added)[1:3]
        return y, mean, inverse, total

    return compute


@rule("com.microsoft.SkipSimplifiedLayerNormalization", signal=(0, 1, 3))
def _skip_rms_normalization(site: Site) -> Function:
    epsilon = _epsilon(site, 1e-12)

    def compute(x: Tensor, skip: Tensor, scale: Tensor, added: Tensor | None = None) -> Any:
        total = x + skip if added is None else x + skip + added
        y = normalised(total, [-1], epsilon, centre=False).to(scale.dtype) * held(scale)
        if site.call.outputs == 1:
            return y
        mean, inverse = _held_outputs(site, x, skip, scale, added)[1:3]
        return y, mean, inverse, total

    return compute


def _by_groups(x: Tensor, groups: int, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Returns a normalisation of each group of channels, with parameters for each channel."""
    y = layer_normalised(x.reshape(len(x), groups, -1), 1, None, None, epsilon).reshape(x.shape)
    form = (-1, *[1] * (x.ndim - 2))
    return _affine(y, scale.to(x.dtype).reshape(form), bias.to(x.dtype).reshape(form))


@rule("InstanceNormalization", signal=_WITH_BIAS)
def _instance_normalization(site: Site) -> Function:
    epsilon = _epsilon(site)

    def compute(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return _by_groups(x, x.shape[1], scale, bias, epsilon)

    return compute


@rule("GroupNormalization", signal=_WITH_BIAS)
def _group_normalization(site: Site) -> Function:
    epsilon, groups = _epsilon(site), site.call.attributes["num_groups"]

    def compute(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        # The form that was withdrawn has one value a group.
        repeats = x.shape[1] // len(scale)
        scale, bias = (p.repeat_interleave(repeats) if repeats > 1 else p for p in (scale, bias))
        return _by_groups(x, groups, scale, bias, epsilon)

    return compute


@rule("com.microsoft.GroupNorm", signal=_WITH_BIAS)
def _microsoft_group_norm(site: Site) -> Function:
    return _group_norm_of(site)


@rule("com.microsoft.SkipGroupNorm", signal=(0, 2, 3, 4))
def _skip_group_norm(site: Site) -> Function:
    normalise, last = _group_norm_of(site), site.call.attributes.get("channels_last", 1)

    def compute(
        x: Tensor, scale: Tensor, bias: Tensor, skip: Tensor, added: Tensor | None = None
    ) -> Any:
        if skip.ndim == 2:
            skip = skip[:, None, None, :] if last else skip[:, :, None, None]
        if added is not None and not last:
            added = added[:, None, None]
        total = x + skip if added is None else x + skip + added
        y = normalise(total, scale, bias)
        return y if site.call.outputs == 1 else (y, total)

    return compute


def _group_norm_of(site: Site) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    attributes, epsilon = site.call.attributes, _epsilon(site)
    after = secant(F.silu) if attributes["activation"] else None

    def compute(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        last = attributes.get("channels_last", 1)
        y = x.movedim(-1, 1) if last else x
        y = _by_groups(y, attributes["groups"], scale, bias, epsilon)
        y = y if after is None else after(y)
        return y.movedim(1, -1) if last else y

    return compute


@rule("MeanVarianceNormalization")
def _mean_variance_normalization(site: Site) -> Function:
    axes = site.call.attributes.get("axes", (0, 2, 3))

    def compute(x: Tensor) -> Tensor:
        centred = x - x.mean(list(axes), keepdim=True)
        # The operator's own: σ + 1e-9, where it is not zero.
        deviation = centred.detach().square().mean(list(axes), keepdim=True).sqrt()
        return centred / (deviation + 1e-9)

    return compute


def _divided(norm: Callable[[Site, Tensor], Tensor]) -> Callable[[Site], Function]:
    """Returns the rule of an operator that divides a tensor by what is made of it."""

    def rule(site: Site) -> Function:
        def compute(x: Tensor) -> Tensor:
            with torch.no_grad():
                by = norm(site, x)
            return x / torch.where(by == 0, 1, by)

        return compute

    return rule


def _lp_norm(site: Site, x: Tensor) -> Tensor:
    attributes = site.call.attributes
    norm: Tensor = torch.linalg.vector_norm(
        x, attributes.get("p", 2), attributes.get("axis", -1), keepdim=True
    )
    return norm


def _lrn_divisor(site: Site, x: Tensor) -> Tensor:
    attributes = site.call.attributes
    size = attributes["size"]
    squares = x.square().reshape(x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    # The larger half of an even region comes after the channel.
    squares = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    means = F.avg_pool2d(squares, (size, 1), 1).reshape(x.shape)
    base: Tensor = attributes.get("bias", 1.0) + attributes.get("alpha", 1e-4) * means
    return base.pow(attributes.get("beta", 0.75))


def _feature_norm(site: Site, x: Tensor) -> Tensor:
    """Returns the largest number, the sum of sizes, or the root of squares, of each row."""
    axis = min(1, x.ndim - 1)
    name = site.call.attributes.get("norm", "MAX")
    if name == "MAX":
        return x.amax(axis, keepdim=True)
    norm: Tensor = torch.linalg.vector_norm(x, {"L1": 1, "L2": 2}[name], axis, keepdim=True)
    return norm


row("ai.onnx.ml.Normalizer", rule=_divided(_feature_norm))
row("LpNormalization", rule=_divided(_lp_norm))
row("LRN", rule=_divided(_lrn_divisor))


def _epsilon(site: Site, default: float = 1e-5) -> float:
    epsilon: float = site.call.attributes.get("epsilon", default)
    return epsilon


def _held_outputs(site: Site, *arguments: Any) -> Sequence[Any]:
    """Returns all that the operator gives, none of it bearing relevance."""
    outputs: Sequence[Any] = site.function(*map(held, arguments))
    return outputs
