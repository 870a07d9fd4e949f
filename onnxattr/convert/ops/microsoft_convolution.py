"""Convolutions of ONNX Runtime: with an activation fused, channels last, and with pads as input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.microsoft_fused import activated
from onnxattr.convert.ops.numbers import Stored, integers
from onnxattr.convert.ops.quantised_products import convolve, padding_of
from onnxattr.convert.ops.table import operator

_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@operator("com.microsoft.FusedConv")
def _fused_conv(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] = (),
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    y = convolve(
        x,
        w,
        bias,
        group=group,
        pads=pads,
        strides=strides,
        dilations=dilations,
        auto_pad=auto_pad,
    )
    return activated(y if added is None else y + added, activation, *activation_params)


@operator("com.microsoft.NhwcFusedConv")
def _nhwc_fused_conv(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] = (),
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    y = convolve(
        x.movedim(-1, 1),
        w,
        bias,
        group=group,
        pads=pads,
        strides=strides,
        dilations=dilations,
        auto_pad=auto_pad,
    ).movedim(1, -1)
    return activated(y if added is None else y + added, activation, *activation_params)


@operator("com.microsoft.NhwcConv")
def _nhwc_conv(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    return convolve(
        x.movedim(-1, 1),
        w,
        bias,
        group=group,
        pads=pads,
        strides=strides,
        dilations=dilations,
        auto_pad=auto_pad,
    ).movedim(1, -1)


@operator("com.microsoft.NhwcMaxPool")
def _nhwc_max_pool(
    x: torch.Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    # Of integers, which are moved into floating point if they are not carried in it already.
    y = x.movedim(-1, 1)
    y = y if y.is_floating_point() else y.to(torch.float32)
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    before, after = padding_of(y, kernel_shape, pads, strides, dilations, auto_pad)
    padding = [p for pair in zip(before[::-1], after[::-1], strict=True) for p in pair]
    y = F.pad(y, padding, value=-torch.inf) if any(padding) else y
    y = _MAX_POOLS[rank](
        y, list(kernel_shape), list(strides), 0, list(dilations), ceil_mode=bool(ceil_mode)
    )
    return y.movedim(1, -1).to(x.dtype)


@operator("com.microsoft.ConvTransposeWithDynamicPads", stored=(2,))
def _conv_transpose_with_dynamic_pads(
    x: torch.Tensor,
    w: torch.Tensor,
    pads: Stored = None,
    bias: torch.Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:
    if auto_pad != "NOTSET":
        raise NotImplementedError(f"`auto_pad` {auto_pad} of a ConvTransposeWithDynamicPads")
    rank = w.ndim - 2
    cut = integers(pads) or [0] * 2 * rank
    extra = output_padding or [0] * rank
    y = _TRANSPOSED[rank](
        x, w, bias, tuple(strides or [1] * rank), 0, 0, group, tuple(dilations or [1] * rank)
    )
    # What the pads cut away may be put back by the output's own padding, so both are done at once.
    change = [p for i in reversed(range(rank)) for p in (-cut[i], extra[i] - cut[rank + i])]
    if bias is not None and any(p > 0 for p in change):
        raise NotImplementedError("output padding that exceeds the pads")
    return F.pad(y, change)
