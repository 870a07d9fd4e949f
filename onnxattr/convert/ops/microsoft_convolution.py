"""Convolutions of ONNX Runtime: with an activation fused, channels last, and with pads as input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.microsoft_fused import activated
from onnxattr.convert.ops.numbers import Stored, integers
from onnxattr.convert.ops.quantised_products import convolve
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.windows import ones, padded, pads_of, reaches
from onnxattr.errors import SupportError

_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@dataclass(frozen=True)
class FusedConv:
    """A convolution that has its activation, and a summand, fused into it.

    Attributes:
        channels_last: Whether images are, and the summand.
    """

    channels_last: bool

    def __call__(
        self,
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
        """Returns what ONNX Runtime's operator does."""
        y = convolve(
            x.movedim(-1, 1) if self.channels_last else x,
            w,
            bias,
            group=group,
            pads=pads,
            strides=strides,
            dilations=dilations,
            auto_pad=auto_pad,
        )
        y = y.movedim(1, -1) if self.channels_last else y
        return activated(y if added is None else y + added, activation, *activation_params)


operator("com.microsoft.FusedConv")(FusedConv(channels_last=False))
# The second is one without an activation.
for _name in ("com.microsoft.NhwcFusedConv", "com.microsoft.NhwcConv"):
    operator(_name)(FusedConv(channels_last=True))


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
    kernel = list(kernel_shape)
    steps, spread = ones(strides, len(kernel)), ones(dilations, len(kernel))
    sides = pads_of(auto_pad, pads, y.shape[2:], reaches(kernel, spread), steps)
    y = padded(y, sides, -torch.inf)
    y = _MAX_POOLS[len(kernel)](y, kernel, steps, 0, spread, ceil_mode=bool(ceil_mode))
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
        raise SupportError(f"`auto_pad` {auto_pad} of a ConvTransposeWithDynamicPads")
    rank = w.ndim - 2
    cut = integers(pads) or [0] * 2 * rank
    extra = ones(output_padding, rank) if output_padding else [0] * rank
    transpose = _TRANSPOSED[rank]
    y = transpose(x, w, None, ones(strides, rank), 0, 0, group, ones(dilations, rank))
    # Zeros beyond all windows have the bias too.
    y = padded(
        y,
        (
            [-p for p in cut[:rank]],
            [e - p for e, p in zip(extra, cut[rank:], strict=True)],
        ),
    )
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)
