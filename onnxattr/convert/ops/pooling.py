"""Pooling with ONNX's padding, which may differ at the two ends of an axis or exceed the kernel.

onnx2torch refuses such pads for averages and fails on wide ones for maxima; TensorFlow's `SAME`
produces uneven pads at every even size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator

_SUMS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_MEANS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class Windows(nn.Module):
    """What all pools share: windows over an input that is padded explicitly.

    Args:
        kernel: Values a window holds, one number an axis.
        strides: Steps between windows.
        dilations: Steps between the values of a window.
        pads: All begins, then all ends.
        ceil_mode: Whether a last window may hang over the end.
    """

    def __init__(
        self,
        kernel: list[int],
        strides: list[int],
        dilations: list[int],
        pads: list[int],
        ceil_mode: bool,
    ) -> None:
        super().__init__()
        self.kernel, self.strides, self.dilations = kernel, strides, dilations
        self.begin, self.end = pads[: len(kernel)], pads[len(kernel) :]
        self.ceil_mode = ceil_mode

    def pad(self, x: torch.Tensor, value: float) -> torch.Tensor:
        """Returns `x` with the node's pads."""
        pairs = zip(reversed(self.begin), reversed(self.end), strict=True)
        return F.pad(x, [p for pair in pairs for p in pair], value=value)

    def hang(self, size: torch.Size) -> list[int]:
        """Returns what to append so that `ceil_mode`'s last, partial window is whole.

        As in ONNX Runtime and torch, a window must start inside the input or its begin pad.
        """
        hang: list[int] = []
        for i in reversed(range(len(self.kernel))):
            reach = (self.kernel[i] - 1) * self.dilations[i] + 1
            free = size[i] + self.begin[i] + self.end[i] - reach
            starts_inside = (free // self.strides[i] + 1) * self.strides[i] < (
                size[i] + self.begin[i]
            )
            rest = free % self.strides[i]
            more = self.ceil_mode and rest > 0 and starts_inside
            hang += [0, self.strides[i] - rest if more else 0]
        return hang


class AveragePool(Windows):
    """ONNX AveragePool: the mean over a window, of the values inside or of the padding too.

    Sums over a zero-padded input are divided by sums over the padded indicator of what counts, so
    any pads, and windows that `ceil_mode` lets hang over the end, are right by construction.
    """

    def __init__(self, count_include_pad: bool, **windows: Any) -> None:
        super().__init__(**windows)
        self.count_include_pad = count_include_pad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = x.new_ones((1, 1, *x.shape[2:]))
        counted = self.pad(inside, 1.0 if self.count_include_pad else 0.0)
        hang = self.hang(x.shape[2:])
        return self._mean(F.pad(self.pad(x, 0.0), hang)) / self._mean(F.pad(counted, hang))

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        if all(d == 1 for d in self.dilations):
            return _MEANS[len(self.kernel)](x, self.kernel, self.strides)
        # torch averages no dilated windows: a sum over each channel, up to the kernel's size.
        ones = x.new_ones((1, 1, *self.kernel))
        alone = x.reshape(-1, 1, *x.shape[2:])
        sums = _SUMS[len(self.kernel)](alone, ones, None, self.strides, 0, self.dilations)
        return sums.reshape(*x.shape[:2], *sums.shape[2:])


class MaxPool(Windows):
    """ONNX MaxPool: the maximum over a window; padding never wins."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            # ONNX admits integers of 8 bits beside floats, and torch none: this is exact for them.
            return self.forward(x.float()).to(x.dtype)
        padded = F.pad(self.pad(x, float("-inf")), self.hang(x.shape[2:]), value=float("-inf"))
        pool = _MAXIMA[len(self.kernel)]
        return pool(padded, self.kernel, self.strides, 0, self.dilations)


def _windows(attributes: Mapping[str, Any]) -> dict[str, Any]:
    kernel = attributes["kernel_shape"]
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise NotImplementedError("auto_pad on an input of unknown size, or with dilations")
    if len(kernel) not in _MEANS:
        raise NotImplementedError(f"a pool over {len(kernel)} axes")
    return {
        "kernel": kernel,
        "strides": attributes.get("strides", [1] * len(kernel)),
        "dilations": attributes.get("dilations", [1] * len(kernel)),
        "pads": attributes.get("pads", [0] * 2 * len(kernel)),
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }


@operator("AveragePool", 7, 10, 11, 19, 22)
def _average_pool(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    count_include_pad = bool(node.attributes.get("count_include_pad", 0))
    return AveragePool(count_include_pad, **_windows(node.attributes)), node.input_values


@operator("MaxPool", 1, 8, 10, 11, 12)
def _max_pool(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    if any(node.output_values[1:]):
        raise NotImplementedError("MaxPool with indices")
    return MaxPool(**_windows(node.attributes)), node.input_values
